package wechatsim

import (
	"encoding/json"
	"net/http"
	"slices"
	"time"
)

// Message is a template message as it was sent.
type Message struct {
	ID          int64                 `json:"msgid"`
	At          time.Time             `json:"at"`
	ToUser      string                `json:"touser"`
	TemplateID  string                `json:"template_id"`
	URL         string                `json:"url,omitempty"`
	MiniProgram *MiniProgram          `json:"miniprogram,omitempty"`
	ClientMsgID string                `json:"client_msg_id,omitempty"`
	Data        map[string]DataString `json:"data,omitempty"`
	Color       string                `json:"color,omitempty"`
	TopColor    string                `json:"topcolor,omitempty"`
}

// MiniProgram is where a message leads.
type MiniProgram struct {
	AppID    string `json:"appid"`
	PagePath string `json:"pagepath,omitempty"`
}

// DataString is the text for one place of a template.
type DataString struct {
	Value string `json:"value"`
	Color string `json:"color,omitempty"`
}

const (
	// firstMessage and messageStep keep every msgid odd and above 2^61. There a float64
	// holds multiples of 512 only, so a program that reads a msgid as a float64 always
	// has the wrong number.
	firstMessage = 3000000000000000001
	messageStep  = 2

	// keptMessages is how many messages an account remembers.
	keptMessages = 10000

	// sameMessage is how long a client_msg_id is remembered. WeChat: 10 minutes.
	sameMessage = 10 * time.Minute
)

// mailbox holds the messages that an account sent.
type mailbox struct {
	messages []Message // oldest first, twice keptMessages at most
	recent   map[string]Message
	order    []string // the keys of recent, oldest first
	total    int
}

// repeated returns the message that has the same recipient and client_msg_id and
// is younger than ten minutes.
func (m *mailbox) repeated(q Message, now time.Time) (Message, bool) {
	for len(m.order) > 0 && now.Sub(m.recent[m.order[0]].At) >= sameMessage {
		delete(m.recent, m.order[0])
		m.order = m.order[1:]
	}
	first, sent := m.recent[reentry(q)]
	return first, sent && q.ClientMsgID != ""
}

func (m *mailbox) add(q Message) {
	m.total++
	if len(m.messages) == 2*keptMessages {
		m.messages = slices.Clone(m.messages[keptMessages:]) // seldom, so that sending stays cheap
	}
	m.messages = append(m.messages, q)
	if q.ClientMsgID != "" {
		m.recent[reentry(q)] = q
		m.order = append(m.order, reentry(q))
	}
}

// reentry returns a key that is equal for messages that count as the same. A recipient
// has no space in it.
func reentry(q Message) string { return q.ToUser + " " + q.ClientMsgID }

// templateSend answers POST /cgi-bin/message/template/send. A message with the recipient
// and client_msg_id of an earlier one is not sent again for ten minutes. WeChat does not
// say what it answers then; here it is the msgid of the first message. The call counts
// against the quota all the same.
// Source: https://developers.weixin.qq.com/doc/service/api/notify/template/api_sendtemplatemessage.html
func (s *Sim) templateSend(c *call) answer {
	a, refusal := s.bearer(c, http.MethodPost)
	if a == nil {
		return refusal
	}
	var body struct {
		Message
		ID json.RawMessage `json:"msgid"` // the caller may not set these two
		At json.RawMessage `json:"at"`
	}
	if code := c.decode(&body); code != codeOK {
		return refuse(code, c.now)
	}
	q := body.Message
	if code := a.recipient(q.ToUser); code != codeOK {
		return refuse(code, c.now)
	}
	if !known(q.TemplateID) {
		return refuse(codeInvalidTemplate, c.now)
	}
	if !a.spend(quotaTemplate, s.settings.resolved().TemplateQuota, c.now) {
		return refuse(codeQuota, c.now)
	}
	if first, sent := a.sent.repeated(q, c.now); sent {
		return grantMessage(first.ID)
	}
	q.ID, q.At = firstMessage+messageStep*s.sent, c.now
	s.sent++
	a.sent.add(q)
	return grantMessage(q.ID)
}

func grantMessage(id int64) answer {
	return grant(struct {
		status
		ID int64 `json:"msgid"`
	}{granted, id})
}

// Messages returns the last 10000 template messages of an account, oldest first,
// nil for an unknown account. The messages must not be altered.
func (s *Sim) Messages(appid string) []Message {
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.accounts[appid]
	if a == nil {
		return nil
	}
	return slices.Clone(a.sent.messages[max(0, len(a.sent.messages)-keptMessages):])
}

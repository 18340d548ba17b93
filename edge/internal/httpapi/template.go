package httpapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"unicode/utf8"

	"google.golang.org/grpc/codes"

	"github.com/wxbroker/wxbroker/edge/internal/audit"
	"github.com/wxbroker/wxbroker/pkg/credential"
	"github.com/wxbroker/wxbroker/pkg/wxapi"
	wxbrokerv1 "github.com/wxbroker/wxbroker/proto/wxbroker/v1"
)

// message is a template message in WeChat's form. Only AppID is the edge's own: it
// names the account that sends the message.
type message struct {
	AppID       string           `json:"appid,omitempty"`
	ToUser      string           `json:"touser"`
	TemplateID  string           `json:"template_id"`
	URL         string           `json:"url,omitempty"`
	MiniProgram *miniProgram     `json:"miniprogram,omitempty"`
	ClientMsgID string           `json:"client_msg_id,omitempty"`
	Data        map[string]datum `json:"data"`
	Color       string           `json:"color,omitempty"`
	TopColor    string           `json:"topcolor,omitempty"`
}

// miniProgram is the mini program that a message opens in place of a page.
type miniProgram struct {
	AppID    string `json:"appid"`
	PagePath string `json:"pagepath,omitempty"`
}

// datum fills one place of a template.
type datum struct {
	Value literal `json:"value"`
	Color string  `json:"color,omitempty"`
}

// literal is a string, or a number in the digits of its JSON. So no number is rounded.
type literal string

// UnmarshalJSON implements json.Unmarshaler.
func (w *literal) UnmarshalJSON(raw []byte) error {
	switch raw[0] {
	case '"':
		return json.Unmarshal(raw, (*string)(w))
	case '{', '[', 't', 'f':
		return &json.UnmarshalTypeError{Field: "a value in data"}
	case 'n': // null
	default:
		*w = literal(raw)
	}
	return nil
}

type templateAnswer struct {
	MsgID string `json:"msgid"` // above 2^53, which JavaScript would round
}

// template sends a template message.
func (a *API) template(r *http.Request) (answer any, err error) {
	entry := audit.Entry{Action: audit.Template}
	defer func() { a.audit(r, entry, err) }()
	if entry.LocalKey, err = a.unlock(r, callsWeChat); err != nil {
		return nil, err
	}
	given := rawParameters{}
	if err := given.addForm(r.URL.RawQuery, callNames); err != nil {
		return nil, err
	}
	m, err := readMessage(r)
	if err != nil {
		return nil, err
	}
	if m.AppID != "" {
		given["appid"] = append(given["appid"], m.AppID)
	}
	if entry.AppID, err = a.callAccount(given, credential.Template); err != nil {
		return nil, err
	}
	id, err := a.send(r, entry, m)
	if err != nil {
		return nil, withoutRetry(brokerRefusal(err, "call"))
	}
	return templateAnswer{strconv.FormatInt(id, 10)}, nil
}

// send lets the broker send a message, and returns its msgid. Its errors are gRPC
// statuses.
func (a *API) send(r *http.Request, entry audit.Entry, m message) (int64, error) {
	m.AppID = ""
	if m.Data == nil {
		m.Data = map[string]datum{}
	}
	body := new(bytes.Buffer)
	encoder := json.NewEncoder(body)
	encoder.SetEscapeHTML(false) // WeChat shows escapes as they are
	if err := encoder.Encode(m); err != nil {
		return 0, wxapi.Refusal{Message: "the message cannot be written as JSON"}.Status(codes.InvalidArgument)
	}
	var answer struct {
		ID msgid `json:"msgid"`
	}
	err := a.ask(r, entry, &wxbrokerv1.CallHead{Method: http.MethodPost, Path: wxapi.PathTemplate, ContentType: "application/json"}, body.Bytes(), &answer)
	if err == nil && answer.ID == 0 {
		err = wxapi.SystemError("WeChat's answer has no msgid: the message may have been sent")
	}
	return int64(answer.ID), err
}

// msgid is above 2^53, so a float64 would round it. WeChat sends a number. A gateway in
// between may make a string of it.
type msgid int64

// UnmarshalJSON implements [json.Unmarshaler].
func (m *msgid) UnmarshalJSON(raw []byte) error {
	return json.Unmarshal(bytes.Trim(raw, `"`), (*int64)(m))
}

// readMessage reads a message from a body. No error repeats the message's content. Only
// the name of an unknown member is repeated.
func readMessage(r *http.Request) (message, error) {
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		return message{}, refuse(http.StatusUnsupportedMediaType, "the body is not application/json by its content type")
	}
	body, err := io.ReadAll(r.Body)
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return message{}, refuse(http.StatusRequestEntityTooLarge, "the body has more than %d bytes", maxBody)
	case err != nil:
		return message{}, refuse(http.StatusBadRequest, "the body did not arrive whole")
	case !json.Valid(body) || !utf8.Valid(body) || bytes.TrimLeft(body, " \t\r\n")[0] != '{':
		return message{}, refuse(http.StatusBadRequest, "the body is not a JSON object")
	}
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.DisallowUnknownFields()
	var m message
	err = decoder.Decode(&m)
	var wrong *json.UnmarshalTypeError
	switch {
	case errors.As(err, &wrong):
		return message{}, refuse(http.StatusBadRequest, "%s has a type that it cannot have", printable(wrong.Field))
	case err != nil: // the error names it in quotes
		_, name, _ := strings.Cut(err.Error(), "unknown field ")
		return message{}, refuse(http.StatusBadRequest, "%s in the body is not a member of a template message", printable(name))
	}
	return m, nil
}

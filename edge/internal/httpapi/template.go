package httpapi

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/wxbroker/wxbroker/edge/internal/audit"
	"github.com/wxbroker/wxbroker/pkg/credential"
	wxbrokerv1 "github.com/wxbroker/wxbroker/proto/wxbroker/v1"
)

// callNames are the parameters of a call in the query.
var callNames = names{"appid": anywhere}

// message is a template message, as WeChat takes it.
type message struct {
	AppID       string `json:"appid"`
	ToUser      string `json:"touser"`
	TemplateID  string `json:"template_id"`
	URL         string `json:"url"`
	MiniProgram *struct {
		AppID    string `json:"appid"`
		PagePath string `json:"pagepath"`
	} `json:"miniprogram"`
	ClientMsgID string `json:"client_msg_id"`
	Data        map[string]struct {
		Value written `json:"value"`
		Color string  `json:"color"`
	} `json:"data"`
	Color    string `json:"color"`
	TopColor string `json:"topcolor"`
}

// written is a string, or a number as it is written: none is rounded.
type written string

// UnmarshalJSON implements json.Unmarshaler.
func (w *written) UnmarshalJSON(raw []byte) error {
	switch raw[0] {
	case '"':
		return json.Unmarshal(raw, (*string)(w))
	case '{', '[', 't', 'f':
		return &json.UnmarshalTypeError{Field: "a value in data"}
	case 'n': // null
	default:
		*w = written(raw)
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
	given := raw{}
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
	if entry.AppID, err = a.caller(given, credential.Template); err != nil {
		return nil, err
	}
	sent, err := a.Calls.SendTemplate(r.Context(), entry.LocalKey, m.wire(entry.AppID))
	if err != nil {
		return nil, onlyOnce(brokerSays(err, "call"))
	}
	return templateAnswer{strconv.FormatInt(sent.GetMsgid(), 10)}, nil
}

// caller returns the account that a call is for, and the one that is named
// where it is none.
func (a *API) caller(given raw, grant credential.CallGrant) (string, error) {
	if len(given["appid"]) > 1 {
		return "", refuse(http.StatusBadRequest, "appid is given %d times", len(given["appid"]))
	}
	named, err := given.appid()
	if err != nil {
		return "", err
	}
	appid, err := a.State.Caller(named, grant)
	return cmp.Or(appid, named), err
}

func (m message) wire(appid string) *wxbrokerv1.SendTemplateRequest {
	sent := &wxbrokerv1.SendTemplateRequest{
		Appid: appid, Touser: m.ToUser, TemplateId: m.TemplateID, Url: m.URL, ClientMsgId: m.ClientMsgID,
		Data: make(map[string]*wxbrokerv1.TemplateValue), Color: m.Color, Topcolor: m.TopColor,
	}
	if m.MiniProgram != nil {
		sent.Miniprogram = &wxbrokerv1.MiniProgram{Appid: m.MiniProgram.AppID, Pagepath: m.MiniProgram.PagePath}
	}
	for name, value := range m.Data {
		sent.Data[name] = &wxbrokerv1.TemplateValue{Value: string(value.Value), Color: value.Color}
	}
	return sent
}

// readMessage reads a message from a body. No error says its content back, but
// the name of a member that means nothing.
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
		return message{}, refuse(http.StatusBadRequest, "%s in the body is nothing that a template message has", printable(name))
	}
	return m, nil
}

package relay

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"

	"google.golang.org/grpc/codes"

	"github.com/wxbroker/wxbroker/broker/internal/access"
	"github.com/wxbroker/wxbroker/broker/internal/wechat"
	"github.com/wxbroker/wxbroker/pkg/wxapi"
)

// Template is a template message, in WeChat's words.
type Template struct {
	ToUser      string           `json:"touser"`
	TemplateID  string           `json:"template_id"`
	URL         string           `json:"url,omitempty"`
	MiniProgram *MiniProgram     `json:"miniprogram,omitempty"`
	ClientMsgID string           `json:"client_msg_id,omitempty"`
	Data        map[string]Value `json:"data"`
	Color       string           `json:"color,omitempty"`
	TopColor    string           `json:"topcolor,omitempty"`
}

// MiniProgram is what a message opens in place of a page.
type MiniProgram struct {
	AppID    string `json:"appid"`
	PagePath string `json:"pagepath,omitempty"`
}

// Value fills one place of a template.
type Value struct {
	Value string `json:"value"`
	Color string `json:"color,omitempty"`
}

// SendTemplate sends a template message and returns its msgid.
func (r *Relay) SendTemplate(ctx context.Context, app *access.App, appid string, t Template) (int64, error) {
	body := new(bytes.Buffer)
	encoder := json.NewEncoder(body)
	encoder.SetEscapeHTML(false) // WeChat shows the values as they are written
	if err := encoder.Encode(t); err != nil {
		return 0, Refuse(codes.InvalidArgument, "the message cannot be written as JSON")
	}
	answer, err := r.Do(ctx, app, Call{
		AppID: appid, Kind: wechat.TemplateAPI, Method: http.MethodPost, Path: wxapi.PathTemplate,
		ContentType: "application/json", Body: body, Length: int64(body.Len()),
	})
	if err != nil {
		return 0, err
	}
	defer answer.Body.Close()
	if answer.Refusal != nil {
		return 0, r.refused(answer.Refusal)
	}
	raw, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswer))
	if err != nil {
		return 0, r.failed(ctx, err)
	}
	var said struct {
		ID msgid `json:"msgid"`
	}
	if json.Unmarshal(bytes.TrimSpace(raw), &said) != nil || said.ID == 0 {
		return 0, broken("WeChat's answer has no msgid: the message may have been sent")
	}
	return int64(said.ID), nil
}

// msgid is above 2^53, so a float64 would round it. It is a number, or a string
// where something in between is careful.
type msgid int64

// UnmarshalJSON implements [json.Unmarshaler].
func (m *msgid) UnmarshalJSON(raw []byte) error {
	return json.Unmarshal(bytes.Trim(raw, `"`), (*int64)(m))
}

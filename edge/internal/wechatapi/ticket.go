package wechatapi

import (
	"cmp"
	"net/http"
	"strings"
	"time"

	"github.com/wxbroker/wxbroker/edge/internal/audit"
	"github.com/wxbroker/wxbroker/pkg/credential"
	"github.com/wxbroker/wxbroker/pkg/wxapi"
)

type ticketAnswer struct {
	ErrCode   int    `json:"errcode"`
	ErrMsg    string `json:"errmsg"`
	Ticket    string `json:"ticket"`
	ExpiresIn int64  `json:"expires_in"`
}

// ticket answers GET /cgi-bin/ticket/getticket.
func (a *API) ticket(r *http.Request, entry *audit.Entry) (any, error) {
	entry.Action = audit.Ticket
	if r.Method != http.MethodGet {
		return nil, wxapi.NotGet.Refusal("")
	}
	q := r.URL.Query()
	kind, known := credential.TicketOfType(q.Get("type"))
	entry.Kind = kind
	who, err := a.Door.Token(r, q.Get("access_token"))
	entry.LocalKey, entry.AppID = who.Name, who.AppID
	switch {
	case err != nil:
		return nil, err
	case !known:
		return nil, wxapi.InvalidTicketType.Refusal("type has to be " + strings.Join(credential.TicketTypes(), " or "))
	}
	named := q.Get("appid")
	switch {
	case who.AppID != "":
	case named == "" || wxapi.CanBeAppID(named):
		who.AppID = named
	default:
		return nil, wxapi.InvalidAppID.Refusal("")
	}
	appid, err := a.Door.State.AppID(who.AppID, kind)
	entry.AppID = cmp.Or(appid, who.AppID)
	switch {
	case err != nil && who.AppID == "":
		return nil, missingAppID(err)
	case err != nil:
		return nil, err
	}
	value, left, err := a.Door.State.Reveal(appid, kind)
	switch {
	case err != nil:
		return nil, err
	case left < time.Second:
		return nil, wxapi.Busy.Refusal("the ticket is about to expire, ask again")
	}
	return ticketAnswer{0, "ok", value.Reveal(), int64(left / time.Second)}, nil
}

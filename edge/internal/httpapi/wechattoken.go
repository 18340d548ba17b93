package httpapi

import (
	"cmp"
	"encoding/json"
	"io"
	"net/http"
	"regexp"
	"slices"
	"time"

	"github.com/wxbroker/wxbroker/edge/internal/alias"
	"github.com/wxbroker/wxbroker/edge/internal/audit"
	"github.com/wxbroker/wxbroker/pkg/credential"
	"github.com/wxbroker/wxbroker/pkg/wxapi"
)

// tokenRequest is what both of WeChat's ways to ask for a token have. Whether
// one is to be forced is of no account: it may be anything.
type tokenRequest struct {
	GrantType    string          `json:"grant_type"`
	AppID        string          `json:"appid"`
	Secret       string          `json:"secret"`
	ForceRefresh json.RawMessage `json:"force_refresh"`
}

type wechatTokenAnswer struct {
	AccessToken string `json:"access_token"`
	ExpiresIn   int64  `json:"expires_in"`
}

// wechatToken answers GET /cgi-bin/token.
func (a *API) wechatToken(r *http.Request, entry *audit.Entry) (any, error) {
	entry.Action, entry.Kind = audit.Token, credential.AccessToken
	if r.Method != http.MethodGet {
		return nil, say(wxapi.NotGet, "")
	}
	q := r.URL.Query()
	return a.handOut(tokenRequest{GrantType: q.Get("grant_type"), AppID: q.Get("appid"), Secret: q.Get("secret")}, entry)
}

// wechatStableToken answers POST /cgi-bin/stable_token.
func (a *API) wechatStableToken(r *http.Request, entry *audit.Entry) (any, error) {
	entry.Action, entry.Kind = audit.Token, credential.AccessToken
	if r.Method != http.MethodPost {
		return nil, say(wxapi.NotPost, "")
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, say(wxapi.InvalidFormat, "the body did not arrive whole, or is too large")
	}
	var asked *tokenRequest
	if json.Unmarshal(body, &asked) != nil || asked == nil {
		return nil, say(wxapi.InvalidFormat, "")
	}
	return a.handOut(*asked, entry)
}

// handOut answers with the access_token, or with an alias where this edge may
// have calls made and not have it.
func (a *API) handOut(asked tokenRequest, entry *audit.Entry) (any, error) {
	switch {
	case asked.GrantType != "client_credential":
		return nil, say(wxapi.InvalidGrantType, "it has to be client_credential")
	case asked.AppID == "":
		return nil, say(wxapi.MissingAppID, "")
	case asked.Secret == "":
		return nil, say(wxapi.MissingSecret, "")
	}
	account, err := a.bySecret(asked.AppID, asked.Secret, entry)
	switch {
	case err != nil:
		return nil, err
	case slices.Contains(account.Kinds, credential.AccessToken):
		value, left, err := a.State.Reveal(account.AppID, credential.AccessToken)
		if err != nil {
			return nil, inWeChatsWords(err)
		}
		if left < time.Second {
			return nil, say(wxapi.Busy, "the access_token is about to be replaced, ask again")
		}
		return wechatTokenAnswer{value.Reveal(), int64(left / time.Second)}, nil
	case len(account.Calls) == 0:
		return nil, say(wxapi.NotAuthorized, "the broker grants this edge neither the access_token of "+account.AppID+" nor calls")
	}
	made, err := alias.New(account.AliasKey, account.AppID, entry.LocalKey, time.Now().Add(alias.Life))
	if err != nil {
		return nil, say(wxapi.Busy, err.Error())
	}
	return wechatTokenAnswer{made, int64(alias.Life / time.Second)}, nil
}

// bySecret returns the account of an appid to who presents a local key as its
// secret. Without one nobody learns which there are.
func (a *API) bySecret(appid, secret string, entry *audit.Entry) (credential.Account, error) {
	keys := a.Keys.Current()
	if !keys.Any() {
		return credential.Account{}, say(wxapi.InvalidSecret, noKeys)
	}
	var ok bool
	if entry.LocalKey, ok = keys.Match(secret); !ok {
		return credential.Account{}, say(wxapi.InvalidSecret, "the secret here is a local key of this edge, never the AppSecret")
	}
	if !appidForm.MatchString(appid) {
		return credential.Account{}, say(wxapi.InvalidAppID, "")
	}
	entry.AppID = appid
	account, err := a.State.Account(appid)
	if err != nil {
		return credential.Account{}, inWeChatsWords(err)
	}
	return account, nil
}

// noKeys is why nothing unlocks anything here.
const noKeys = "this edge has no local key to let anybody in by: give it one with --local-key-file"

var ticketTypes = map[string]credential.Kind{"jsapi": credential.JSAPITicket, "wx_card": credential.WXCardTicket}

type wechatTicketAnswer struct {
	ErrCode   int    `json:"errcode"`
	ErrMsg    string `json:"errmsg"`
	Ticket    string `json:"ticket"`
	ExpiresIn int64  `json:"expires_in"`
}

// wechatTicket answers GET /cgi-bin/ticket/getticket.
func (a *API) wechatTicket(r *http.Request, entry *audit.Entry) (any, error) {
	entry.Action = audit.Ticket
	if r.Method != http.MethodGet {
		return nil, say(wxapi.NotGet, "")
	}
	q := r.URL.Query()
	kind, known := ticketTypes[q.Get("type")]
	entry.Kind = kind
	who, err := a.admit(r, q.Get("access_token"))
	entry.LocalKey, entry.AppID = who.name, who.appid
	switch {
	case err != nil:
		return nil, err
	case !known:
		return nil, say(wxapi.InvalidTicketType, "type has to be jsapi or wx_card")
	}
	named := q.Get("appid")
	switch {
	case who.appid != "":
	case named == "" || appidForm.MatchString(named):
		who.appid = named
	default:
		return nil, say(wxapi.InvalidAppID, "")
	}
	appid, err := a.State.AppID(who.appid, kind)
	entry.AppID = cmp.Or(appid, who.appid)
	switch {
	case err != nil && who.appid == "":
		return nil, unsaid(err)
	case err != nil:
		return nil, inWeChatsWords(err)
	}
	value, left, err := a.State.Reveal(appid, kind)
	switch {
	case err != nil:
		return nil, inWeChatsWords(err)
	case left < time.Second:
		return nil, say(wxapi.Busy, "the ticket is about to expire, ask again")
	}
	return wechatTicketAnswer{0, "ok", value.Reveal(), int64(left / time.Second)}, nil
}

// wechatAppID is what every appid of WeChat's looks like.
var wechatAppID = regexp.MustCompile(`^wx[0-9a-f]{16}$`)

// served returns appid if it names an account that is served here, "" where it
// has another meaning, as for some APIs it has. What names another account is
// refused: nobody means this one by it.
func (a *API) served(appid string) (string, error) {
	account, err := a.State.Account(appid)
	switch {
	case err == nil:
		return account.AppID, nil
	case wechatAppID.MatchString(appid):
		return "", inWeChatsWords(err)
	}
	return "", nil
}

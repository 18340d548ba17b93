package wechatsim

import (
	"net/netip"
	"slices"
	"time"
)

// TokenAPI names one of the two endpoints that hand out access tokens. Their
// tokens are wholly separate.
type TokenAPI string

// The endpoints that hand out access tokens.
const (
	Classic TokenAPI = "classic" // GET /cgi-bin/token
	Stable  TokenAPI = "stable"  // POST /cgi-bin/stable_token
)

// TicketType is the type parameter of a ticket call.
type TicketType string

// The types of tickets.
const (
	JSAPI  TicketType = "jsapi"
	WxCard TicketType = "wx_card"
)

type account struct {
	appid  string
	secret string
	allow  []netip.Prefix

	tokens  map[TokenAPI]*series
	tickets map[TicketType]*series

	sent         mailbox
	media        shelf
	oauth        []*authorization // oldest first
	users        map[string]User  // by openid: those who authorized
	unsubscribed map[string]bool  // by openid: declared not to follow

	used        map[string]int // calls today, by the name of the quota
	usedDay     int64
	clears      int // of the quotas, by the API, in clearsMonth
	clearsMonth int
	lastForced  time.Time
}

func newAccount(a Account) *account {
	return &account{
		appid:  a.AppID,
		secret: a.Secret,
		allow:  slices.Clone(a.Allow),
		tokens: map[TokenAPI]*series{
			Classic: {name: "classic token"},
			Stable:  {name: "stable token"},
		},
		tickets: map[TicketType]*series{
			JSAPI:  {name: "jsapi ticket"},
			WxCard: {name: "wx_card ticket"},
		},
		sent:         mailbox{recent: make(map[string]Message)},
		media:        shelf{byID: make(map[string]*medium)},
		users:        make(map[string]User),
		unsubscribed: make(map[string]bool),
		used:         make(map[string]int),
	}
}

// allows says whether an address may fetch access tokens.
func (a *account) allows(from netip.Addr) bool {
	return len(a.allow) == 0 || slices.ContainsFunc(a.allow, func(p netip.Prefix) bool {
		return p.Contains(from)
	})
}

// findToken looks through both series.
func (a *account) findToken(token string) *issuedValue {
	if v := a.tokens[Classic].find(token); v != nil {
		return v
	}
	return a.tokens[Stable].find(token)
}

package wechatsim

import (
	"net/http"
	"time"
)

// ticketAnswer is the success of a ticket call.
type ticketAnswer struct {
	Code      int       `json:"errcode"`
	Message   string    `json:"errmsg"`
	Ticket    string    `json:"ticket"`
	ExpiresIn expiresIn `json:"expires_in"`
}

// ticket answers GET /cgi-bin/ticket/getticket: the current ticket while it has
// more than the overlap left, then a new one.
func (s *Sim) ticket(c *call) answer {
	a, refusal := s.bearer(c, http.MethodGet)
	if a == nil {
		return refusal
	}
	tickets := a.tickets[TicketType(c.query.Get("type"))]
	if tickets == nil {
		return refuse(codeInvalidArgs, c.now)
	}
	set := s.settings.resolved()
	if !a.spend(quotaTicket, set.TicketQuota, c.now) {
		return refuse(codeQuota, c.now)
	}
	v := tickets.sticky(c.now, set.TicketOverlap)
	if v == nil {
		v, _ = tickets.mint(newTicket(), c.now, set.TicketLifetime)
		s.history.add(Event{At: c.now, AppID: a.appid, Kind: EventMint, Detail: tickets.name, Number: v.number})
	}
	left := v.expires.Sub(c.now)
	if set.FreshTicketExpiry {
		left = v.expires.Sub(v.minted)
	}
	return grant(ticketAnswer{codeOK, "ok", v.value, expiresIn{left, set.ExpiresInString}})
}

// addresses answers the calls that list WeChat's own addresses. Programs use them to find
// out whether a token is good, because they change nothing.
func (s *Sim) addresses(c *call) answer {
	a, refusal := s.bearer(c, http.MethodGet)
	if a == nil {
		return refusal
	}
	return grant(struct {
		List []string `json:"ip_list"`
	}{[]string{"198.51.100.10", "198.51.100.11", "198.51.100.12"}})
}

// bearer returns the account whose live token a call carries, or why the call
// is refused. Both kinds of tokens are accepted. method is the method that the API
// wants, GET or POST.
func (s *Sim) bearer(c *call, method string) (*account, answer) {
	token := c.query.Get("access_token")
	switch {
	case c.method != method && method == http.MethodPost:
		return nil, refuse(codeRequirePOST, c.now)
	case c.method != method:
		return nil, refuse(codeRequireGET, c.now)
	case token == "":
		return nil, refuse(codeTokenMissing, c.now)
	case !tokenForm.MatchString(token):
		return nil, refuse(codeMalformedToken, c.now)
	}
	a := s.tokens[token]
	if a == nil {
		return nil, refuse(codeInvalidToken, c.now)
	}
	if code := tokenCode(a.findToken(token), c.now); code != codeOK {
		return nil, refuse(code, c.now)
	}
	return a, answer{}
}

// tokenCode returns the code for a dead token: 42001 if it reached its own expiry, 40001
// if it was ended before that.
func tokenCode(v *issuedValue, now time.Time) int {
	switch {
	case v.alive(now):
		return codeOK
	case v.expired(now):
		return codeTokenExpired
	default:
		return codeInvalidToken
	}
}

package wechatsim

import (
	"crypto/sha1" //nolint:gosec // what WeChat signs with
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Verdict says whether WeChat would accept a signature, and why. The reason
// names tickets by number and never by value.
type Verdict struct {
	Accepted bool   `json:"accepted"`
	Reason   string `json:"reason"`
	// Ticket is the number of the ticket that made the signature, dead or
	// alive; zero if none of the account's jsapi tickets did.
	Ticket int `json:"ticket,omitempty"`
	// Ended says how that ticket ended: "expired" if it has reached its own expiry, even
	// if it was killed before; "killed" if it is refused and has not reached its own
	// expiry. It is empty if the ticket lives or there is none.
	Ended string `json:"ended,omitempty"`
}

// Verify says whether WeChat would accept a JS-SDK signature at this moment:
// whether it is the SHA-1, in lower-case hexadecimal, of
//
//	jsapi_ticket=T&noncestr=N&timestamp=S&url=U
//
// with a ticket T that lives now. url is the address of the open page, without '#' and
// what follows it.
// Source: https://developers.weixin.qq.com/doc/offiaccount/OA_Web_Apps/JS-SDK.html (appendix 1).
func (s *Sim) Verify(appid, noncestr, timestamp, url, signature string) Verdict {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	a := s.accounts[appid]
	switch {
	case a == nil:
		return Verdict{Reason: fmt.Sprintf("no account %q", appid)}
	case strings.Contains(url, "#"):
		return Verdict{Reason: "the url has a fragment; WeChat takes the page's address without # and what follows"}
	}
	made := func(v *issuedValue) bool { return jsapiSignature(v.value, noncestr, timestamp, url) == signature }
	v := newest(a.tickets[JSAPI], made)
	switch {
	case v != nil && v.alive(now):
		return Verdict{
			Accepted: true,
			Reason:   fmt.Sprintf("ticket #%d made it and lives %s more", v.number, seconds(v.ends.Sub(now))),
			Ticket:   v.number,
		}
	case v != nil:
		return Verdict{
			Reason: fmt.Sprintf("no live ticket makes this signature; ticket #%d that %s ago does", v.number, v.fate(now)),
			Ticket: v.number,
			Ended:  v.ended(now),
		}
	case newest(a.tickets[WxCard], made) != nil:
		return Verdict{Reason: "no jsapi ticket makes this signature; a wx_card ticket does"}
	case !slices.ContainsFunc(a.tickets[JSAPI].values, func(v *issuedValue) bool { return v.alive(now) }):
		return Verdict{Reason: "the account has no live ticket, and no dead one makes this signature"}
	default:
		return Verdict{Reason: "no ticket makes this signature: noncestr, timestamp, url or ticket differ from what was signed"}
	}
}

// newest returns the latest value that satisfies match, nil if none does.
func newest(s *series, match func(*issuedValue) bool) *issuedValue {
	for _, v := range slices.Backward(s.values) {
		if match(v) {
			return v
		}
	}
	return nil
}

// ended says, for programs, how a dead value ended. Past its own expiry that is always
// "expired": a client that still holds it then is at fault, whatever else happened to it.
func (v *issuedValue) ended(now time.Time) string {
	if v.expired(now) {
		return "expired"
	}
	return "killed"
}

// fate says, for people, how and when a dead value ended.
func (v *issuedValue) fate(now time.Time) string {
	if v.killed {
		return "was killed " + seconds(now.Sub(v.ends))
	}
	return "expired " + seconds(now.Sub(v.ends))
}

func seconds(d time.Duration) string { return fmt.Sprintf("%ds", int64(d/time.Second)) }

func jsapiSignature(ticket, noncestr, timestamp, url string) string {
	sum := sha1.Sum([]byte("jsapi_ticket=" + ticket + "&noncestr=" + noncestr + "&timestamp=" + timestamp + "&url=" + url)) //nolint:gosec // what WeChat signs with
	return hex.EncodeToString(sum[:])
}

// TokenAlive says whether WeChat would accept an access token now, of whichever
// account and endpoint.
func (s *Sim) TokenAlive(token string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.tokens[token]
	return a != nil && a.findToken(token).alive(s.now())
}

// TicketAlive says whether WeChat would accept a ticket now, of whichever
// account and type.
func (s *Sim) TicketAlive(ticket string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	for _, a := range s.accounts {
		for _, tickets := range a.tickets {
			if v := tickets.find(ticket); v != nil && v.alive(now) {
				return true
			}
		}
	}
	return false
}

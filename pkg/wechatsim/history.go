package wechatsim

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"time"
)

// UnknownApp is the appid of calls that belong to none of the accounts.
const UnknownApp = "unknown"

// Call says what became of one API call. As a pattern for [Sim.Count], an empty
// field matches anything.
type Call struct {
	AppID   string // of a known account, or UnknownApp
	API     string // one of the Path constants
	Outcome string // "ok", a return code such as "40001", or "fault:" and its kind
}

// EventKind says what happened.
type EventKind string

// The kinds of events.
const (
	EventMint    EventKind = "mint"    // a value came into being
	EventReplace EventKind = "replace" // a value was ended by a newer one
	EventKill    EventKind = "kill"    // a value was ended from outside
	EventFault   EventKind = "fault"   // a call met an injected fault
	EventChange  EventKind = "change"  // a setting or an account was altered
)

// Event is an entry of the history. It holds no secret, token or ticket.
type Event struct {
	At     time.Time `json:"at"`
	AppID  string    `json:"appid,omitempty"`
	Kind   EventKind `json:"kind"`
	Detail string    `json:"detail"`
	Number int       `json:"number,omitempty"` // of the value in its series
}

// remembered bounds the history.
const remembered = 1000

type history struct{ events []Event }

func (h *history) add(e Event) {
	if len(h.events) >= remembered {
		h.events = slices.Delete(h.events, 0, 1) // reslicing would keep the old events in memory
	}
	h.events = append(h.events, e)
}

// Events returns the last 1000 events, oldest first.
func (s *Sim) Events() []Event {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.history.events)
}

// Count returns how many calls matched, answered or not.
func (s *Sim) Count(match Call) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	total := 0
	for c, n := range s.counts {
		if (match.AppID == "" || match.AppID == c.AppID) &&
			(match.API == "" || match.API == c.API) &&
			(match.Outcome == "" || match.Outcome == c.Outcome) {
			total += n
		}
	}
	return total
}

// note counts a call. It runs before the answer is written, so that a client that has
// the answer finds its call counted.
func (s *Sim) note(c *call, outcome string) {
	s.mu.Lock()
	noted := Call{AppID: s.attribute(c), API: c.path, Outcome: outcome}
	s.counts[noted]++
	if kind, faulty := strings.CutPrefix(outcome, faultPrefix); faulty {
		s.history.add(Event{At: s.now(), AppID: noted.AppID, Kind: EventFault, Detail: kind + " on " + c.path})
	}
	s.mu.Unlock()
	if s.onCall != nil {
		s.onCall(noted)
	}
}

// attribute finds the account a call is about, whether or not it was allowed.
// Strangers share one name: what they send may be anything, even a secret.
func (s *Sim) attribute(c *call) string {
	var appid string
	switch c.path {
	case PathToken:
		appid = classicRequest(c).AppID
	case PathStableToken:
		var q struct {
			AppID string `json:"appid"`
		}
		if json.Unmarshal(c.body, &q) == nil {
			appid = q.AppID
		}
	case PathClearQuota:
		q, _ := clearRequest(c) // of a malformed request, the part that can be read is enough
		appid = q.AppID
	case PathOAuthToken, PathOAuthRefresh:
		appid = c.query.Get("appid")
	case PathOAuthUserInfo, PathOAuthCheck:
		if a, _, _ := s.findOAuth(c.query.Get("access_token")); a != nil {
			return a.appid
		}
	default:
		if a := s.tokens[c.query.Get("access_token")]; a != nil {
			return a.appid
		}
	}
	if s.accounts[appid] == nil {
		return UnknownApp
	}
	return appid
}

func outcome(code int) string {
	if code == codeOK {
		return "ok"
	}
	return strconv.Itoa(code)
}

const faultPrefix = "fault:"

func faultOutcome(kind FaultKind) string { return faultPrefix + string(kind) }

package wechatsim

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"
	"time"
)

// State is what the simulator knows of one account, without any value.
type State struct {
	AppID string         `json:"appid"`
	Allow []netip.Prefix `json:"allow"` // empty: every address
	// UsedToday counts calls against each quota since midnight UTC+8.
	UsedToday   map[string]int `json:"used_today"`
	Calls       []Counter      `json:"calls"`
	Credentials []Credential   `json:"credentials"`
	Messages    int            `json:"messages"` // template messages sent, ever
	Media       int            `json:"media"`    // temporary media held
	Events      []Event        `json:"events"`   // oldest first
}

// Counter is how many calls to an API had the same outcome.
type Counter struct {
	API     string `json:"api"`
	Outcome string `json:"outcome"`
	Count   int    `json:"count"`
}

// Credential is one token or ticket: the newest of its series, or an older one
// that still lives. Ages are in whole seconds.
type Credential struct {
	Series    string `json:"series"` // such as "classic token"
	Number    int    `json:"number"` // its number in the series, counted from 1
	Current   bool   `json:"current"`
	Alive     bool   `json:"alive"`
	Age       int64  `json:"age_seconds"`
	ExpiresIn int64  `json:"expires_in_seconds"` // until its own expiry
	EndsIn    int64  `json:"ends_in_seconds"`    // until it is refused, negative if it is
}

// AppIDs lists the accounts, sorted.
func (s *Sim) AppIDs() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Sorted(maps.Keys(s.accounts))
}

// State describes an account. The error says that there is no such account.
func (s *Sim) State(appid string) (State, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	a, err := s.account(appid)
	if err != nil {
		return State{}, err
	}
	now := s.now()
	st := State{
		AppID:       appid,
		Allow:       append([]netip.Prefix{}, a.allow...),
		UsedToday:   map[string]int{},
		Calls:       s.counters(appid),
		Credentials: []Credential{},
		Messages:    a.sent.total,
		Media:       a.media.count(now),
		Events:      []Event{},
	}
	maps.Copy(st.UsedToday, a.today(now))
	for _, values := range a.allSeries() {
		st.Credentials = append(st.Credentials, values.describe(now)...)
	}
	for _, e := range s.history.events {
		if e.AppID == appid {
			st.Events = append(st.Events, e)
		}
	}
	return st, nil
}

// Issued returns every token and ticket of an account that the simulator still
// remembers, for tests that look for them where they must not be. It is nil for
// an unknown account.
func (s *Sim) Issued(appid string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.accounts[appid]
	if a == nil {
		return nil
	}
	var values []string
	for _, one := range a.allSeries() {
		for _, v := range one.values {
			values = append(values, v.value)
		}
	}
	return values
}

func (a *account) allSeries() []*series {
	return []*series{a.tokens[Classic], a.tokens[Stable], a.tickets[JSAPI], a.tickets[WxCard]}
}

func (s *series) describe(now time.Time) []Credential {
	var list []Credential
	for _, v := range s.values {
		current := v == s.current()
		if !current && !v.alive(now) {
			continue
		}
		list = append(list, Credential{
			Series:    s.name,
			Number:    v.number,
			Current:   current,
			Alive:     v.alive(now),
			Age:       int64(now.Sub(v.minted) / time.Second),
			ExpiresIn: int64(v.expires.Sub(now) / time.Second),
			EndsIn:    int64(v.ends.Sub(now) / time.Second),
		})
	}
	return list
}

// counters lists the calls of one appid in a fixed order; the caller holds the
// lock.
func (s *Sim) counters(appid string) []Counter {
	list := []Counter{}
	for c, n := range s.counts {
		if c.AppID == appid {
			list = append(list, Counter{c.API, c.Outcome, n})
		}
	}
	slices.SortFunc(list, func(a, b Counter) int {
		return cmp.Or(cmp.Compare(a.API, b.API), cmp.Compare(a.Outcome, b.Outcome))
	})
	return list
}

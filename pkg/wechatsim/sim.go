package wechatsim

import (
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"
)

// Account is an Official Account as its owner registered it.
type Account struct {
	AppID  string
	Secret string
	// Allow lists the addresses that may fetch access tokens; empty allows all.
	Allow []netip.Prefix
}

// Config is what a simulator starts with.
type Config struct {
	Accounts []Account
	Settings Settings
	// Now is the simulator's only clock, time.Now if nil. It is called with the
	// simulator's lock held and must not call back.
	Now func() time.Time
	// OnCall is called for each API call when its outcome is known and before it is
	// answered, on the goroutine of the request. It may be nil.
	OnCall func(Call)
}

// Sim is a simulated WeChat. It is an [http.Handler] and safe for concurrent use.
type Sim struct {
	now     func() time.Time
	onCall  func(Call)
	control http.Handler

	mu       sync.Mutex
	settings Settings
	accounts map[string]*account
	tokens   map[string]*account // by token value: who it belongs to
	faults   []*Fault
	counts   map[Call]int
	history  history
	sent     int64 // template messages, of all accounts
}

// New returns a simulator without any credential minted yet. Of two accounts
// with the same appid the later one counts.
func New(c Config) *Sim {
	s := &Sim{
		now:      c.Now,
		onCall:   c.OnCall,
		settings: c.Settings,
		accounts: make(map[string]*account),
		tokens:   make(map[string]*account),
		counts:   make(map[Call]int),
	}
	if s.now == nil {
		s.now = time.Now
	}
	for _, a := range c.Accounts {
		s.accounts[a.AppID] = newAccount(a)
	}
	s.control = s.controlHandler()
	return s
}

// Change alters the settings of a running simulator. Values that were minted before keep
// their expiry. change must not call the simulator.
func (s *Sim) Change(change func(*Settings)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(&s.settings)
	s.history.add(Event{At: s.now(), Kind: EventChange, Detail: "settings"})
}

// AddAccount registers an account. An account with the same appid is replaced, with all
// its credentials.
func (s *Sim) AddAccount(a Account) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if old := s.accounts[a.AppID]; old != nil {
		for token, owner := range s.tokens {
			if owner == old {
				delete(s.tokens, token)
			}
		}
	}
	s.accounts[a.AppID] = newAccount(a)
	s.history.add(Event{At: s.now(), AppID: a.AppID, Kind: EventChange, Detail: "account"})
}

// ServeHTTP answers WeChat's API at the Path constants, the simulator's own control
// calls under /sim/, and a page about itself at /. Anything else is a 404
// without a body, as WeChat answers it.
func (s *Sim) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case apis[r.URL.Path] != nil:
		s.serveAPI(w, r)
	case r.URL.Path == "/" || strings.HasPrefix(r.URL.Path, "/sim/"):
		s.control.ServeHTTP(w, r)
	default:
		w.WriteHeader(http.StatusNotFound)
	}
}

// account looks an appid up; the caller holds the lock.
func (s *Sim) account(appid string) (*account, error) {
	a := s.accounts[appid]
	if a == nil {
		return nil, fmt.Errorf("wechatsim: no account %q", appid)
	}
	return a, nil
}

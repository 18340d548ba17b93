package signing

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/wxbroker/wxbroker/pkg/credential"
	"github.com/wxbroker/wxbroker/pkg/jsapi"
)

var (
	// ErrAccount says that the request names no account that this edge serves, or
	// leaves open which of several it means.
	ErrAccount = errors.New("no such account here")
	// ErrHost says that the account's sign_hosts do not name the page's host.
	ErrHost = errors.New("host not allowed")
	// ErrNotGranted says that the broker does not grant this edge what was asked
	// for: asking again does not help.
	ErrNotGranted = errors.New("not granted")
	// ErrUnavailable says that there is no live credential to answer with.
	ErrUnavailable = errors.New("unavailable")
)

// State is what the broker granted, ready to sign with. It is safe for
// concurrent use. Make it with New.
type State struct {
	appids  []string // accounts to serve, none for all that are granted
	clock   credential.Clock
	current atomic.Pointer[snapshot]
}

// snapshot is what the broker granted at one time.
type snapshot struct {
	accounts []account
	tokens   []token       // that may still be presented
	replaced chan struct{} // closed when a newer snapshot takes its place
}

// New returns a State that serves the accounts appids, or any when there are
// none.
func New(appids []string, clock credential.Clock) *State {
	s := &State{appids: appids, clock: clock}
	s.current.Store(&snapshot{replaced: make(chan struct{})})
	return s
}

// Apply makes accounts the state: it is what watch.Options.Apply takes.
func (s *State) Apply(accounts []credential.Account) {
	next := make([]account, 0, len(accounts))
	for _, a := range accounts {
		entry := account{Account: a}
		if ticket, ok := a.Credential(credential.JSAPITicket); ok {
			entry.signer = jsapi.NewSigner(a.AppID, ticket.Value.Reveal())
		}
		next = append(next, entry)
	}
	// Only the stream calls Apply: nothing changes between Load and Swap.
	tokens := remember(s.current.Load().tokens, accounts, s.clock.Now())
	old := s.current.Swap(&snapshot{next, tokens, make(chan struct{})})
	close(old.replaced)
}

// Request is one page to be signed.
type Request struct {
	Page  jsapi.PageURL
	AppID string // "" for whichever account is meant
	// NonceStr and Timestamp replace the fresh ones where they are not zero.
	NonceStr  string
	Timestamp *int64
}

// Sign signs a page with the live ticket of the account that r means.
func (s *State) Sign(r Request) (jsapi.Config, error) {
	now := s.clock.Now()
	a, err := s.choose(r.AppID, ofKind(credential.JSAPITicket), func(a account) bool { return a.SignHosts.Names(r.Page.Host(), r.Page.EffectivePort()) })
	if err != nil {
		return jsapi.Config{}, err
	}
	if err := a.allow(r.Page); err != nil {
		return jsapi.Config{}, err
	}
	if err := a.alive(credential.JSAPITicket, now); err != nil {
		return jsapi.Config{}, err
	}
	if r.NonceStr == "" && r.Timestamp == nil {
		return a.signer.Sign(r.Page, now.Wall()), nil
	}
	nonce, timestamp := r.NonceStr, now.Wall().Unix()
	if nonce == "" {
		nonce = jsapi.NewNonce()
	}
	if r.Timestamp != nil {
		timestamp = *r.Timestamp
	}
	return a.signer.SignWith(r.Page, nonce, timestamp)
}

// Names reports whether the sign_hosts of an account name that host. An account
// without sign_hosts signs any page and names no host.
func (s *State) Names(host, port string) bool {
	return slices.ContainsFunc(s.current.Load().accounts, func(a account) bool { return a.SignHosts.Names(host, port) })
}

// Reveal returns the account's live credential of that kind, and for how long a
// copy of it may be used. Its caller has to check before that whoever asks may have
// it.
func (s *State) Reveal(appid string, kind credential.Kind) (credential.Secret, time.Duration, error) {
	a, err := s.choose(appid, ofKind(kind), nobody)
	if err != nil {
		return credential.Secret{}, 0, err
	}
	now := s.clock.Now()
	if err := a.alive(kind, now); err != nil {
		return credential.Secret{}, 0, err
	}
	c, _ := a.Credential(kind)
	return c.Value, c.CopyLife(now), nil
}

// AppID returns the account whose credential Reveal would return, whether or not
// there is a live one.
func (s *State) AppID(appid string, kind credential.Kind) (string, error) {
	a, err := s.choose(appid, ofKind(kind), nobody)
	return a.AppID, err
}

// Await returns when the account's credential of that kind has at least that
// version, or ctx ends. It does not wait for what is not granted.
func (s *State) Await(ctx context.Context, appid string, kind credential.Kind, version int64) {
	for {
		now := s.current.Load()
		i := slices.IndexFunc(now.accounts, func(a account) bool { return a.AppID == appid })
		if i < 0 || !slices.Contains(now.accounts[i].Kinds, kind) {
			return
		}
		if c, ok := now.accounts[i].Credential(kind); ok && c.Version >= version {
			return
		}
		select {
		case <-now.replaced:
		case <-ctx.Done():
			return
		}
	}
}

// Ready says why this edge cannot sign for every account that it serves, nil
// if it can.
func (s *State) Ready() error {
	accounts := s.current.Load().accounts
	now := s.clock.Now()
	for _, appid := range s.appids {
		if !slices.ContainsFunc(accounts, func(a account) bool { return a.AppID == appid }) {
			return fmt.Errorf("%w: the broker has not sent anything for %s", ErrUnavailable, appid)
		}
	}
	if len(accounts) == 0 {
		return fmt.Errorf("%w: the broker has not sent any account", ErrUnavailable)
	}
	if !slices.ContainsFunc(accounts, func(a account) bool { return len(a.Kinds)+len(a.Calls) > 0 }) {
		return fmt.Errorf("%w: the broker grants nothing of its accounts to this edge", ErrUnavailable)
	}
	for _, a := range accounts {
		// An account that is kept without a ticket is not there for signing. Neither
		// is an account for which the broker only makes calls.
		if len(s.appids) == 0 && !slices.Contains(a.Kinds, credential.JSAPITicket) || a.onlyCalls() {
			continue
		}
		if err := a.alive(credential.JSAPITicket, now); err != nil {
			return err
		}
	}
	return nil
}

// Accounts returns what the broker said last.
func (s *State) Accounts() []credential.Account {
	var accounts []credential.Account
	for _, a := range s.current.Load().accounts {
		accounts = append(accounts, a.Account)
	}
	return accounts
}

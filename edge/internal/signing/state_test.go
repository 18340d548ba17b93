package signing_test

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/wxbroker/wxbroker/edge/internal/signing"
	"github.com/wxbroker/wxbroker/pkg/credential"
)

// clock is the machine's: the tests in this file do not wait for time to pass.
var clock = credential.Clock(credential.WallClock)

func TestChoiceOfAccount(t *testing.T) {
	w := newWeChat(t, time.Hour)
	open, closed := w.account(shop, clock.Now()), w.account(shop, clock.Now(), "shop.example.com")
	other := w.account(pay, clock.Now(), "pay.example.com", "*.example.org")
	mute := credential.Account{AppID: pay, Kinds: []credential.Kind{credential.AccessToken}}
	tests := []struct {
		name     string
		wanted   []string
		accounts []credential.Account
		appid    string
		url      string
		signs    string
		err      error
	}{
		{"nothing came", nil, nil, "", "https://shop.example.com/", "", signing.ErrUnavailable},
		{"nothing came, by name", nil, nil, shop, "https://shop.example.com/", "", signing.ErrUnavailable},
		{"nothing came, one that is not wanted", []string{pay}, nil, shop, "https://shop.example.com/", "", signing.ErrAccount},
		{"nothing came, the wanted one", []string{shop}, nil, shop, "https://shop.example.com/", "", signing.ErrUnavailable},
		{"the only one", nil, []credential.Account{open}, "", "https://any.example/", shop, nil},
		{"unknown", nil, []credential.Account{open}, pay, "https://any.example/", "", signing.ErrAccount},
		{"unknown by its case", nil, []credential.Account{open}, strings.ToUpper(shop), "https://any.example/", "", signing.ErrAccount},
		{"the only one, host not allowed", nil, []credential.Account{closed}, "", "https://any.example/", "", signing.ErrHost},
		{"by name, host not allowed", nil, []credential.Account{closed, other}, shop, "https://pay.example.com/", "", signing.ErrHost},
		{"by host", nil, []credential.Account{closed, other}, "", "https://a.b.example.org/", pay, nil},
		{"by no host", nil, []credential.Account{closed, other}, "", "https://any.example/", "", signing.ErrAccount},
		{"an account that takes any host is not meant by one", nil, []credential.Account{open, other}, "", "https://any.example/", "", signing.ErrAccount},
		{"another one cannot sign at all", nil, []credential.Account{open, mute}, "", "https://any.example/", shop, nil},
		{"none can sign at all", nil, []credential.Account{mute}, "", "https://any.example/", "", signing.ErrNotGranted},
		{"it cannot sign at all", nil, []credential.Account{open, mute}, pay, "https://any.example/", "", signing.ErrNotGranted},
		{"one of two wanted came and cannot sign at all", []string{shop, pay}, []credential.Account{mute}, "", "https://any.example/", "", signing.ErrUnavailable},
		// The page may belong to the account that has not come yet. Then WeChat would
		// refuse a signature by the other.
		{"one of two wanted came", []string{shop, pay}, []credential.Account{open}, "", "https://any.example/", "", signing.ErrAccount},
		{"one of two wanted came and names the host", []string{shop, pay}, []credential.Account{closed}, "", "https://shop.example.com/", shop, nil},
		{"one of two wanted came, the other by name", []string{shop, pay}, []credential.Account{open}, pay, "https://any.example/", "", signing.ErrUnavailable},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := signing.New(test.wanted, clock)
			s.Apply(test.accounts)
			config, err := s.Sign(request(t, test.appid, test.url))
			if !errors.Is(err, test.err) {
				t.Fatalf("error %v, want %v", err, test.err)
			}
			if config.AppID != test.signs || test.err == nil && !w.accepts(config) {
				t.Errorf("signed %+v", config)
			}
		})
	}
}

func TestReady(t *testing.T) {
	w := newWeChat(t, time.Hour)
	good, second := w.account(shop, clock.Now()), w.account(pay, clock.Now())
	expired := w.account(shop, clock.Now().Add(-2*time.Hour))
	starting, ticketless, nothing := good, good, good
	starting.Credentials = nil
	ticketless.Kinds, ticketless.Credentials = []credential.Kind{credential.AccessToken}, nil
	nothing.Kinds, nothing.Credentials = nil, nil
	onlyCalls, callsAndTicket, callsAndCards := nothing, starting, nothing
	for _, a := range []*credential.Account{&onlyCalls, &callsAndTicket, &callsAndCards} {
		a.Calls = []credential.Grant{credential.Media}
	}
	callsAndCards.Kinds = []credential.Kind{credential.WXCardTicket}
	both := []string{shop, pay}
	tests := []struct {
		name     string
		wanted   []string
		accounts []credential.Account
		says     string // "" for ready
	}{
		{"no account", nil, nil, "not sent any account"},
		{"no account, one wanted", []string{shop}, nil, "not sent anything for " + shop},
		{"one", nil, []credential.Account{good}, ""},
		{"one, wanted", []string{shop}, []credential.Account{good}, ""},
		{"two, wanted", both, []credential.Account{good, second}, ""},
		{"wanted one is missing", both, []credential.Account{good}, "not sent anything for " + pay},
		{"expired", nil, []credential.Account{expired}, "expired"},
		{"one of two expired", nil, []credential.Account{expired, second}, "expired"},
		{"broker has none yet", nil, []credential.Account{starting}, "no jsapi_ticket of " + shop + " yet"},
		{"one of two has none yet", nil, []credential.Account{second, starting}, "no jsapi_ticket of " + shop + " yet"},
		{"account without tickets beside one with", nil, []credential.Account{ticketless, second}, ""},
		{"account without tickets that is wanted", both, []credential.Account{ticketless, second}, "does not grant the jsapi_ticket of " + shop},
		{"account of which nothing is granted beside one", nil, []credential.Account{nothing, second}, ""},
		{"nothing but such an account", nil, []credential.Account{nothing}, "grants nothing"},
		{"nothing but calls", nil, []credential.Account{onlyCalls}, ""},
		{"nothing but calls, wanted", []string{shop}, []credential.Account{onlyCalls}, ""},
		{"nothing but calls of one, and a ticket of the other", both, []credential.Account{onlyCalls, second}, ""},
		{"nothing but calls of one, and the other is missing", both, []credential.Account{onlyCalls}, "not sent anything for " + pay},
		{"calls, and a ticket that there is none of yet", nil, []credential.Account{callsAndTicket}, "no jsapi_ticket of " + shop + " yet"},
		{"calls and cards, wanted", []string{shop}, []credential.Account{callsAndCards}, "does not grant the jsapi_ticket of " + shop},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := signing.New(test.wanted, clock)
			s.Apply(test.accounts)
			err := s.Ready()
			switch {
			case test.says == "" && err != nil:
				t.Error(err)
			case test.says != "" && (err == nil || !strings.Contains(err.Error(), test.says)):
				t.Errorf("error %v, want one that says %q", err, test.says)
			}
		})
	}
}

// A new state replaces the old one as a whole: what is absent from it is gone.
func TestApplyReplaces(t *testing.T) {
	w := newWeChat(t, time.Hour)
	s := signing.New(nil, clock)
	s.Apply([]credential.Account{w.account(shop, clock.Now()), w.account(pay, clock.Now())})
	s.Apply([]credential.Account{w.account(pay, clock.Now())})
	if _, err := s.Sign(request(t, shop, "https://shop.example.com/")); !errors.Is(err, signing.ErrAccount) {
		t.Errorf("signing for an account that is gone: %v", err)
	}
	s.Apply(nil)
	if _, err := s.Sign(request(t, "", "https://shop.example.com/")); !errors.Is(err, signing.ErrUnavailable) || s.Accounts() != nil {
		t.Errorf("signing with nothing: %v; accounts %v", err, s.Accounts())
	}
}

// Run with -race: a page that is signed while states come and go is signed by
// one of them, never by parts of two.
func TestApplyWhileSigning(t *testing.T) {
	w := newWeChat(t, time.Hour)
	one, two := w.account(shop, clock.Now()), w.account(pay, clock.Now())
	states := [][]credential.Account{{one}, {two}, {one, two}, nil}
	s := signing.New(nil, clock)
	s.Apply(states[0])

	done := make(chan struct{})
	var appliers, signers sync.WaitGroup
	for range 2 {
		appliers.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-done:
					return
				default:
					s.Apply(states[i%len(states)])
				}
			}
		})
	}
	requests := []signing.Request{request(t, shop, "https://a.example/"), request(t, pay, "https://a.example/"), request(t, "", "https://a.example/")}
	for _, r := range requests {
		signers.Go(func() {
			for range 2000 {
				config, err := s.Sign(r)
				switch {
				case err == nil && !w.accepts(config):
					t.Errorf("WeChat would refuse %+v", config)
					return
				case err != nil && !errors.Is(err, signing.ErrAccount) && !errors.Is(err, signing.ErrUnavailable):
					t.Error(err)
					return
				}
				_ = s.Ready()
				_, _, _ = s.Reveal(r.AppID, credential.JSAPITicket)
				_ = s.Accounts()
			}
		})
	}
	signers.Wait()
	close(done)
	appliers.Wait()
}

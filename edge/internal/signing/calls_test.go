package signing_test

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wxbroker/wxbroker/edge/internal/signing"
	"github.com/wxbroker/wxbroker/pkg/clocktest"
	"github.com/wxbroker/wxbroker/pkg/credential"
)

func TestCaller(t *testing.T) {
	may := func(appid string, grants ...credential.Grant) credential.Account {
		return credential.Account{AppID: appid, Calls: grants}
	}
	media, template, none := may(shop, credential.Media), may(pay, credential.Template), may(shop)
	tests := []struct {
		name     string
		wanted   []string
		accounts []credential.Account
		appid    string
		grant    credential.Grant
		is, says string
		err      error
	}{
		{"nothing came", nil, nil, "", credential.Media, "", "has not sent any account", signing.ErrUnavailable},
		{"nothing came, by name", nil, nil, shop, credential.Media, "", "anything for " + shop, signing.ErrUnavailable},
		{"the only one", nil, []credential.Account{media}, "", credential.Media, shop, "", nil},
		{"by name", nil, []credential.Account{media, template}, shop, credential.Media, shop, "", nil},
		{"the only one that may", nil, []credential.Account{media, template}, "", credential.Template, pay, "", nil},
		{"none that may", nil, []credential.Account{media, template}, "", credential.OAuth, "", "does not grant oauth calls of any account", signing.ErrNotGranted},
		{"by name, and it may not", nil, []credential.Account{media, template}, shop, credential.OAuth, shop, "does not grant oauth calls of " + shop, signing.ErrNotGranted},
		{"unknown", nil, []credential.Account{media}, pay, credential.Media, "", "appid " + pay, signing.ErrAccount},
		{"two that may", nil, []credential.Account{media, may(pay, credential.Media)}, "", credential.Media, "", "say which", signing.ErrAccount},
		{"one that may is yet to come", []string{shop, pay}, []credential.Account{media}, "", credential.Media, "", "say which", signing.ErrAccount},
		{"any call, any grant", nil, []credential.Account{media}, "", credential.Call, shop, "", nil},
		{"any call, no grant", nil, []credential.Account{none}, "", credential.Call, "", "does not grant call calls of any", signing.ErrNotGranted},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := signing.New(test.wanted, clock)
			s.Apply(test.accounts)
			got, err := s.Caller(test.appid, test.grant)
			if got != test.is || !errors.Is(err, test.err) || err != nil && !strings.Contains(err.Error(), test.says) {
				t.Errorf("%q, %v", got, err)
			}
		})
	}
}

// withToken returns an account whose access_token is granted.
func withToken(appid, value string, expiry credential.Instant) credential.Account {
	return credential.Account{AppID: appid, Kinds: []credential.Kind{credential.AccessToken}, Credentials: []credential.Credential{
		{Kind: credential.AccessToken, Value: credential.NewSecret(value), Version: 1, Expiry: expiry},
	}}
}

// A token lets an app in until it expires, even if it was replaced or refused, as
// long as the broker grants the token of its account.
func TestTokenOf(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := signing.New(nil, clock)
		is := func(when, presented, want string) {
			t.Helper()
			if got, ok := s.TokenOf(presented); got != want || ok != (want != "") {
				t.Errorf("%s: %q is a token of %q", when, presented, got)
			}
		}
		hour := func(n int) credential.Instant { return clock.Now().Add(time.Duration(n) * time.Hour) }
		is("at the start", "one", "")
		is("at the start", "", "")
		s.Apply([]credential.Account{withToken(shop, "one", hour(2)), withToken(pay, "other", hour(2))})
		is("held", "one", shop)
		is("held", "other", pay)
		is("held", "on", "")
		is("held", "", "")
		time.Sleep(time.Hour)
		s.Apply([]credential.Account{withToken(shop, "two", hour(2)), withToken(pay, "other", hour(2))})
		is("replaced", "one", shop)
		is("replaced", "two", shop)
		s.Apply([]credential.Account{withToken(shop, "two", hour(0)), withToken(pay, "other", hour(2))})
		is("refused by WeChat", "two", shop)
		s.Apply([]credential.Account{withToken(shop, "two and a half", hour(2)), withToken(pay, "other", hour(2))})
		is("refused by WeChat, and replaced", "two", shop)
		s.Apply(nil)
		is("dropped", "one", "")
		is("dropped", "two", "")
		revoked := withToken(shop, "two", hour(2))
		revoked.Kinds, revoked.Credentials = []credential.Kind{credential.JSAPITicket}, nil
		s.Apply([]credential.Account{revoked, withToken(pay, "other", hour(2))})
		is("revoked", "two", "")
		is("revoked", "other", pay)
		s.Apply([]credential.Account{withToken(shop, "two", hour(2))})
		is("granted again", "one", shop)
		is("granted again", "two", shop)
		time.Sleep(time.Hour)
		is("past its expiry", "one", "")
		is("past its expiry", "two", shop)
		time.Sleep(time.Hour)
		s.Apply([]credential.Account{withToken(shop, "three", hour(2))})
		is("forgotten", "two", "")
		is("forgotten", "three", shop)
	})
}

// A token that was found expired is forgotten. So it is not good again when the clock
// is set back, and the memory of an edge does not grow from day to day.
func TestExpiredTokensAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var wall clocktest.Wall
		held := credential.Clock(wall.Now)
		s := signing.New(nil, held)
		is := func(when, presented, want string) {
			t.Helper()
			if got, ok := s.TokenOf(presented); got != want || ok != (want != "") {
				t.Errorf("%s: %q is a token of %q", when, presented, got)
			}
		}
		s.Apply([]credential.Account{withToken(shop, "one", held.Now().Add(2*time.Hour))})
		s.Apply([]credential.Account{withToken(shop, "two", held.Now().Add(9*time.Hour))})
		is("replaced", "one", shop)
		wall.Step(3 * time.Hour)
		is("past its expiry", "one", "")
		is("past the other's expiry", "two", shop)
		s.Apply([]credential.Account{withToken(shop, "three", held.Now().Add(9*time.Hour))})
		wall.Step(-3 * time.Hour)
		is("with the clock set back", "one", "")
		is("with the clock set back", "two", shop)
	})
}

// Reveal says for how long a copy may be used, by an app that does not learn of the
// next token.
func TestRevealSaysForHowLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := signing.New(nil, clock)
		a := withToken(shop, "one", clock.Now().Add(2*time.Hour))
		a.Credentials[0].Replaced = clock.Now().Add(time.Hour)
		s.Apply([]credential.Account{a})
		if value, left, err := s.Reveal("", credential.AccessToken); value.Reveal() != "one" || left != time.Hour+290*time.Second || err != nil {
			t.Errorf("%v for %v, %v", value, left, err)
		}
		if got, err := s.Account(shop); got.AppID != shop || err != nil {
			t.Errorf("%v, %v", got.AppID, err)
		}
		for _, appid := range []string{"", pay} {
			if _, err := s.Account(appid); !errors.Is(err, signing.ErrAccount) {
				t.Errorf("account %q: %v", appid, err)
			}
		}
	})
}

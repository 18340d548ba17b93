package signing_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wxbroker/wxbroker/edge/internal/signing"
	"github.com/wxbroker/wxbroker/pkg/credential"
)

// TestAwait: each case begins with version 5 of shop's ticket. Then states come, a
// second apart.
func TestAwait(t *testing.T) {
	ticket := func(appid string, version int64) []credential.Account {
		return []credential.Account{{
			AppID: appid, Kinds: []credential.Kind{credential.JSAPITicket},
			Credentials: []credential.Credential{{Kind: credential.JSAPITicket, Value: credential.NewSecret("t"), Version: version}},
		}}
	}
	none := ticket(shop, 0)
	none[0].Credentials = nil
	notGranted := none[0]
	notGranted.Kinds = nil
	const bound = 10 * time.Second
	tests := []struct {
		name    string
		states  [][]credential.Account
		appid   string
		kind    credential.Kind
		version int64
		waits   time.Duration
	}{
		{"held", nil, shop, credential.JSAPITicket, 5, 0},
		{"a newer one is held", nil, shop, credential.JSAPITicket, 4, 0},
		{"comes", [][]credential.Account{ticket(shop, 6)}, shop, credential.JSAPITicket, 6, time.Second},
		{"a newer one comes", [][]credential.Account{ticket(shop, 9)}, shop, credential.JSAPITicket, 6, time.Second},
		{"comes after others", [][]credential.Account{ticket(shop, 5), none, ticket(shop, 6)}, shop, credential.JSAPITicket, 6, 3 * time.Second},
		{"never comes", [][]credential.Account{ticket(shop, 5)}, shop, credential.JSAPITicket, 6, bound},
		{"another kind, which is not granted", nil, shop, credential.AccessToken, 6, 0},
		{"another account, which is not granted", nil, pay, credential.JSAPITicket, 6, 0},
		{"the kind is no longer granted", [][]credential.Account{{notGranted}}, shop, credential.JSAPITicket, 6, time.Second},
		{"the account is no longer granted", [][]credential.Account{ticket(pay, 6)}, shop, credential.JSAPITicket, 6, time.Second},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := signing.New(nil, clock)
				s.Apply(ticket(shop, 5))
				go func() {
					for _, state := range test.states {
						time.Sleep(time.Second)
						s.Apply(state)
					}
				}()
				ctx, cancel := context.WithTimeout(t.Context(), bound)
				defer cancel()
				began := time.Now()
				s.Await(ctx, test.appid, test.kind, test.version)
				if waited := time.Since(began); waited != test.waits {
					t.Errorf("waited %v, want %v", waited, test.waits)
				}
			})
		})
	}
}

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

// Promise 1: no signature is made with a ticket past its hard expiry. Each case is a
// moment around the expiry, by one clock or the other.
func TestNothingIsSignedPastTheHardExpiry(t *testing.T) {
	const life = 20 * time.Second
	tests := []struct {
		name string
		// wall is how far the wall clock is stepped after the fetch; passes is the time
		// that passes on both clocks then.
		wall, passes time.Duration
		signs        bool
	}{
		{"at once", 0, 0, true},
		{"time passes, a nanosecond left", 0, life - 1, true},
		{"time passes, to the instant", 0, life, false},
		{"time passes, a nanosecond too far", 0, life + 1, false},
		{"wall clock stepped, a nanosecond left", life - 1, 0, true},
		{"wall clock stepped to the instant", life, 0, false},
		{"wall clock stepped by a day", 24 * time.Hour, 0, false},
		{"some of each, a nanosecond left", life / 2, life/2 - 1, true},
		{"some of each, to the instant", life / 2, life / 2, false},
		{"wall clock stepped back, a nanosecond left", -24 * time.Hour, life - 1, true},
		{"wall clock stepped back lengthens nothing", -24 * time.Hour, life, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var wall clocktest.Wall
				clock := credential.Clock(wall.Now)
				w := newWeChat(t, life)
				s := signing.New(nil, clock)
				s.Apply([]credential.Account{w.account(shop, clock.Now())})
				wall.Step(test.wall)
				time.Sleep(test.passes)

				zero := int64(0)
				plain := request(t, shop, "https://shop.example.com/")
				chosen := plain
				chosen.NonceStr, chosen.Timestamp = "abc", &zero
				for _, r := range []signing.Request{plain, chosen} {
					config, err := s.Sign(r)
					switch {
					case test.signs && (err != nil || !w.accepts(config)):
						t.Errorf("%v, %+v", err, config)
					case !test.signs && (!errors.Is(err, signing.ErrUnavailable) || config.Signature != ""):
						t.Errorf("%v, %+v", err, config)
					}
				}
				secret, _, err := s.Reveal(shop, credential.JSAPITicket)
				if (err == nil) != test.signs || secret.IsZero() == test.signs {
					t.Errorf("Reveal: %v, nothing is %v", err, secret.IsZero())
				}
				if err := s.Ready(); (err == nil) != test.signs {
					t.Errorf("Ready: %v", err)
				}
			})
		})
	}
}

// The same, in steps of a minute over a day, while newer tickets come late: WeChat
// accepts every signature at the moment at which it is made.
func TestEverySignatureOfADayIsAccepted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		clock := credential.Clock(credential.WallClock)
		w := newWeChat(t, 2*time.Hour)
		s := signing.New(nil, clock)
		r := request(t, "", "https://shop.example.com/")
		signed, refused := 0, 0
		for step := range 24 * 60 {
			// The broker sends a state only every 130 minutes: ten too late.
			if step%130 == 0 {
				s.Apply([]credential.Account{w.account(shop, clock.Now())})
			}
			config, err := s.Sign(r)
			switch {
			case err == nil && !w.accepts(config):
				t.Fatalf("minute %d: WeChat would refuse the signature", step)
			case err == nil:
				signed++
			case errors.Is(err, signing.ErrUnavailable):
				refused++
			default:
				t.Fatal(err)
			}
			time.Sleep(time.Minute)
		}
		// 1440 minutes are 11 times 130 and 10 more: 120 signed and 10 refused
		// each time, then 10 signed.
		if signed != 11*120+10 || refused != 11*10 {
			t.Errorf("%d signed, %d refused", signed, refused)
		}
	})
}

func TestExpiryIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		clock := credential.Clock(credential.WallClock)
		w := newWeChat(t, 20*time.Second)
		s := signing.New(nil, clock)
		s.Apply([]credential.Account{w.account(shop, clock.Now())})
		time.Sleep(83 * time.Second)
		_, err := s.Sign(request(t, shop, "https://shop.example.com/"))
		if err == nil || !strings.Contains(err.Error(), "the jsapi_ticket of "+shop+" expired 1m3s ago") {
			t.Errorf("error %v", err)
		}
	})
}

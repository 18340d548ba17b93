package watch_test

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/wxbroker/wxbroker/pkg/credential"
	"github.com/wxbroker/wxbroker/pkg/watch"
	wxbrokerv1 "github.com/wxbroker/wxbroker/proto/wxbroker/v1"
)

func TestSubscriptionSaysWhatIsWantedAndHeld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := start(t, func(o *watch.Options) {
			o.AppIDs, o.Name, o.Version, o.Calls = []string{"wx1", "wx2"}, "pod-1", "v1.2.3", true
		})
		s, first := w.next()
		if !slices.Equal(first.GetAppids(), []string{"wx1", "wx2"}) ||
			!slices.Equal(first.GetKinds(), []wxbrokerv1.CredentialKind{ticket, token}) ||
			first.GetEdgeName() != "pod-1" || first.GetEdgeVersion() != "v1.2.3" || !first.GetCalls() {
			t.Errorf("subscribed to %v", first)
		}
		checkVersions(t, first.GetHeld())
		s.tell(t, 1, list(account("wx1", cred(ticket, 5, "a"), cred(token, 6, "b")), account("wx2")),
			"wx1 jsapi_ticket 5", "wx1 access_token 6")

		s.ended <- status.Error(codes.Unavailable, "restarting")
		_, again := w.next()
		checkVersions(t, again.GetHeld(), "wx1 jsapi_ticket 5", "wx1 access_token 6")
	})
}

func TestStatesOnlyMoveForward(t *testing.T) {
	both := func() *wxbrokerv1.Account { return account("wx1", cred(ticket, 5, "five"), cred(token, 5, "t")) }
	only := func(kind wxbrokerv1.CredentialKind, credentials ...*wxbrokerv1.Credential) *wxbrokerv1.Account {
		a := account("wx1", credentials...)
		a.Kinds = []wxbrokerv1.CredentialKind{kind}
		return a
	}
	tests := []struct {
		name string
		next []*wxbrokerv1.Account // the state that follows both()
		held []string
	}{
		{
			"newer replaces", list(account("wx1", cred(ticket, 6, "six"), cred(token, 5, "t"))),
			[]string{"wx1 jsapi_ticket 6 six", "wx1 access_token 5 t"},
		},
		{
			"older is offered: the newer is kept", list(account("wx1", cred(ticket, 4, "four"), cred(token, 6, "t6"))),
			[]string{"wx1 jsapi_ticket 5 five", "wx1 access_token 6 t6"},
		},
		{
			"a kind without a credential keeps the one held", list(account("wx1", cred(token, 5, "t"))),
			[]string{"wx1 jsapi_ticket 5 five", "wx1 access_token 5 t"},
		},
		{"the broker has nothing just now", list(account("wx1")), []string{"wx1 jsapi_ticket 5 five", "wx1 access_token 5 t"}},
		{"a kind that is not listed is dropped", list(only(ticket, cred(ticket, 5, "five"))), []string{"wx1 jsapi_ticket 5 five"}},
		{
			"a credential whose kind is not listed is not taken", list(only(token, cred(ticket, 9, "nine"), cred(token, 5, "t"))),
			[]string{"wx1 access_token 5 t"},
		},
		{"an account that is absent is dropped", list(account("wx2", cred(ticket, 1, "one"))), []string{"wx2 jsapi_ticket 1 one"}},
		{"everything is dropped", nil, nil},
		{
			"an account is added", list(both(), account("wx2", cred(ticket, 1, "one"))),
			[]string{"wx1 jsapi_ticket 5 five", "wx1 access_token 5 t", "wx2 jsapi_ticket 1 one"},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for _, reconnect := range []bool{false, true} {
				synctest.Test(t, func(t *testing.T) {
					w := start(t, nil)
					s, _ := w.next()
					s.tell(t, 1, list(both()), "wx1 jsapi_ticket 5", "wx1 access_token 5")
					if reconnect { // to a broker whose revisions begin anew
						s.ended <- nil
						s, _ = w.next()
					}
					var versions []string // an acknowledgement has what is held, not what was sent
					for _, h := range tt.held {
						versions = append(versions, h[:strings.LastIndexByte(h, ' ')])
					}
					s.tell(t, 1, tt.next, versions...)
					w.checkHeld(tt.held...)
					w.checkOpen(s)
				})
			}
		})
	}
}

func TestWhatWasDroppedMayComeBackOlder(t *testing.T) {
	// Nothing is held any more, so an older version is no step back.
	synctest.Test(t, func(t *testing.T) {
		w := start(t, nil)
		s, _ := w.next()
		s.tell(t, 1, list(account("wx1", cred(ticket, 5, "five"))), "wx1 jsapi_ticket 5")
		s.tell(t, 2, nil)
		s.tell(t, 3, list(account("wx1", cred(ticket, 4, "four"))), "wx1 jsapi_ticket 4")
		w.checkHeld("wx1 jsapi_ticket 4 four")
	})
}

func TestExpiryMovesWhileTheVersionStays(t *testing.T) {
	for _, tt := range []struct {
		name string
		left time.Duration
	}{{"later", 2 * time.Hour}, {"sooner", time.Minute}} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := start(t, nil)
				s, _ := w.next()
				s.tell(t, 1, list(account("wx1", cred(ticket, 5, "five"))), "wx1 jsapi_ticket 5")
				moved := cred(ticket, 5, "five")
				moved.ExpireTime = timestamppb.New(time.Now().Add(tt.left))
				s.tell(t, 2, list(account("wx1", moved)), "wx1 jsapi_ticket 5")
				if got := w.left(); got != tt.left {
					t.Errorf("%v left, want %v", got, tt.left)
				}
			})
		})
	}
}

// left returns how long the only credential still lives.
func (w *world) left() time.Duration {
	w.t.Helper()
	synctest.Wait()
	return w.current()[0].Credentials[0].Expiry.Sub(credential.Clock(w.clock.Now).Now())
}

func TestOlderVersionDoesNotMoveTheExpiry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := start(t, nil)
		s, _ := w.next()
		s.tell(t, 1, list(account("wx1", cred(ticket, 5, "five"))), "wx1 jsapi_ticket 5")
		older := cred(ticket, 4, "four")
		older.ExpireTime = timestamppb.New(time.Now().Add(2 * time.Hour))
		s.tell(t, 2, list(account("wx1", older)), "wx1 jsapi_ticket 5")
		if got := w.left(); got != time.Hour {
			t.Errorf("%v left, want an hour", got)
		}
	})
}

func TestRemainingLifeIsRightThoughTheEdgesClockIsWrong(t *testing.T) {
	for _, wrong := range []time.Duration{-24 * time.Hour, 24 * time.Hour} {
		t.Run(wrong.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := startAt(t, wrong, nil)
				s, _ := w.next()
				s.tell(t, 1, list(account("wx1", cred(ticket, 5, "five"))), "wx1 jsapi_ticket 5")
				if got := w.left(); got != time.Hour {
					t.Errorf("%v left, want an hour", got)
				}
			})
		})
	}
}

func TestMalformedStateEndsTheStreamAndChangesNothing(t *testing.T) {
	good := func() *wxbrokerv1.WatchResponse {
		return &wxbrokerv1.WatchResponse{
			Revision: 2, ServerTime: timestamppb.Now(),
			Accounts: list(account("wx1", cred(ticket, 6, "six")), account("wx2", cred(ticket, 6, "six"))),
		}
	}
	for _, tt := range []struct {
		name  string
		spoil func(*wxbrokerv1.WatchResponse)
	}{
		{"no server_time", func(r *wxbrokerv1.WatchResponse) { r.ServerTime = nil }},
		{"server_time out of range", func(r *wxbrokerv1.WatchResponse) { r.ServerTime.Seconds = 1 << 60 }},
		{"account without an appid", func(r *wxbrokerv1.WatchResponse) { r.Accounts[1].Appid = "" }},
		{"credential without an expiry", func(r *wxbrokerv1.WatchResponse) { r.Accounts[1].Credentials[0].ExpireTime = nil }},
		{"bad rule", func(r *wxbrokerv1.WatchResponse) {
			r.Accounts[1].Policy = &wxbrokerv1.AccountPolicy{SignHosts: []string{"*"}}
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := start(t, nil)
				s, _ := w.next()
				s.tell(t, 1, list(account("wx1", cred(ticket, 5, "five"))), "wx1 jsapi_ticket 5")
				state := good()
				tt.spoil(state)
				if err := s.Send(state); err != nil {
					t.Fatal(err)
				}
				w.checkLeft(s)
				again, first := w.next()
				checkVersions(t, first.GetHeld(), "wx1 jsapi_ticket 5")
				if w.states() != 1 {
					t.Errorf("Apply was called %d times, want once", w.states())
				}
				again.tell(t, 1, good().GetAccounts(), "wx1 jsapi_ticket 6", "wx2 jsapi_ticket 6")
			})
		})
	}
}

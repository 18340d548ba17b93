package streams_test

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wxbroker/wxbroker/broker/internal/access"
	"github.com/wxbroker/wxbroker/broker/internal/edges"
	"github.com/wxbroker/wxbroker/pkg/credential"
	wxbrokerv1 "github.com/wxbroker/wxbroker/proto/wxbroker/v1"
)

// checkBehind checks what each open stream should hold and does not.
func (w *world) checkBehind(want ...[]edges.Holding) {
	w.t.Helper()
	synctest.Wait()
	var got [][]edges.Holding
	for _, edge := range w.edges.List() {
		got = append(got, edge.Behind())
	}
	if !slices.EqualFunc(got, want, slices.Equal) {
		w.t.Errorf("behind are %v, want %v", got, want)
	}
}

func TestEdgesShowWhoHoldsWhat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.publish("wx1", token(1, "t"), ticket(1, "a"))
		oneToken := edges.Holding{AppID: "wx1", Kind: credential.AccessToken, Version: 1}
		oneTicket := edges.Holding{AppID: "wx1", Kind: credential.JSAPITicket, Version: 1}
		twoTicket := edges.Holding{AppID: "wx1", Kind: credential.JSAPITicket, Version: 2}
		w.checkBehind()

		s := w.watch(both())
		state := s.next()
		w.checkBehind([]edges.Holding{oneToken, oneTicket})
		s.send(acknowledge(state.GetRevision(), held("wx1", tokenKind, 1)))
		w.checkBehind([]edges.Holding{oneTicket})
		s.send(acknowledge(state.GetRevision(), held("wx1", tokenKind, 1), held("wx1", ticketKind, 1)))
		w.checkBehind(nil)

		w.publish("wx1", token(1, "t"), ticket(2, "b"))
		state = s.next()
		w.checkBehind([]edges.Holding{twoTicket})
		// Newer than what was sent is not behind.
		s.send(acknowledge(state.GetRevision(), held("wx1", tokenKind, 9), held("wx1", ticketKind, 2)))
		w.checkBehind(nil)

		// One that comes back with what it holds is not behind for a moment,
		// and is not asked about kinds that it did not want.
		second := w.watch(&wxbrokerv1.Subscription{
			Kinds: []wxbrokerv1.CredentialKind{ticketKind}, Held: []*wxbrokerv1.HeldVersion{held("wx1", ticketKind, 2)},
		})
		second.next()
		w.checkBehind(nil, nil)
	})
}

// TestEdgesShowWhichAccountsTheyWereSent, whether they have their credentials or
// only make calls.
func TestEdgesShowWhichAccountsTheyWereSent(t *testing.T) {
	for _, tt := range []struct {
		name         string
		accounts     []string // of the app's
		grants       []credential.Grant
		subscription *wxbrokerv1.Subscription
		want         []string
	}{
		{"credentials", []string{"wx1", "wx2"}, []credential.Grant{credential.Token}, both(), []string{"wx1", "wx2"}},
		{"calls alone", []string{"wx1", "wx2"}, []credential.Grant{credential.Call}, &wxbrokerv1.Subscription{Calls: true}, []string{"wx1", "wx2"}},
		{"credentials that there are none of", []string{"wx3"}, []credential.Grant{credential.Token}, both(), []string{"wx3"}},
		{"those that it asked for", []string{access.EveryAccount}, []credential.Grant{credential.Token}, both("wx2"), []string{"wx2"}},
		{"all that there are", []string{access.EveryAccount}, []credential.Grant{credential.Call}, &wxbrokerv1.Subscription{Calls: true}, []string{"wx1", "wx2", "wx3"}},
		{"an account that is none", []string{"wx9"}, []credential.Grant{credential.Token}, both(), nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.publish("wx1", token(1, "t"))
				w.publish("wx2", token(1, "t"))
				w.publish("wx3")
				secret, id := access.NewToken()
				w.grant(id, tt.accounts, tt.grants...)
				s := w.watchAs(secret.Reveal(), tt.subscription)
				s.next()
				check := func(want []string) {
					t.Helper()
					if list := w.edges.List(); len(list) != 1 || !slices.Equal(list[0].Accounts, want) {
						t.Errorf("listed are %+v, want the accounts %q", list, want)
					}
				}
				check(tt.want)
				if len(tt.want) == 0 {
					return
				}
				w.fanout.Remove(tt.want[0])
				s.next()
				check(tt.want[1:])
			})
		})
	}
}

func TestEdgesListsOpenStreams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		ctx, leave := context.WithCancel(t.Context())
		defer leave()
		for _, name := range []string{"first", "second\n\x7f level=ERROR", "third", "fourth", "fifth"} {
			s := both()
			s.EdgeName, s.EdgeVersion = name, "v1"
			stream, err := wxbrokerv1.NewCredentialServiceClient(w.Conn).Watch(ctx)
			if err != nil {
				t.Fatal(err)
			}
			(&watcher{stream, t}).send(subscribe(s))
			synctest.Wait()
			time.Sleep(time.Second) // List is in order of age
		}
		for range 20 { // a map's order can be right by chance
			var names []string
			for _, edge := range w.edges.List() {
				names = append(names, edge.Name)
				if edge.Version != "v1" || edge.Address == "" || edge.Since.IsZero() {
					t.Errorf("listed as %+v", edge)
				}
			}
			// A name goes into log lines: it must not be able to make one.
			if want := []string{"first", "second?? level=ERROR", "third", "fourth", "fifth"}; !slices.Equal(names, want) {
				t.Fatalf("listed are %q, want %q", names, want)
			}
		}
		leave()
		synctest.Wait()
		if left := w.edges.List(); len(left) != 0 {
			t.Errorf("after they left there are %v", left)
		}
	})
}

func TestClaimsAreToldOfWhatEdgesHold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		check := func(want ...string) {
			t.Helper()
			got := w.takeClaims()
			slices.Sort(got)
			if !slices.Equal(got, want) {
				t.Errorf("claimed %q, want %q", got, want)
			}
		}
		w.publish("wx1")
		w.publish("wx9")
		subscription := both("wx1")
		// Of accounts that it does not ask for too, and of kinds and accounts that
		// this broker does not know not; each once.
		subscription.Held = []*wxbrokerv1.HeldVersion{
			held("wx1", ticketKind, 6), held("wx1", ticketKind, 7), held("wx9", tokenKind, 8), held("wx1", newerKind, 9), held("wx8", tokenKind, 9),
		}
		s := w.watch(subscription)
		check("wx1 jsapi_ticket 7", "wx9 access_token 8")
		s.send(acknowledge(1, held("wx1", ticketKind, 10)))
		check("wx1 jsapi_ticket 10")
		s.send(acknowledge(2))
		check()
	})
}

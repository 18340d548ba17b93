package streams_test

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/wxbroker/wxbroker/pkg/credential"
	wxbrokerv1 "github.com/wxbroker/wxbroker/proto/wxbroker/v1"
)

func TestEachStateIsComplete(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.publish("wx2", ticket(2, "b"))
		w.publish("wx1", token(1, "t"), ticket(1, "a"))
		s := w.watch(both())
		first := s.checkNext("wx1", "wx1 access_token 1 t", "wx1 jsapi_ticket 1 a", "wx2", "wx2 jsapi_ticket 2 b")
		w.publish("wx2", ticket(3, "c"))
		second := s.checkNext("wx1", "wx1 access_token 1 t", "wx1 jsapi_ticket 1 a", "wx2", "wx2 jsapi_ticket 3 c")
		if second.GetRevision() <= first.GetRevision() {
			t.Errorf("revision %d follows %d", second.GetRevision(), first.GetRevision())
		}
		// An account that was added is there for whoever wants all of them.
		w.publish("wx0")
		s.checkNext("wx0", "wx1", "wx1 access_token 1 t", "wx1 jsapi_ticket 1 a", "wx2", "wx2 jsapi_ticket 3 c")
	})
}

func TestFirstStateIsSentAtOnceThoughThereIsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		start := time.Now()
		s := w.watch(both())
		if state := s.checkNext(); state.GetRevision() != 0 {
			t.Errorf("nothing has revision %d", state.GetRevision())
		}
		if took := time.Since(start); took > 0 {
			t.Errorf("the first state took %v", took)
		}
		s.checkQuiet()
	})
}

func TestStateSaysHowLongCredentialsLive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		rules, err := credential.ParseHostRules([]string{"shop.example.com", "*.example.net:8443"})
		if err != nil {
			t.Fatal(err)
		}
		c := ticket(1, "a")
		c.Expiry = credential.Clock(credential.WallClock).Now().Add(time.Hour)
		w.fanout.Publish(credential.Account{
			AppID: "wx1", SignHosts: rules, Kinds: []credential.Kind{credential.JSAPITicket}, Credentials: []credential.Credential{c},
		})
		time.Sleep(20 * time.Minute)
		state := w.watch(both()).next()
		account := state.GetAccounts()[0]
		left := account.GetCredentials()[0].GetExpireTime().AsTime().Sub(state.GetServerTime().AsTime())
		if left != 40*time.Minute || !state.GetServerTime().AsTime().Equal(time.Now()) {
			t.Errorf("%v left at %v, want 40 minutes now", left, state.GetServerTime().AsTime())
		}
		if got := account.GetPolicy().GetSignHosts(); !slices.Equal(got, rules.Strings()) {
			t.Errorf("sign_hosts %q, want %q", got, rules.Strings())
		}
	})
}

func TestOnlyWhatIsWantedIsSent(t *testing.T) {
	const ticketsOnly, none = ticketKind, wxbrokerv1.CredentialKind(0)
	for _, tt := range []struct {
		name   string
		appids []string
		kinds  []wxbrokerv1.CredentialKind
		want   []string
	}{
		{"one account", []string{"wx2"}, []wxbrokerv1.CredentialKind{tokenKind, ticketKind}, []string{"wx2", "wx2 access_token 2 u", "wx2 jsapi_ticket 2 b"}},
		{"one kind", nil, []wxbrokerv1.CredentialKind{ticketsOnly}, []string{"wx1", "wx1 jsapi_ticket 1 a", "wx2", "wx2 jsapi_ticket 2 b"}},
		{"one of each", []string{"wx1"}, []wxbrokerv1.CredentialKind{tokenKind}, []string{"wx1", "wx1 access_token 1 t"}},
		{"an unknown account is absent", []string{"wx9", "wx1"}, []wxbrokerv1.CredentialKind{ticketKind}, []string{"wx1", "wx1 jsapi_ticket 1 a"}},
		{"only unknown accounts", []string{"wx9"}, []wxbrokerv1.CredentialKind{ticketKind}, nil},
		{"an account named twice", []string{"wx1", "wx1"}, []wxbrokerv1.CredentialKind{ticketKind}, []string{"wx1", "wx1 jsapi_ticket 1 a"}},
		{"a kind of a newer edge's", []string{"wx1"}, []wxbrokerv1.CredentialKind{newerKind, ticketKind}, []string{"wx1", "wx1 jsapi_ticket 1 a"}},
		{"only kinds of a newer edge's", []string{"wx1"}, []wxbrokerv1.CredentialKind{newerKind, none}, []string{"wx1"}},
		{"a kind that is not kept", []string{"wx1"}, []wxbrokerv1.CredentialKind{wxbrokerv1.CredentialKind_CREDENTIAL_KIND_WX_CARD_TICKET}, []string{"wx1"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.publish("wx1", token(1, "t"), ticket(1, "a"))
				w.publish("wx2", token(2, "u"), ticket(2, "b"))
				s := w.watch(&wxbrokerv1.Subscription{Appids: tt.appids, Kinds: tt.kinds})
				state := s.checkNext(tt.want...)
				for _, a := range state.GetAccounts() {
					for _, k := range a.GetKinds() {
						if !slices.Contains(tt.kinds, k) {
							t.Errorf("%v is listed and was not asked for", k)
						}
					}
				}
			})
		})
	}
}

func TestKindWithoutACredentialIsListed(t *testing.T) {
	// An edge keeps what it holds of such a kind; of one not listed it drops.
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.publish("wx1")
		state := w.watch(both()).checkNext("wx1")
		if got := state.GetAccounts()[0].GetKinds(); !slices.Equal(got, []wxbrokerv1.CredentialKind{tokenKind, ticketKind}) {
			t.Errorf("listed are %v", got)
		}
	})
}

func TestChangeOfAnotherAccountSendsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.publish("wx1", ticket(1, "a"))
		s := w.watch(both("wx1", "wx9"))
		s.checkNext("wx1", "wx1 jsapi_ticket 1 a")
		for v := range int64(10) {
			w.publish("wx2", ticket(v, "b"))
			synctest.Wait()
		}
		s.send(acknowledge(1)) // nor does an acknowledgement
		s.checkQuiet()
	})
}

func TestWantedAccountThatAppearsIsSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s := w.watch(both("wx1"))
		s.checkNext()
		w.publish("wx1", ticket(1, "a"))
		s.checkNext("wx1", "wx1 jsapi_ticket 1 a")
	})
}

func TestSlowReaderGetsTheNewest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const published = 500
		w := newWorld(t)
		big := strings.Repeat("x", 16<<10) // soon more than the transport buffers
		slow, quick := w.watch(both()), w.watch(both())
		slow.next()
		quick.next()
		for v := range int64(published) {
			w.publish("wx1", ticket(v+1, big))
			// The slow one costs nobody else anything.
			if got := quick.next().GetAccounts()[0].GetCredentials()[0].GetVersion(); got != v+1 {
				t.Fatalf("the quick reader got version %d, want %d", got, v+1)
			}
			synctest.Wait()
		}
		read, version := 0, int64(0)
		for version < published {
			state := slow.next()
			read++
			next := state.GetAccounts()[0].GetCredentials()[0].GetVersion()
			if next <= version {
				t.Fatalf("version %d follows %d", next, version)
			}
			version = next
		}
		// What the transport buffered is sent all the same; the rest is not.
		if read > published/5 {
			t.Errorf("read %d states until the newest one", read)
		}
		slow.checkQuiet()
	})
}

func TestStreamEndsRegularlyAfterAWhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.publish("wx1", ticket(1, "a"))
		lives := map[time.Duration]bool{}
		for range 5 {
			s := w.watch(both())
			s.next()
			start := time.Now()
			s.checkEnded()
			life := time.Since(start)
			if life < 30*time.Minute || life > time.Hour {
				t.Errorf("lived for %v, want 30 to 60 minutes", life)
			}
			lives[life] = true
		}
		if len(lives) == 1 {
			t.Errorf("every stream lived for %v: edges would all come back at once", lives)
		}
		synctest.Wait()
		if n := len(w.edges.List()); n != 0 {
			t.Errorf("%d edges are left", n)
		}
	})
}

func TestStopEndsStreamsRegularly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.publish("wx1", ticket(1, "a"))
		first, second := w.watch(both()), w.watch(both("wx1"))
		first.next()
		second.next()
		if took := w.Stop(); took > time.Second {
			t.Errorf("the stop took %v though nothing was in its way", took)
		}
		for _, s := range []*watcher{first, second} {
			s.checkEnded()
		}
	})
}

func TestStopBeforeTheSubscription(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s := w.open()
		synctest.Wait()
		if took := w.Stop(); took > time.Second {
			t.Errorf("the stop took %v", took)
		}
		s.checkRefused(codes.Unavailable)
	})
}

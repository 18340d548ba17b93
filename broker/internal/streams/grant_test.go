package streams_test

import (
	"context"
	"crypto/sha256"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/wxbroker/wxbroker/broker/clustertest"
	"github.com/wxbroker/wxbroker/broker/internal/access"
	"github.com/wxbroker/wxbroker/broker/internal/rpc/rpctest"
	"github.com/wxbroker/wxbroker/pkg/credential"
	wxbrokerv1 "github.com/wxbroker/wxbroker/proto/wxbroker/v1"
)

// watchAs opens a stream by a token and subscribes.
func (w *world) watchAs(token string, s *wxbrokerv1.Subscription) *watcher {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), 2*time.Hour)
	w.t.Cleanup(cancel)
	stream, err := wxbrokerv1.NewCredentialServiceClient(w.Conn).Watch(rpctest.By(ctx, token))
	if err != nil {
		w.t.Fatal(err)
	}
	got := &watcher{stream, w.t}
	got.send(subscribe(s))
	return got
}

// TestCallsOnTheStream: an edge that asks is told what is called for its app,
// and has the key of its aliases, also where it may have no credential; and no
// longer, once that is revoked.
func TestCallsOnTheStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		secret, id := access.NewToken()
		w.publish("wx1", token(1, "t"), ticket(2, "k"))
		asking := both("wx1")
		asking.Calls = true
		check := func(state *wxbrokerv1.WatchResponse, key string, calls ...wxbrokerv1.CallGrant) {
			t.Helper()
			a := state.GetAccounts()[0]
			if !slices.Equal(a.GetCalls(), calls) || string(a.GetAliasKey()) != key {
				t.Errorf("calls %v and the key %q", a.GetCalls(), a.GetAliasKey())
			}
		}
		w.grant(id, []string{"wx1"}, credential.Call, credential.Media)
		w.watchAs(secret.Reveal(), both("wx1")).checkRefused(codes.PermissionDenied) // it does not ask for calls
		stream := w.watchAs(secret.Reveal(), asking)
		check(stream.checkNext("wx1"), "alias key of web for wx1", wxbrokerv1.CallGrant_CALL_GRANT_MEDIA, wxbrokerv1.CallGrant_CALL_GRANT_CALL)
		noKinds := w.watchAs(secret.Reveal(), &wxbrokerv1.Subscription{Calls: true})
		check(noKinds.checkNext("wx1"), "alias key of web for wx1", wxbrokerv1.CallGrant_CALL_GRANT_MEDIA, wxbrokerv1.CallGrant_CALL_GRANT_CALL)
		w.grant(id, []string{"wx1"}, credential.Sign, credential.Template)
		check(stream.checkNext("wx1", "wx1 jsapi_ticket 2 k"), "alias key of web for wx1", wxbrokerv1.CallGrant_CALL_GRANT_TEMPLATE)
		plain := w.watchAs(secret.Reveal(), both("wx1"))
		check(plain.checkNext("wx1", "wx1 jsapi_ticket 2 k"), "")
		w.grant(id, []string{"wx1"}, credential.Sign)
		check(stream.checkNext("wx1", "wx1 jsapi_ticket 2 k"), "")
		w.grant(id, []string{"wx1"}, credential.Report)
		stream.checkRefused(codes.PermissionDenied)
		w.grant(id, []string{"wx1"}, credential.OAuth)
		other := both("wx2")
		other.Calls = true
		w.watchAs(secret.Reveal(), other).checkRefused(codes.PermissionDenied)
	})
}

// TestOpenStreamsFollowTheGrants: each change is a state of its own, and what
// is no longer granted is not in it. What is left of nothing is PERMISSION_DENIED.
func TestOpenStreamsFollowTheGrants(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		secret, id := access.NewToken()
		w.publish("wx1", token(1, "t1"), ticket(1, "a1"))
		w.publish("wx2", token(2, "t2"), ticket(2, "a2"))
		w.grant(id, []string{"wx1"}, credential.Sign)
		s := w.watchAs(secret.Reveal(), both())
		s.checkNext("wx1", "wx1 jsapi_ticket 1 a1")
		w.ExpectAudit(
			`app=web action=watch outcome=refused identity=token:sha256:`+string(id[13:21])+`… address=bufconn reason="the app has not been granted these kinds" kinds=[access_token]`,
			"action=watch outcome=granted identity=token:sha256:"+string(id[13:21])+"… address=bufconn appid=wx1 kinds=[jsapi_ticket]",
		)
		// What changes without a meaning for the stream is not told twice.
		w.publish("wx1", token(3, "t3"), ticket(3, "a3"))
		s.checkNext("wx1", "wx1 jsapi_ticket 3 a3")
		w.ExpectAudit()
		w.publish("wx2", token(4, "t4"), ticket(4, "a4")) // which is none of its business: no state comes of it
		synctest.Wait()
		w.grant(id, []string{"wx1", "wx2"}, credential.Sign, credential.Token)
		s.checkNext("wx1", "wx1 access_token 3 t3", "wx1 jsapi_ticket 3 a3", "wx2", "wx2 access_token 4 t4", "wx2 jsapi_ticket 4 a4")
		w.ExpectAudit("appid=wx1 kinds=[access_token]", "appid=wx2 kinds=\"[access_token jsapi_ticket]\"")
		w.grant(id, []string{access.EveryAccount}, credential.Token)
		s.checkNext("wx1", "wx1 access_token 3 t3", "wx2", "wx2 access_token 4 t4")
		w.ExpectAudit("outcome=revoked", "appid=wx2 kinds=[jsapi_ticket]")
		w.publish("wx3", token(5, "t5"))
		s.checkNext("wx1", "wx1 access_token 3 t3", "wx2", "wx2 access_token 4 t4", "wx3", "wx3 access_token 5 t5")
		w.ExpectAudit("appid=wx3")
		w.fanout.Remove("wx2")
		s.checkNext("wx1", "wx1 access_token 3 t3", "wx3", "wx3 access_token 5 t5")
		w.ExpectAudit("outcome=revoked")
		start := time.Now()
		w.grant(id, []string{"wx1"}, credential.Report)
		if err := s.end(); status.Code(err) != codes.PermissionDenied || !strings.Contains(err.Error(), "the app web has not been granted any credential") {
			t.Errorf("the stream ended with %v", err)
		}
		if took := time.Since(start); took > 0 {
			t.Errorf("the stream ended after %v", took)
		}
		w.ExpectAudit("outcome=revoked", "outcome=revoked")
	})
}

// TestRevokedAppsAreCut: an identity that is nobody any more.
func TestRevokedAppsAreCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		secret, id := access.NewToken()
		w.publish("wx1", ticket(1, "a"))
		w.grant(id, []string{"wx1"}, credential.Sign)
		s := w.watchAs(secret.Reveal(), both())
		s.checkNext("wx1", "wx1 jsapi_ticket 1 a")
		w.use() // there are no apps
		s.checkRefused(codes.PermissionDenied)
		w.watchAs(secret.Reveal(), both()).checkRefused(codes.Unauthenticated)
	})
}

// TestAnIdentityMoves to another app while its stream is open: from then on
// that one is told of, and has what it was granted.
func TestAnIdentityMoves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		secret, id := access.NewToken()
		w.publish("wx1", ticket(1, "a"))
		w.publish("wx2", ticket(2, "b"))
		w.grant(id, []string{"wx1"}, credential.Sign)
		s := w.watchAs(secret.Reveal(), &wxbrokerv1.Subscription{Kinds: []wxbrokerv1.CredentialKind{ticketKind}})
		s.checkNext("wx1", "wx1 jsapi_ticket 1 a")
		w.TakeAudit()
		w.use(access.App{Name: "other", Identities: []access.Identity{id}, Accounts: []string{"wx2"}, Grants: []credential.Grant{credential.Sign}})
		s.checkNext("wx2", "wx2 jsapi_ticket 2 b")
		w.ExpectAudit("app=other action=watch outcome=granted", "app=other action=watch outcome=revoked")
		if edges := w.edges.List(); len(edges) != 1 || edges[0].App != "other" {
			t.Errorf("%+v", edges)
		}
	})
}

// TestOpenBecomesClosed: whoever came before there were apps has proven
// nothing.
func TestOpenBecomesClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		_, id := access.NewToken()
		w.publish("wx1", ticket(1, "a"))
		s := w.watch(both())
		s.checkNext("wx1", "wx1 jsapi_ticket 1 a")
		w.grant(id, []string{"wx1"}, credential.Sign)
		s.checkRefused(codes.PermissionDenied)
	})
}

func TestWhatCannotBeGranted(t *testing.T) {
	ticketOf := func(appids ...string) *wxbrokerv1.Subscription {
		return &wxbrokerv1.Subscription{Appids: appids, Kinds: []wxbrokerv1.CredentialKind{ticketKind}}
	}
	for _, tt := range []struct {
		name         string
		subscription *wxbrokerv1.Subscription
		grants       []credential.Grant
		want         []string // nil is PERMISSION_DENIED
	}{
		{"an account of others", ticketOf("wx2"), []credential.Grant{credential.Sign}, nil},
		{"one of ours, one of others", ticketOf("wx2", "wx1"), []credential.Grant{credential.Sign}, []string{"wx1", "wx1 jsapi_ticket 1 a1"}},
		{"one of ours, one of nobody's", ticketOf("wx1", "wx9"), []credential.Grant{credential.Sign}, []string{"wx1", "wx1 jsapi_ticket 1 a1"}},
		{"whatever there is", ticketOf(), []credential.Grant{credential.Sign}, []string{"wx1", "wx1 jsapi_ticket 1 a1"}},
		{"a kind of another grant", ticketOf(), []credential.Grant{credential.Token}, nil},
		{"no credential at all", both(), []credential.Grant{credential.Template, credential.Admin}, nil},
		{
			"a kind that is not known yet", &wxbrokerv1.Subscription{Kinds: []wxbrokerv1.CredentialKind{newerKind}},
			[]credential.Grant{credential.Sign},
			[]string{"wx1"},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				secret, id := access.NewToken()
				w.publish("wx1", token(1, "t1"), ticket(1, "a1"))
				w.publish("wx2", token(2, "t2"), ticket(2, "a2"))
				w.grant(id, []string{"wx1"}, tt.grants...)
				s := w.watchAs(secret.Reveal(), tt.subscription)
				if tt.want == nil {
					s.checkRefused(codes.PermissionDenied)
					if lines := w.TakeAudit(); !slices.ContainsFunc(lines, func(line string) bool { return strings.Contains(line, "outcome=refused") }) {
						t.Errorf("the audit says %q", lines)
					}
					return
				}
				s.checkNext(tt.want...)
			})
		})
	}
}

// TestClaimsAreForWhatOneMayHold: an edge cannot push up the versions of what
// it was not granted.
func TestClaimsAreForWhatOneMayHold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		secret, id := access.NewToken()
		w.publish("wx1", token(1, "t1"), ticket(1, "a1"))
		w.publish("wx2", ticket(1, "b1"))
		w.grant(id, []string{"wx1"}, credential.Sign)
		all := []*wxbrokerv1.HeldVersion{held("wx1", tokenKind, 9), held("wx1", ticketKind, 9), held("wx2", ticketKind, 9)}
		subscription := both()
		subscription.Held = all
		s := w.watchAs(secret.Reveal(), subscription)
		state := s.checkNext("wx1", "wx1 jsapi_ticket 1 a1")
		if got := w.takeClaims(); !slices.Equal(got, []string{"wx1 jsapi_ticket 9"}) {
			t.Errorf("claimed on subscribing: %q", got)
		}
		s.send(acknowledge(state.GetRevision(), all...))
		if got := w.takeClaims(); !slices.Equal(got, []string{"wx1 jsapi_ticket 9"}) {
			t.Errorf("claimed on acknowledging: %q", got)
		}
	})
}

// TestStreamsEndWithTheProof by which they were opened, without an error: the
// edge has a newer one by then. So they do when something else wakes them first,
// as it may at that moment, and surely does once the clock was stepped.
func TestStreamsEndWithTheProof(t *testing.T) {
	const life = 10 * time.Minute
	for _, tt := range []struct {
		name string
		wake func(*world, *watcher)
	}{
		{"by itself", nil},
		{"at a change", func(w *world, _ *watcher) { w.publish("wx1", ticket(2, "b")) }},
		{"at a reload", func(w *world, _ *watcher) { w.fanout.Renew() }},
		{"at an acknowledgement", func(_ *world, s *watcher) { s.send(acknowledge(1, held("wx1", ticketKind, 1))) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				cluster := clustertest.New(t, "one")
				w.publish("wx1", ticket(1, "a"))
				app := access.App{Name: "web", Identities: []access.Identity{"k8s:shop:web"}, Accounts: []string{"wx1"}, Grants: []credential.Grant{credential.Sign}}
				policy, err := access.NewPolicy([]access.App{app}, access.NewKubernetes(clustertest.Issuer, "a test", access.KeyFile(cluster.KeysFile(t))))
				if err != nil {
					t.Fatal(err)
				}
				w.Access.Use(policy)
				s := w.watchAs(cluster.Token(t, "shop", "web", clustertest.Until(time.Now().Add(life))), both())
				s.checkNext("wx1", "wx1 jsapi_ticket 1 a")
				start, want := time.Now(), life
				if tt.wake != nil {
					w.Clock.Step(life)
					tt.wake(w, s)
					want = 0
				}
				s.checkEnded()
				if took := time.Since(start); took != want {
					t.Errorf("the stream ended after %v", took)
				}
			})
		})
	}
}

// TestReportsSayThroughWhichKey of the edge they came.
func TestReportsSayThroughWhichKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.report = func(context.Context, string, credential.Kind, [sha256.Size]byte) (v credential.Versions, known bool, err error) {
			return credential.Versions{Reported: 1, Current: 1}, true, nil
		}
		ctx := metadata.AppendToOutgoingContext(t.Context(), "wxbroker-local-key", "billing")
		if _, err := w.reportInvalid(ctx, tokenKind, aHash[:]); err != nil {
			t.Fatal(err)
		}
		w.ExpectAudit("app=anybody action=report outcome=granted address=bufconn local_key=billing appid=wx1")
	})
}

// TestEdgesSayForWhichApp they are.
func TestEdgesSayForWhichApp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		secret, id := access.NewToken()
		w.grant(id, []string{"wx1"}, credential.Sign)
		w.watchAs(secret.Reveal(), both()).checkNext()
		if edges := w.edges.List(); len(edges) != 1 || edges[0].App != "web" {
			t.Errorf("%+v", edges)
		}
	})
}

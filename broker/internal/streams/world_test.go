package streams_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/wxbroker/wxbroker/broker/internal/access"
	"github.com/wxbroker/wxbroker/broker/internal/edges"
	"github.com/wxbroker/wxbroker/broker/internal/fanout"
	"github.com/wxbroker/wxbroker/broker/internal/rpc"
	"github.com/wxbroker/wxbroker/broker/internal/rpc/rpctest"
	"github.com/wxbroker/wxbroker/broker/internal/streams"
	"github.com/wxbroker/wxbroker/pkg/credential"
	wxbrokerv1 "github.com/wxbroker/wxbroker/proto/wxbroker/v1"
)

const (
	tokenKind  = wxbrokerv1.CredentialKind_CREDENTIAL_KIND_ACCESS_TOKEN
	ticketKind = wxbrokerv1.CredentialKind_CREDENTIAL_KIND_JSAPI_TICKET
	// newerKind is one that this broker does not know.
	newerKind = wxbrokerv1.CredentialKind(99)
)

// world is a Service in fake time.
type world struct {
	*rpctest.Server
	t      *testing.T
	fanout fanout.Fanout
	edges  edges.Register

	// report answers reports where a test sets it.
	report func(ctx context.Context, appid string, kind credential.Kind, hash [sha256.Size]byte) (v credential.Versions, known bool, err error)

	mu     sync.Mutex
	claims []string
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{Server: rpctest.New(t), t: t}
	service := streams.New(streams.Options{
		Fanout: &w.fanout, Edges: &w.edges, Claim: w.claim,
		Report: func(ctx context.Context, appid string, kind credential.Kind, hash [sha256.Size]byte) (v credential.Versions, known bool, err error) {
			return w.report(ctx, appid, kind, hash)
		},
		AliasKey: func(_ context.Context, appid, app string) credential.Secret {
			return credential.NewSecret("alias key of " + app + " for " + appid)
		},
		Access: w.Access, Audit: w.Audit, Clock: w.Clock.Now, Log: slog.New(slog.DiscardHandler),
	})
	w.Serve(rpc.Service{Desc: &wxbrokerv1.CredentialService_ServiceDesc, Server: service, Needs: streams.Needs(), Stop: service.Stop})
	return w
}

// grant makes the app web, which has that identity, the only one.
func (w *world) grant(id access.Identity, accounts []string, grants ...credential.Grant) {
	w.t.Helper()
	w.use(access.App{Name: "web", Identities: []access.Identity{id}, Accounts: accounts, Grants: grants})
}

// use makes these the apps that there are, as a reload does.
func (w *world) use(apps ...access.App) {
	w.t.Helper()
	w.Use(apps...)
	w.fanout.Renew()
	synctest.Wait()
}

func (w *world) claim(appid string, kind credential.Kind, version int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.claims = append(w.claims, fmt.Sprint(appid, " ", kind, " ", version))
}

// takeClaims returns what was claimed since it was called last.
func (w *world) takeClaims() []string {
	synctest.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	claims := w.claims
	w.claims = nil
	return claims
}

// publish makes credentials the newest of appid, which is kept with a token
// and a ticket and has an hour to live.
func (w *world) publish(appid string, credentials ...credential.Credential) {
	expiry := credential.Clock(credential.WallClock).Now().Add(time.Hour)
	for i := range credentials {
		credentials[i].Expiry = expiry
	}
	w.fanout.Publish(credential.Account{
		AppID: appid, Kinds: []credential.Kind{credential.AccessToken, credential.JSAPITicket}, Credentials: credentials,
	})
}

func ticket(version int64, value string) credential.Credential {
	return credential.Credential{Kind: credential.JSAPITicket, Version: version, Value: credential.NewSecret(value)}
}

func token(version int64, value string) credential.Credential {
	return credential.Credential{Kind: credential.AccessToken, Version: version, Value: credential.NewSecret(value)}
}

// watcher is the client's end of a stream.
type watcher struct {
	wxbrokerv1.CredentialService_WatchClient
	t *testing.T
}

func (w *world) open() *watcher {
	w.t.Helper()
	// Longer than any stream may live.
	ctx, cancel := context.WithTimeout(w.t.Context(), 2*time.Hour)
	w.t.Cleanup(cancel)
	stream, err := wxbrokerv1.NewCredentialServiceClient(w.Conn).Watch(ctx)
	if err != nil {
		w.t.Fatal(err)
	}
	return &watcher{stream, w.t}
}

// watch opens a stream and subscribes.
func (w *world) watch(s *wxbrokerv1.Subscription) *watcher {
	w.t.Helper()
	stream := w.open()
	stream.send(subscribe(s))
	return stream
}

func subscribe(s *wxbrokerv1.Subscription) *wxbrokerv1.WatchRequest {
	return &wxbrokerv1.WatchRequest{Request: &wxbrokerv1.WatchRequest_Subscription{Subscription: s}}
}

func acknowledge(revision uint64, held ...*wxbrokerv1.HeldVersion) *wxbrokerv1.WatchRequest {
	return &wxbrokerv1.WatchRequest{Request: &wxbrokerv1.WatchRequest_Acknowledgement{
		Acknowledgement: &wxbrokerv1.Acknowledgement{Revision: revision, Held: held},
	}}
}

func held(appid string, kind wxbrokerv1.CredentialKind, version int64) *wxbrokerv1.HeldVersion {
	return &wxbrokerv1.HeldVersion{Appid: appid, Kind: kind, Version: version}
}

// both asks for tokens and tickets of appids, or of all accounts.
func both(appids ...string) *wxbrokerv1.Subscription {
	return &wxbrokerv1.Subscription{Appids: appids, Kinds: []wxbrokerv1.CredentialKind{tokenKind, ticketKind}}
}

// send sends a request. EOF says that the broker has ended the stream already: then
// receiving says why.
func (s *watcher) send(request *wxbrokerv1.WatchRequest) {
	s.t.Helper()
	if err := s.Send(request); err != nil && !errors.Is(err, io.EOF) {
		s.t.Fatal(err)
	}
}

func (s *watcher) next() *wxbrokerv1.WatchResponse {
	s.t.Helper()
	state, err := s.Recv()
	if err != nil {
		s.t.Fatal(err)
	}
	return state
}

// checkNext checks the next state, each line of it "appid" for an account and
// "appid kind version value" for a credential.
func (s *watcher) checkNext(want ...string) *wxbrokerv1.WatchResponse {
	s.t.Helper()
	state := s.next()
	var got []string
	for _, a := range state.GetAccounts() {
		got = append(got, a.GetAppid())
		for _, c := range a.GetCredentials() {
			kind, _ := credential.KindFromWire(c.GetKind())
			got = append(got, fmt.Sprint(a.GetAppid(), " ", kind, " ", c.GetVersion(), " ", c.GetValue()))
		}
	}
	if !slices.Equal(got, want) {
		s.t.Errorf("got %q, want %q", got, want)
	}
	return state
}

// end returns how the stream ends, reading the states that come before.
func (s *watcher) end() error {
	for {
		if _, err := s.Recv(); err != nil {
			return err
		}
	}
}

// checkRefused checks that the stream ends with that code.
func (s *watcher) checkRefused(want codes.Code) {
	s.t.Helper()
	if err := s.end(); status.Code(err) != want {
		s.t.Errorf("the stream ended with %v, want %v", err, want)
	}
}

// checkEnded checks that the stream ends regularly.
func (s *watcher) checkEnded() {
	s.t.Helper()
	if err := s.end(); !errors.Is(err, io.EOF) {
		s.t.Errorf("the stream ended with %v, want a regular end", err)
	}
}

// checkQuiet checks that no further state is on its way.
func (s *watcher) checkQuiet() {
	s.t.Helper()
	got := make(chan *wxbrokerv1.WatchResponse, 1)
	go func() {
		if state, err := s.Recv(); err == nil {
			got <- state
		}
	}()
	synctest.Wait()
	select {
	case state := <-got:
		s.t.Errorf("unexpected state %v", state)
	default:
	}
}

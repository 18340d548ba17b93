package watch_test

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/wxbroker/wxbroker/pkg/clocktest"
	"github.com/wxbroker/wxbroker/pkg/credential"
	"github.com/wxbroker/wxbroker/pkg/grpctest"
	"github.com/wxbroker/wxbroker/pkg/watch"
	wxbrokerv1 "github.com/wxbroker/wxbroker/proto/wxbroker/v1"
)

const (
	token  = wxbrokerv1.CredentialKind_CREDENTIAL_KIND_ACCESS_TOKEN
	ticket = wxbrokerv1.CredentialKind_CREDENTIAL_KIND_JSAPI_TICKET
)

// world is a client in fake time, and a broker that sends what a test tells it to. Its
// functions are for the test's own goroutine, which is in the bubble.
type world struct {
	t      *testing.T
	client *watch.Client
	broker broker
	clock  clocktest.Wall
	// running ends when Run has returned.
	running sync.WaitGroup
	stop    context.CancelFunc

	mu      sync.Mutex
	dial    grpctest.Dial
	onApply func()
	applied [][]credential.Account
}

// start runs a client against a scripted broker. change may be nil.
func start(t *testing.T, change func(*watch.Options)) *world {
	t.Helper()
	return startAt(t, 0, change)
}

// startAt is start with a wall clock that is wrong by so much from the beginning.
func startAt(t *testing.T, wrong time.Duration, change func(*watch.Options)) *world {
	t.Helper()
	w := &world{t: t, broker: broker{opened: make(chan *stream)}}
	w.clock.Step(wrong)
	// The broker's rpc package allows this many pings and no more.
	server := grpc.NewServer(grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 5 * time.Second}))
	wxbrokerv1.RegisterCredentialServiceServer(server, &w.broker)
	w.dial = grpctest.Serve(t, server)
	options := watch.Options{
		Target: "passthrough:///broker",
		Dial: []grpc.DialOption{
			grpc.WithTransportCredentials(insecure.NewCredentials()),
			grpctest.Over(func(ctx context.Context) (net.Conn, error) {
				w.mu.Lock()
				dial := w.dial
				w.mu.Unlock()
				return dial(ctx)
			}),
		},
		Kinds: []credential.Kind{credential.JSAPITicket, credential.AccessToken},
		Clock: w.clock.Now, Log: slog.New(slog.DiscardHandler), Apply: w.apply,
	}
	if change != nil {
		change(&options)
	}
	w.client = watch.New(options)
	ctx, cancel := context.WithCancel(t.Context())
	w.stop = cancel
	w.running.Go(func() { w.client.Run(ctx) })
	t.Cleanup(func() {
		cancel()
		w.running.Wait()
	})
	return w
}

func (w *world) setDial(dial grpctest.Dial) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.dial = dial
}

func (w *world) setOnApply(f func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.onApply = f
}

func (w *world) apply(accounts []credential.Account) {
	w.mu.Lock()
	w.applied = append(w.applied, accounts)
	onApply := w.onApply
	w.mu.Unlock()
	if onApply != nil {
		onApply()
	}
}

// states returns how often Apply was called.
func (w *world) states() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.applied)
}

// current returns what was applied last.
func (w *world) current() []credential.Account {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.applied) == 0 {
		return nil
	}
	return w.applied[len(w.applied)-1]
}

// checkHeld checks what was applied last, each as "appid kind version value".
func (w *world) checkHeld(want ...string) {
	w.t.Helper()
	synctest.Wait()
	var got []string
	for _, a := range w.current() {
		for _, c := range a.Credentials {
			got = append(got, fmt.Sprint(a.AppID, " ", c.Kind, " ", c.Version, " ", c.Value.Reveal()))
		}
	}
	if !slices.Equal(got, want) {
		w.t.Errorf("holds %q, want %q", got, want)
	}
}

// next returns the next stream that the client opens, and its subscription.
func (w *world) next() (*stream, *wxbrokerv1.Subscription) {
	w.t.Helper()
	select {
	case s := <-w.broker.opened:
		first := s.receive(w.t).GetSubscription()
		if first == nil {
			w.t.Fatal("the first request is no subscription")
		}
		return s, first
	case <-time.After(time.Minute):
		w.t.Fatal("the client opened no stream within a minute")
		return nil, nil
	}
}

// checkOpen checks that the client still listens to s.
func (w *world) checkOpen(s *stream) {
	w.t.Helper()
	synctest.Wait()
	if err := s.Context().Err(); err != nil || !w.client.Connected() {
		w.t.Errorf("the stream was left (%v), connected is %v", err, w.client.Connected())
	}
}

// checkLeft checks that the client leaves s, and waits until it does.
func (w *world) checkLeft(s *stream) {
	w.t.Helper()
	select {
	case <-s.Context().Done():
	case <-time.After(time.Minute):
		w.t.Fatal("the client did not leave the stream within a minute")
	}
}

// broker hands every stream to the test.
type broker struct {
	wxbrokerv1.UnimplementedCredentialServiceServer
	opened chan *stream
}

// stream is one of the broker's, scripted by the test.
type stream struct {
	wxbrokerv1.CredentialService_WatchServer
	at    time.Time
	ended chan error
}

func (b *broker) Watch(server wxbrokerv1.CredentialService_WatchServer) error {
	s := &stream{server, time.Now(), make(chan error)}
	select {
	case b.opened <- s:
	case <-server.Context().Done():
		return server.Context().Err()
	}
	select {
	case err := <-s.ended:
		return err
	case <-server.Context().Done():
		return server.Context().Err()
	}
}

func (s *stream) receive(t *testing.T) *wxbrokerv1.WatchRequest {
	t.Helper()
	request, err := s.Recv()
	if err != nil {
		t.Fatal(err)
	}
	return request
}

// send sends a state and does not wait for the acknowledgement.
func (s *stream) send(t *testing.T, revision uint64, accounts ...*wxbrokerv1.Account) {
	t.Helper()
	state := &wxbrokerv1.WatchResponse{Revision: revision, ServerTime: timestamppb.Now(), Accounts: accounts}
	if err := s.Send(state); err != nil {
		t.Fatal(err)
	}
}

// tell sends a state and checks the acknowledgement: it has to list what is held, each
// as "appid kind version".
func (s *stream) tell(t *testing.T, revision uint64, accounts []*wxbrokerv1.Account, held ...string) {
	t.Helper()
	s.send(t, revision, accounts...)
	ack := s.receive(t).GetAcknowledgement()
	if ack == nil || ack.GetRevision() != revision {
		t.Fatalf("got %v, want an acknowledgement of revision %d", ack, revision)
	}
	checkVersions(t, ack.GetHeld(), held...)
}

func checkVersions(t *testing.T, in []*wxbrokerv1.HeldVersion, want ...string) {
	t.Helper()
	var got []string
	for _, h := range in {
		kind, _ := credential.KindFromWire(h.GetKind())
		got = append(got, fmt.Sprint(h.GetAppid(), " ", kind, " ", h.GetVersion()))
	}
	if !slices.Equal(got, want) {
		t.Errorf("the broker was told of %q, want %q", got, want)
	}
}

// account returns an account with credentials. Its kinds are ticket and token.
func account(appid string, credentials ...*wxbrokerv1.Credential) *wxbrokerv1.Account {
	return &wxbrokerv1.Account{Appid: appid, Kinds: []wxbrokerv1.CredentialKind{ticket, token}, Credentials: credentials}
}

// cred returns a credential that has an hour to live.
func cred(kind wxbrokerv1.CredentialKind, version int64, value string) *wxbrokerv1.Credential {
	return &wxbrokerv1.Credential{Kind: kind, Version: version, Value: value, ExpireTime: timestamppb.New(time.Now().Add(time.Hour))}
}

func list(accounts ...*wxbrokerv1.Account) []*wxbrokerv1.Account { return accounts }

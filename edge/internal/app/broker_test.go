package app

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/wxbroker/wxbroker/edge/internal/apitest"
	"github.com/wxbroker/wxbroker/edge/internal/brokertest"
	"github.com/wxbroker/wxbroker/pkg/credential"
	"github.com/wxbroker/wxbroker/pkg/grpctest"
	"github.com/wxbroker/wxbroker/pkg/tlstest"
	"github.com/wxbroker/wxbroker/pkg/wechatsim"
	wxbrokerv1 "github.com/wxbroker/wxbroker/proto/wxbroker/v1"
)

const (
	shop = "wx0123456789abcdef"
	pay  = "wxfedcba9876543210"
)

// fakeBroker sends an edge the states that a test wants, over a connection in memory,
// with credentials of a simulated WeChat. It belongs to one bubble.
type fakeBroker struct {
	brokertest.Broker
	t       *testing.T
	sim     *wechatsim.Sim
	connect grpctest.Dial
	states  chan *wxbrokerv1.WatchResponse
	ends    chan error
	// ahead is how far the broker's clock is ahead of the edge's.
	ahead time.Duration
	// dials counts connections; away refuses them.
	dials atomic.Int64
	away  atomic.Bool
	// reported is the answer to reports. While it is nil they are not answered.
	reported atomic.Pointer[reportAnswer]

	mu            sync.Mutex
	revision      uint64
	subscriptions []*wxbrokerv1.Subscription
	held          []*wxbrokerv1.HeldVersion // of the last acknowledgement
	open          int
	caller        caller
}

// caller is who made the last call.
type caller struct{ token, serial, localKey string }

type reportAnswer struct {
	versions credential.Versions
	err      error
}

func startBroker(t *testing.T, options ...grpc.ServerOption) *fakeBroker {
	t.Helper()
	b := &fakeBroker{
		t: t,
		sim: wechatsim.New(wechatsim.Config{Accounts: []wechatsim.Account{
			{AppID: shop, Secret: "s"}, {AppID: pay, Secret: "s"},
		}}),
		states: make(chan *wxbrokerv1.WatchResponse),
		ends:   make(chan error),
	}
	b.Watch, b.Report, b.Answer = b.watch, b.report, b.answer
	b.connect = b.Serve(t, options...)
	return b
}

func (b *fakeBroker) dial(ctx context.Context) (net.Conn, error) {
	if b.away.Load() {
		return nil, errors.New("connection refused")
	}
	b.dials.Add(1)
	return b.connect(ctx)
}

// report answers one report.
func (b *fakeBroker) report(ctx context.Context, _ *wxbrokerv1.ReportInvalidRequest) (credential.Versions, error) {
	b.noteCaller(ctx)
	answer := b.reported.Load()
	if answer == nil {
		<-ctx.Done()
		return credential.Versions{}, ctx.Err()
	}
	return answer.versions, answer.err
}

// watch answers one stream.
func (b *fakeBroker) watch(stream brokertest.WatchStream) error {
	b.noteCaller(stream.Context())
	first, err := stream.Recv()
	if err != nil {
		return err
	}
	b.note(func() { b.subscriptions = append(b.subscriptions, first.GetSubscription()); b.open++ })
	defer b.note(func() { b.open-- })
	go func() {
		for {
			request, err := stream.Recv()
			if err != nil {
				return
			}
			b.note(func() { b.held = request.GetAcknowledgement().GetHeld() })
		}
	}()
	for {
		select {
		case state := <-b.states:
			if err := stream.Send(state); err != nil {
				return err
			}
		case err := <-b.ends:
			return err
		case <-stream.Context().Done():
			return stream.Context().Err()
		}
	}
}

func (b *fakeBroker) noteCaller(ctx context.Context) {
	headers, _ := metadata.FromIncomingContext(ctx)
	c := caller{token: strings.Join(headers.Get("authorization"), ","), localKey: strings.Join(headers.Get("wxbroker-local-key"), ",")}
	from, _ := peer.FromContext(ctx)
	if info, ok := from.AuthInfo.(credentials.TLSInfo); ok && len(info.State.PeerCertificates) > 0 {
		c.serial = tlstest.Pair{Leaf: info.State.PeerCertificates[0]}.Serial()
	}
	b.note(func() { b.caller = c })
}

// called returns the last caller.
func (b *fakeBroker) called() caller {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.caller
}

func (b *fakeBroker) note(what func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	what()
}

// say sends a state on the open stream, or on the next one, and waits until the edge
// has handled it.
func (b *fakeBroker) say(accounts ...*wxbrokerv1.Account) {
	b.t.Helper()
	b.revision++
	b.states <- &wxbrokerv1.WatchResponse{
		Revision: b.revision, ServerTime: timestamppb.New(time.Now().Add(b.ahead)), Accounts: accounts,
	}
	synctest.Wait()
}

// end ends the open stream.
func (b *fakeBroker) end(err error) {
	b.ends <- err
	synctest.Wait()
}

// last returns the latest subscription and the versions that were acknowledged last.
func (b *fakeBroker) last() (subscription *wxbrokerv1.Subscription, held []*wxbrokerv1.HeldVersion, open int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if n := len(b.subscriptions); n > 0 {
		subscription = b.subscriptions[n-1]
	}
	return subscription, b.held, b.open
}

// account returns an account as the broker would grant it now, with a token and a
// ticket that the simulator just handed out. A test removes what it does not want.
func (b *fakeBroker) account(appid string) *wxbrokerv1.Account {
	b.t.Helper()
	now := credential.Clock(func() time.Time { return time.Now().Add(b.ahead) }).Now()
	return apitest.Account(b.t, b.sim, appid, now).Wire(now)
}

// rotate gives the account a new ticket and grants it.
func (b *fakeBroker) rotate(appid string) *wxbrokerv1.Account {
	b.t.Helper()
	if err := b.sim.KillTicket(appid, wechatsim.JSAPI); err != nil {
		b.t.Fatal(err)
	}
	time.Sleep(time.Second) // versions are times
	return b.account(appid)
}

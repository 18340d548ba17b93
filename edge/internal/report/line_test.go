package report_test

import (
	"context"
	"net"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/stats"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"

	"github.com/wxbroker/wxbroker/edge/internal/report"
	wxbrokerv1 "github.com/wxbroker/wxbroker/proto/wxbroker/v1"
)

// forgetful is a broker that knows nobody any more on connections that are old
// enough: the certificate which was presented on them has expired.
type forgetful struct {
	wxbrokerv1.UnimplementedCredentialServiceServer
	good  time.Duration // for how long it knows who is on a connection
	hold  chan struct{} // if set, a call on the first connection waits for it
	calls atomic.Int64
	opens atomic.Int64
	open  atomic.Int64
}

// life is how long, in most tests: gRPC closes what is idle for half an hour.
const life = 20 * time.Minute

type connection struct {
	number int64
	opened time.Time
}

func (*forgetful) TagRPC(ctx context.Context, _ *stats.RPCTagInfo) context.Context { return ctx }
func (*forgetful) HandleRPC(context.Context, stats.RPCStats)                       {}

func (f *forgetful) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context {
	return context.WithValue(ctx, f, connection{f.opens.Add(1), time.Now()})
}

func (f *forgetful) HandleConn(_ context.Context, s stats.ConnStats) {
	switch s.(type) {
	case *stats.ConnBegin:
		f.open.Add(1)
	case *stats.ConnEnd:
		f.open.Add(-1)
	}
}

func (f *forgetful) ReportInvalid(ctx context.Context, r *wxbrokerv1.ReportInvalidRequest) (*wxbrokerv1.ReportInvalidResponse, error) {
	f.calls.Add(1)
	on, _ := ctx.Value(f).(connection)
	if time.Since(on.opened) >= f.good {
		return nil, status.Error(codes.Unauthenticated, "the certificate has expired")
	}
	if on.number == 1 && r.GetAppid() == "held" {
		select {
		case <-f.hold:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return &wxbrokerv1.ReportInvalidResponse{ReportedVersion: 1, CurrentVersion: 2}, nil
}

func withForgetful(t *testing.T, good time.Duration, test func(*testing.T, *forgetful, *report.Client)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		f := &forgetful{good: good, hold: make(chan struct{})}
		listener := bufconn.Listen(64 << 10)
		server := grpc.NewServer(grpc.StatsHandler(f))
		wxbrokerv1.RegisterCredentialServiceServer(server, f)
		go func() { _ = server.Serve(listener) }()
		defer server.Stop()
		c, err := report.New("passthrough:///broker", []grpc.DialOption{
			grpc.WithTransportCredentials(insecure.NewCredentials()),
			grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }),
		})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		test(t, f, c)
	})
}

// counts checks how many calls, connections and open connections there are.
func (f *forgetful) counts(t *testing.T, calls, opens, open int64) {
	t.Helper()
	synctest.Wait()
	if got, want := [3]int64{f.calls.Load(), f.opens.Load(), f.open.Load()}, [3]int64{calls, opens, open}; got != want {
		t.Errorf("calls, connections and open ones are %v, want %v", got, want)
	}
}

// A report gets through whatever has become of the certificate that its
// connection was opened with, and what is under way there is not cut off.
func TestConnectionsOutliveTheirCertificate(t *testing.T) {
	withForgetful(t, life, func(t *testing.T, f *forgetful, c *report.Client) {
		expect(t, start(t.Context(), c, "a", of("token"), 1), answered)
		f.counts(t, 1, 1, 1)
		time.Sleep(life - 5*time.Second)
		held := of("token")
		held.AppID = "held"
		waiting := start(t.Context(), c, "a", held, 1)
		time.Sleep(5 * time.Second)
		one, two := start(t.Context(), c, "a", of("token"), 1), start(t.Context(), c, "a", of("another"), 1)
		expect(t, one, answered)
		expect(t, two, answered)
		f.counts(t, 5, 2, 2)
		close(f.hold)
		expect(t, waiting, outcome{answered.versions, codes.OK, 5 * time.Second})
		f.counts(t, 5, 2, 1) // the first is closed
		time.Sleep(life)
		expect(t, start(t.Context(), c, "a", of("token"), 1), answered)
		f.counts(t, 7, 3, 1)
	})
}

// Two who are refused on one connection at the same time open one other.
func TestTogetherOnANewConnection(t *testing.T) {
	withForgetful(t, life, func(t *testing.T, f *forgetful, c *report.Client) {
		expect(t, start(t.Context(), c, "a", of("token"), 1), answered)
		time.Sleep(life)
		outcomes := make(chan outcome, 20)
		for i := range cap(outcomes) {
			go func() {
				versions, err := c.Report(t.Context(), "a", of(string(rune('a'+i))))
				outcomes <- outcome{versions, status.Code(err), 0}
			}()
		}
		expect(t, outcomes, answered)
		synctest.Wait()
		if opens, open := f.opens.Load(), f.open.Load(); opens != 2 || open != 1 {
			t.Errorf("%d connections, %d open", opens, open)
		}
	})
}

// Whom the broker does not know at all is told so, and does not connect for
// every report.
func TestUnknownForGood(t *testing.T) {
	withForgetful(t, 0, func(t *testing.T, f *forgetful, c *report.Client) {
		refused := outcome{code: codes.Unauthenticated}
		time.Sleep(time.Minute)
		for range 20 { // in one second
			expect(t, start(t.Context(), c, "a", of("token"), 1), refused)
			time.Sleep(50 * time.Millisecond)
		}
		f.counts(t, 21, 2, 1)
	})
}

// What is under way on a connection that was replaced ends with the client.
func TestCloseEndsReplacedConnections(t *testing.T) {
	withForgetful(t, life, func(t *testing.T, f *forgetful, c *report.Client) {
		expect(t, start(t.Context(), c, "a", of("token"), 1), answered)
		time.Sleep(life - time.Second)
		held := of("token")
		held.AppID = "held"
		waiting := start(t.Context(), c, "a", held, 1)
		time.Sleep(time.Second)
		expect(t, start(t.Context(), c, "a", of("token"), 1), answered)
		c.Close()
		expect(t, waiting, outcome{code: codes.Canceled, after: time.Second})
		f.counts(t, 4, 2, 0)
	})
}

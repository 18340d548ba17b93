package broker

import (
	"context"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"
	"golang.org/x/time/rate"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/wxbroker/wxbroker/pkg/watch"
)

const (
	// Timeout bounds a small call. In that time the broker may have to replace a token
	// and to ask WeChat twice.
	Timeout = 30 * time.Second
	// Stall is how long a transfer may stand still because of the broker. That
	// includes the wait for the first piece.
	Stall = 60 * time.Second
	// streamWindow and connWindow are how many bytes the broker may send before the
	// edge takes them, for one transfer and for all of them. They are static. Otherwise
	// gRPC would widen them to 16 MiB each where the network is fast.
	streamWindow = 256 << 10
	connWindow   = 4 << 20
	// maxTransfers bounds the transfers under way on one connection. The broker takes
	// 250 on one connection. A transfer beyond that would wait until a slow client has
	// finished.
	maxTransfers = 200
	// placeWait is how long a transfer beyond maxTransfers waits for a place.
	placeWait = 5 * time.Second
)

// Client asks the broker. Make it with New. The parameter key of its methods is the name
// of the local key whose holder asks, "" where it is not known. The broker's audit has
// that name.
type Client struct {
	reports, small   *redialingConn
	downloads, calls transferConn

	sameReports singleflight.Group // reports of the same credential
	mu          sync.Mutex
	limits      map[string]*rate.Limiter // of reports, by name of the local key
}

// transferConn is a connection for transfers. It has a place for each transfer that may
// be under way.
type transferConn struct {
	*redialingConn

	places chan struct{}
}

// New returns a Client of the broker at target for an edge of that version. Each of
// its connections is made with the first call that needs it.
func New(target, version string, dial []grpc.DialOption) (*Client, error) {
	c := &Client{limits: make(map[string]*rate.Limiter)}
	c.downloads.places, c.calls.places = make(chan struct{}, maxTransfers), make(chan struct{}, maxTransfers)
	for _, each := range []**redialingConn{&c.reports, &c.small, &c.downloads.redialingConn, &c.calls.redialingConn} {
		var err error
		*each, err = newRedialingConn(version, func() (*grpc.ClientConn, error) {
			options := append(watch.DialOptions(), grpc.WithStaticStreamWindowSize(streamWindow), grpc.WithStaticConnWindowSize(connWindow))
			return grpc.NewClient(target, append(options, dial...)...)
		})
		if err != nil { // only the first can fail, since all have the same options
			return nil, fmt.Errorf("setting up the connections to the broker: %w", err)
		}
	}
	return c, nil
}

// Close ends every call that is under way.
func (c *Client) Close() {
	for _, each := range []*redialingConn{c.reports, c.small, c.downloads.redialingConn, c.calls.redialingConn} {
		each.close()
	}
}

// begin takes a place, until end is called. It waits a little for a place, because a
// burst of short calls is soon over. Then it refuses, because nobody knows how long slow
// calls take.
func (t transferConn) begin(ctx context.Context) error {
	timer := time.NewTimer(placeWait)
	defer timer.Stop()
	select {
	case t.places <- struct{}{}:
		return nil
	case <-timer.C:
		return status.Errorf(codes.ResourceExhausted, "%d such transfers of this edge are under way, as many as may be", maxTransfers)
	case <-ctx.Done():
		return status.FromContextError(ctx.Err()).Err()
	}
}

func (t transferConn) end() { <-t.places }

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
	// Timeout bounds a small call: the broker may have to replace a token and to
	// ask WeChat twice.
	Timeout = 30 * time.Second
	// Stall is how long a transfer may stand still for want of the broker, its
	// first piece included.
	Stall = 60 * time.Second
	// streamWindow and connWindow are how much the broker may send before it is
	// taken, for one transfer and for all of them, in bytes. They are static:
	// gRPC would widen them to 16 MiB each where the network is fast.
	streamWindow = 256 << 10
	connWindow   = 4 << 20
	// maxTransfers bounds the transfers under way on one connection. The broker
	// takes 250 on one, and one more would wait until somebody's slow client is
	// through.
	maxTransfers = 200
	// placeWait is how long one more waits for a place among them.
	placeWait = 5 * time.Second
)

// Client asks the broker. Make it with New. Key is the name of the local key that
// something is asked for, "" where it is not known; the broker's audit has it.
type Client struct {
	reports, small   *line
	downloads, calls lane

	same   singleflight.Group // reports of the same credential
	mu     sync.Mutex
	limits map[string]*rate.Limiter // of reports, by name of the local key
}

// lane is a line for transfers, with as many places as may be under way.
type lane struct {
	*line

	places chan struct{}
}

// New returns a Client of the broker at target for an edge of that version. Each of
// its connections is made with the first call that needs it.
func New(target, version string, dial []grpc.DialOption) (*Client, error) {
	c := &Client{limits: make(map[string]*rate.Limiter)}
	c.downloads.places, c.calls.places = make(chan struct{}, maxTransfers), make(chan struct{}, maxTransfers)
	for _, each := range []**line{&c.reports, &c.small, &c.downloads.line, &c.calls.line} {
		var err error
		*each, err = newLine(version, func() (*grpc.ClientConn, error) {
			options := append(watch.DialOptions(), grpc.WithStaticStreamWindowSize(streamWindow), grpc.WithStaticConnWindowSize(connWindow))
			return grpc.NewClient(target, append(options, dial...)...)
		})
		if err != nil { // and none before: what they are made of is the same
			return nil, fmt.Errorf("setting up the connections to the broker: %w", err)
		}
	}
	return c, nil
}

// Close ends what is under way.
func (c *Client) Close() {
	for _, each := range []*line{c.reports, c.small, c.downloads.line, c.calls.line} {
		each.close()
	}
}

// begin takes a place, until end. It waits a little for one, as a burst of short
// calls is soon over, and then refuses: how long slow ones take, nobody knows.
func (l lane) begin(ctx context.Context) error {
	timer := time.NewTimer(placeWait)
	defer timer.Stop()
	select {
	case l.places <- struct{}{}:
		return nil
	case <-timer.C:
		return status.Errorf(codes.ResourceExhausted, "%d such transfers of this edge are under way, as many as may be", maxTransfers)
	case <-ctx.Done():
		return status.FromContextError(ctx.Err()).Err()
	}
}

func (l lane) end() { <-l.places }

package watch

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/wxbroker/wxbroker/pkg/credential"
)

// Options are what a Client needs. Target, Kinds, Clock, Log and Apply are
// required.
type Options struct {
	// Target is the broker, host:port or unix:/path.
	Target string
	// Dial has at least the transport credentials.
	Dial []grpc.DialOption
	// AppIDs are the accounts wanted, none for all that the broker grants.
	AppIDs []string
	Kinds  []credential.Kind
	// Calls says that this edge passes on calls as well.
	Calls bool
	// Name and Version tell the broker's operator who this is.
	Name, Version string
	Clock         credential.Clock
	Log           *slog.Logger
	// Apply is called from Run with every new state. After that the broker is told that
	// the state is in use. The accounts are complete and in order of appid.
	Apply func([]credential.Account)
}

// Client follows the broker's stream. Make it with New.
type Client struct {
	Options
	held      []credential.Account
	connected atomic.Bool
}

// New returns a Client. It does nothing until Run.
func New(o Options) *Client { return &Client{Options: o} }

// Connected reports whether a stream is open and has brought a state.
func (c *Client) Connected() bool { return c.connected.Load() }

const (
	firstRetry = 100 * time.Millisecond
	// lastRetry bounds the back-off, and so how long an edge does not notice that the
	// broker is back. gRPC's own bound of two minutes is too long for that.
	lastRetry = 5 * time.Second
)

// Run follows the stream until ctx ends, connecting again whenever it breaks.
func (c *Client) Run(ctx context.Context) {
	retry := firstRetry
	lastFailure := "" // the failure that was last logged
	for {
		received, err := c.follow(ctx)
		c.connected.Store(false)
		if ctx.Err() != nil {
			return
		}
		if received {
			retry, lastFailure = firstRetry, ""
		}
		// The broker does not know this edge (any more), or grants it nothing. A revoked
		// edge must not go on with what it held. No other failure takes anything away.
		if code := status.Code(err); code == codes.PermissionDenied || code == codes.Unauthenticated {
			c.dropAll()
		}
		wait := retry/2 + rand.N(retry/2) //nolint:gosec // spreads load, guards nothing
		if level := c.level(err, lastFailure); level >= slog.LevelInfo {
			c.Log.Log(ctx, level, "stream from the broker ended", "broker", c.Target, "reason", reason(err), "retry_in", wait)
			lastFailure = reason(err)
		}
		if !sleep(ctx, wait) {
			return
		}
		retry = min(2*retry, lastRetry)
	}
}

// level returns the level at which the end of a stream is logged. An error is logged
// once, not at every try. The regular end of a stream is only logged at debug level.
func (c *Client) level(err error, lastFailure string) slog.Level {
	switch {
	case errors.Is(err, io.EOF) || reason(err) == lastFailure:
		return slog.LevelDebug
	case errors.Is(err, errClockJump):
		return slog.LevelInfo
	default:
		return slog.LevelWarn
	}
}

// reason returns why a stream ended, in words.
func reason(err error) string {
	if s, ok := status.FromError(err); ok && s != nil {
		return s.Code().String() + ": " + s.Message()
	}
	return err.Error()
}

// dropAll forgets everything: the broker refuses this caller.
func (c *Client) dropAll() {
	if len(c.held) > 0 {
		c.Log.Warn("the broker refuses this edge, dropping every credential", "broker", c.Target)
	}
	c.held = nil
	c.Apply(nil)
}

func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

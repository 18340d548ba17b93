// Package calls has the broker make calls to WeChat. What is large, a file or
// the body of a call, passes through in pieces: a transfer holds no more of it
// in memory than its share of the connection's windows, however slow the side
// that takes it.
package calls

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/wxbroker/wxbroker/edge/internal/line"
	"github.com/wxbroker/wxbroker/pkg/watch"
	wxbrokerv1 "github.com/wxbroker/wxbroker/proto/wxbroker/v1"
)

const (
	// Timeout bounds a call whose answer comes in one piece: the broker may have
	// to replace a token and to ask WeChat twice.
	Timeout = 30 * time.Second
	// Stall is how long a transfer may stand still for want of the broker, its
	// first piece included.
	Stall = 60 * time.Second
	// keepSize bounds a body that can be sent again, in bytes.
	keepSize = 64 << 10
	// pieceSize bounds the pieces of a body that are sent, in bytes: with what is
	// around it in a message, one fits in a buffer of gRPC's of 32 KiB. The next
	// larger ones have a whole MiB, and stay in use while the other side is slow.
	pieceSize = 32<<10 - 512
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

// Client makes calls. Every error of its methods is a gRPC status unless they
// say otherwise. Key is the name of the local key that a call is made for, ""
// where it is not known. Make it with New.
//
// What takes as long as somebody's client wants it to has a connection of its
// own, and so holds up nothing else: neither messages and codes, nor the stream
// or a report. So have downloads: an SDK sends its messages with Call.
type Client struct {
	short        *line.Line // of answers in one piece
	media, calls transfers
}

// New returns a Client. It connects with the first call of each kind.
func New(target string, dial []grpc.DialOption) (*Client, error) {
	c := &Client{media: transfers{places: make(chan struct{}, maxTransfers)}, calls: transfers{places: make(chan struct{}, maxTransfers)}}
	for _, way := range []**line.Line{&c.short, &c.media.Line, &c.calls.Line} {
		var err error
		*way, err = line.New(func() (*grpc.ClientConn, error) {
			options := append(watch.DialOptions(), grpc.WithStaticStreamWindowSize(streamWindow), grpc.WithStaticConnWindowSize(connWindow))
			return grpc.NewClient(target, append(options, dial...)...)
		})
		if err != nil { // and none before: what they are made of is the same
			return nil, fmt.Errorf("setting up the connections for calls: %w", err)
		}
	}
	return c, nil
}

// Close ends what is under way.
func (c *Client) Close() {
	c.short.Close()
	c.media.Close()
	c.calls.Close()
}

// transfers are those of a kind.
type transfers struct {
	*line.Line

	places chan struct{} // one is in it for each that is under way
}

// begin takes a place, until end. It waits a little for one, as a burst of short
// calls is soon over, and then refuses: how long slow ones take, nobody knows.
func (t transfers) begin(ctx context.Context) error {
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

func (t transfers) end() { <-t.places }

// SendTemplate sends a template message.
func (c *Client) SendTemplate(ctx context.Context, key string, r *wxbrokerv1.SendTemplateRequest) (*wxbrokerv1.SendTemplateResponse, error) {
	return unary(ctx, c, key, func(ctx context.Context, broker wxbrokerv1.WeChatServiceClient) (*wxbrokerv1.SendTemplateResponse, error) {
		return broker.SendTemplate(ctx, r)
	})
}

// GetOpenID turns a code into who its user is.
func (c *Client) GetOpenID(ctx context.Context, key string, r *wxbrokerv1.GetOpenIDRequest) (*wxbrokerv1.GetOpenIDResponse, error) {
	return unary(ctx, c, key, func(ctx context.Context, broker wxbrokerv1.WeChatServiceClient) (*wxbrokerv1.GetOpenIDResponse, error) {
		return broker.GetOpenID(ctx, r)
	})
}

func unary[T any](ctx context.Context, c *Client, key string, call func(context.Context, wxbrokerv1.WeChatServiceClient) (*T, error)) (answer *T, err error) {
	ctx, cancel := context.WithTimeout(line.OnBehalf(ctx, key), Timeout)
	defer cancel()
	err = c.short.Use(func(conn *grpc.ClientConn) error {
		var err error
		answer, err = call(ctx, wxbrokerv1.NewWeChatServiceClient(conn))
		return err
	})
	return answer, err
}

package watch

import (
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/status"

	"github.com/wxbroker/wxbroker/pkg/credential"
	wxbrokerv1 "github.com/wxbroker/wxbroker/proto/wxbroker/v1"
)

const (
	// connectTimeout bounds one attempt to connect.
	connectTimeout = 3 * time.Second
	// firstStateTimeout bounds how long the first state may take.
	firstStateTimeout = 10 * time.Second
	// clockCheck is how often the loop compares the clocks. maxClockGap is how far the
	// clocks may part, or how late the loop may be, before it opens a new stream.
	clockCheck  = 2 * time.Second
	maxClockGap = 5 * time.Second
	// maxState bounds a message, in bytes: several hundred accounts.
	maxState = 4 << 20
)

// errClockJump ends a stream when the remaining lives in its messages can no longer be
// computed.
var errClockJump = errors.New("the clock was stepped or this process was suspended: asking anew how long the credentials live")

// DialOptions are the options of every connection from an edge to its broker, for the
// stream and for other calls. Their keepalive has to agree with the policy that the
// broker enforces: see the broker's rpc package.
func DialOptions() []grpc.DialOption {
	retry := backoff.DefaultConfig
	retry.MaxDelay = lastRetry
	return []grpc.DialOption{
		grpc.WithNoProxy(), // a proxy is for WeChat, not for the broker next door
		grpc.WithDisableServiceConfig(),
		grpc.WithReadBufferSize(4 << 10),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxState)),
		grpc.WithConnectParams(grpc.ConnectParams{Backoff: retry, MinConnectTimeout: connectTimeout}),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 10 * time.Second, Timeout: 5 * time.Second}),
	}
}

// follow opens one stream, and applies the states that it brings until it breaks.
// received reports whether it brought any. Each stream has a connection of its own, so
// that it never inherits another connection's failure and back-off.
func (c *Client) follow(ctx context.Context) (received bool, err error) {
	conn, err := grpc.NewClient(c.Target, append(DialOptions(), c.Dial...)...)
	if err != nil {
		return false, fmt.Errorf("setting up the connection: %w", err)
	}
	defer conn.Close()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := wxbrokerv1.NewCredentialServiceClient(conn).Watch(ctx)
	if err != nil {
		return false, err
	}
	subscription := &wxbrokerv1.WatchRequest{Request: &wxbrokerv1.WatchRequest_Subscription{Subscription: c.subscription()}}
	_ = stream.Send(subscription) // if it fails, Recv returns the error
	states := make(chan message)
	go receive(ctx, stream, states)

	opened := c.Clock.Now()
	last := opened
	tick := time.NewTicker(clockCheck)
	defer tick.Stop()
	for {
		var got message
		select {
		case <-ctx.Done():
			return received, ctx.Err()
		case <-tick.C:
		case got = <-states:
		}
		// Has time run evenly? This is asked before a message is believed. While the
		// process stood still, a message may have waited in a buffer. It is older than it
		// looks.
		now := c.Clock.Now()
		if opened.Parted(now) > maxClockGap || last.Elapsed(now) > clockCheck+maxClockGap {
			return received, errClockJump
		}
		last = now
		switch {
		case got.err != nil:
			return received, got.err
		case got.state != nil:
			if err := c.take(got.state, now); err != nil {
				return received, err
			}
			received = true
			c.connected.Store(true)
			if err := stream.Send(c.acknowledge(got.state.GetRevision())); err != nil {
				continue // Recv returns the error
			}
		case !received && opened.Elapsed(now) >= firstStateTimeout:
			return false, status.Error(codes.DeadlineExceeded, "the broker accepted the stream and then said nothing")
		}
	}
}

// message is one message of the stream, or its end.
type message struct {
	state *wxbrokerv1.WatchResponse
	err   error
}

func receive(ctx context.Context, stream grpc.BidiStreamingClient[wxbrokerv1.WatchRequest, wxbrokerv1.WatchResponse], states chan<- message) {
	for {
		state, err := stream.Recv()
		select {
		case states <- message{state, err}:
		case <-ctx.Done():
			return
		}
		if err != nil {
			return
		}
	}
}

func (c *Client) subscription() *wxbrokerv1.Subscription {
	s := &wxbrokerv1.Subscription{
		Appids: c.AppIDs, Held: c.heldVersions(), EdgeName: c.Name, EdgeVersion: c.Version, Calls: c.Calls,
	}
	for _, kind := range c.Kinds {
		s.Kinds = append(s.Kinds, kind.Wire())
	}
	return s
}

func (c *Client) acknowledge(revision uint64) *wxbrokerv1.WatchRequest {
	ack := &wxbrokerv1.Acknowledgement{Revision: revision, Held: c.heldVersions()}
	return &wxbrokerv1.WatchRequest{Request: &wxbrokerv1.WatchRequest_Acknowledgement{Acknowledgement: ack}}
}

func (c *Client) heldVersions() []*wxbrokerv1.HeldVersion {
	var held []*wxbrokerv1.HeldVersion
	for _, a := range c.held {
		for _, cred := range a.Credentials {
			held = append(held, &wxbrokerv1.HeldVersion{Appid: a.AppID, Kind: cred.Kind.Wire(), Version: cred.Version})
		}
	}
	return held
}

// take makes a state that arrived at now the current one.
func (c *Client) take(state *wxbrokerv1.WatchResponse, now credential.Instant) error {
	if !state.GetServerTime().IsValid() {
		return status.Error(codes.DataLoss, "the broker sent a state without its time")
	}
	var accounts []credential.Account
	for _, in := range state.GetAccounts() {
		account, err := credential.FromWire(in, state.GetServerTime().AsTime(), now)
		if err != nil {
			return status.Errorf(codes.DataLoss, "the broker sent a state that cannot be read: %v", err)
		}
		accounts = append(accounts, account)
	}
	c.held = merge(c.held, accounts)
	c.Apply(c.held)
	return nil
}

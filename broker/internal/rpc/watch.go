package rpc

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/wxbroker/wxbroker/broker/internal/fanout"
	wxbrokerv1 "github.com/wxbroker/wxbroker/proto/wxbroker/v1"
)

const (
	// firstRequest is how long an edge may take to say what it wants.
	firstRequest = 10 * time.Second
	// streamLife is how long a stream lives at least; up to as much again is
	// added at random, so that edges spread over brokers and over time.
	streamLife = 30 * time.Minute
)

// credentials implements the service of that name.
type credentials struct {
	wxbrokerv1.UnimplementedCredentialServiceServer
	Options
	stopping  <-chan struct{}
	reporters reporters
}

// Watch serves one stream; the .proto file says what it promises.
func (c *credentials) Watch(stream wxbrokerv1.CredentialService_WatchServer) error {
	ctx := stream.Context()
	requests := make(chan request)
	go receive(stream, requests)

	sub, err := c.subscribe(ctx, requests)
	if err != nil {
		return err
	}
	edge := c.Edges.join(Edge{
		Name: sub.name, Version: sub.version, Address: addressOf(ctx), Since: c.Clock(), Held: sub.held,
	})
	defer c.Edges.leave(edge)
	log := c.Log.With("edge", sub.name, "address", edge.Address)
	log.Info("edge connected", "version", sub.version, "held", len(sub.held))
	err = c.serve(stream, sub, edge, requests)
	log.Info("edge disconnected", "reason", reasonOf(err))
	return err
}

// subscribe waits for the first request.
func (c *credentials) subscribe(ctx context.Context, requests <-chan request) (subscription, error) {
	timer := time.NewTimer(firstRequest)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return subscription{}, ctx.Err()
	case <-c.stopping:
		return subscription{}, status.Error(codes.Unavailable, "the broker stops")
	case <-timer.C:
		return subscription{}, status.Errorf(codes.DeadlineExceeded, "no subscription within %v", firstRequest)
	case first := <-requests:
		if errors.Is(first.err, io.EOF) {
			return readSubscription(nil) // the caller has no more to say
		}
		if first.err != nil {
			return subscription{}, first.err
		}
		return readSubscription(first.request)
	}
}

// serve sends states and takes acknowledgements until the stream's time is up.
func (c *credentials) serve(stream wxbrokerv1.CredentialService_WatchServer, sub subscription, edge *Edge, requests <-chan request) error {
	c.claim(sub.held)
	life := time.NewTimer(streamLife + rand.N(streamLife)) //nolint:gosec // spreads load, guards nothing
	defer life.Stop()
	var sent uint64
	for first := true; ; {
		state, changed := c.Fanout.Current(sub.appids)
		if first || state.Revision != sent {
			if err := c.send(stream, state, sub, edge); err != nil {
				return err
			}
			first, sent = false, state.Revision
		}
		select {
		case <-stream.Context().Done():
			return stream.Context().Err()
		case <-c.stopping:
			return nil
		case <-life.C:
			return nil
		case <-changed:
		case next := <-requests:
			if next.err != nil {
				return endOf(next.err)
			}
			if err := c.acknowledged(next.request, edge); err != nil {
				return err
			}
		}
	}
}

// send sends the state as far as sub wants it.
func (c *credentials) send(stream wxbrokerv1.CredentialService_WatchServer, state fanout.State, sub subscription, edge *Edge) error {
	now := c.Clock.Now()
	response := &wxbrokerv1.WatchResponse{Revision: state.Revision, ServerTime: timestamppb.New(now.Wall())}
	var wanted []Holding
	for _, account := range state.Accounts {
		account = account.Only(sub.kinds)
		response.Accounts = append(response.Accounts, account.Wire(now))
		for _, cred := range account.Credentials {
			wanted = append(wanted, Holding{AppID: account.AppID, Kind: cred.Kind, Version: cred.Version})
		}
	}
	c.Edges.change(edge, func(e *Edge) { e.Wanted = wanted })
	return stream.Send(response)
}

// acknowledged notes what the edge holds now.
func (c *credentials) acknowledged(r *wxbrokerv1.WatchRequest, edge *Edge) error {
	ack := r.GetAcknowledgement()
	if ack == nil {
		return status.Error(codes.InvalidArgument, "after the subscription only acknowledgements are expected")
	}
	held, err := readHeld(ack.GetHeld())
	if err != nil {
		return err
	}
	c.Edges.change(edge, func(e *Edge) { e.Held = held })
	c.claim(held)
	return nil
}

// claim tells the keepers what edges hold, in case it is newer than theirs.
func (c *credentials) claim(held []Holding) {
	for _, h := range held {
		c.Claim(h.AppID, h.Kind, h.Version)
	}
}

// request is one message or the stream's end.
type request struct {
	request *wxbrokerv1.WatchRequest
	err     error
}

func receive(stream wxbrokerv1.CredentialService_WatchServer, requests chan<- request) {
	for {
		r, err := stream.Recv()
		select {
		case requests <- request{r, err}:
		case <-stream.Context().Done():
			return
		}
		if err != nil {
			return
		}
	}
}

// endOf returns how the stream ends when its caller ended it.
func endOf(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

func reasonOf(err error) string {
	if err == nil {
		return "regular"
	}
	return status.Convert(err).Message()
}

func addressOf(ctx context.Context) string {
	if p, ok := peer.FromContext(ctx); ok {
		return p.Addr.String()
	}
	return ""
}

package rpc

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"slices"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/wxbroker/wxbroker/broker/internal/access"
	"github.com/wxbroker/wxbroker/broker/internal/edges"
	"github.com/wxbroker/wxbroker/broker/internal/inbox"
	"github.com/wxbroker/wxbroker/pkg/credential"
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
	guard    guard
	stopping <-chan struct{}
}

// Watch serves one stream; the .proto file says what it promises.
func (c *credentials) Watch(stream wxbrokerv1.CredentialService_WatchServer) error {
	ctx := stream.Context()
	requests := inbox.Open(stream)

	sub, err := c.subscribe(ctx, requests)
	if err != nil {
		return err
	}
	caller, app := access.CallerOf(ctx), access.AppOf(ctx)
	c.tellRefused(ctx, sub, app)
	edge := c.Edges.Join(edges.Edge{Name: sub.name, Version: sub.version, Address: caller.Address, App: app.Name, Since: c.Clock()})
	defer edge.Leave()
	log := c.Log.With("edge", sub.name, "app", app.Name, "address", caller.Address)
	log.Info("edge connected", "version", sub.version, "held", len(sub.held))
	err = c.serve(stream, sub, edge, requests)
	log.Info("edge disconnected", "reason", reasonOf(err))
	return err
}

// subscribe waits for the first request.
func (c *credentials) subscribe(ctx context.Context, requests <-chan inbox.Arrival[*wxbrokerv1.WatchRequest]) (subscription, error) {
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
		if errors.Is(first.Err, io.EOF) {
			return readSubscription(nil) // the caller has no more to say
		}
		if first.Err != nil {
			return subscription{}, first.Err
		}
		return readSubscription(first.Message)
	}
}

// serve sends states and takes acknowledgements until the stream's time is up.
func (c *credentials) serve(stream wxbrokerv1.CredentialService_WatchServer, sub subscription, edge *edges.Stream, requests <-chan inbox.Arrival[*wxbrokerv1.WatchRequest]) error {
	opened := stream.Context()
	life := time.NewTimer(c.life(access.CallerOf(opened)))
	defer life.Stop()
	granted := ledger{}
	var sent uint64
	for first := true; ; {
		changed := c.Fanout.Changed() // first: what is revoked from now on wakes this loop
		ctx := opened
		app, caller, err := c.Access.App(access.CallerOf(opened))
		var kinds []credential.Kind
		if err == nil {
			ctx = access.WithCaller(opened, caller, app) // its identity may have moved to another app
			kinds, err = sub.within(app)
		}
		if err != nil {
			c.tellGranted(ctx, sub.name, granted, nil)
			if caller.Expired(c.Clock()) {
				return nil // as at the end of its life: whoever it is opens another
			}
			return err
		}
		state := c.Fanout.Current(sub.accounts(app))
		if first {
			c.holds(edge, sub.held, app, kinds)
		}
		if first || state.Revision != sent {
			accounts := c.allowed(ctx, state, app, sub, kinds)
			granted = c.tellGranted(ctx, sub.name, granted, accounts)
			if err := c.send(stream, state.Revision, accounts, edge, app); err != nil {
				return err
			}
			first, sent = false, state.Revision
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-c.stopping:
			return nil
		case <-life.C:
			return nil
		case <-changed:
		case next := <-requests:
			if next.Err != nil {
				return endOf(next.Err)
			}
			held, err := readAcknowledgement(next.Message)
			if err != nil {
				return err
			}
			c.holds(edge, held, app, kinds)
		}
	}
}

// life returns how long a stream lives at most: whoever opened it proves anew
// who they are before the proof expires.
func (c *credentials) life(caller access.Caller) time.Duration {
	life := streamLife + rand.N(streamLife) //nolint:gosec // spreads load, guards nothing
	if !caller.Expires.IsZero() {
		life = min(life, caller.Expires.Sub(c.Clock()))
	}
	return life
}

// send sends accounts, which are all that the caller may have.
func (c *credentials) send(stream wxbrokerv1.CredentialService_WatchServer, revision uint64, accounts []credential.Account, edge *edges.Stream, app *access.App) error {
	now := c.Clock.Now()
	response := &wxbrokerv1.WatchResponse{Revision: revision, ServerTime: timestamppb.New(now.Wall())}
	for _, account := range accounts {
		response.Accounts = append(response.Accounts, account.Wire(now))
	}
	edge.Sent(app.Name, accounts)
	return stream.Send(response)
}

// holds notes what an edge says that it holds, as far as it may, and tells the
// keepers in case it is newer than theirs. Of what it may not have, an app
// cannot hold anything.
func (c *credentials) holds(edge *edges.Stream, said []edges.Holding, app *access.App, kinds []credential.Kind) {
	type slot struct {
		appid string
		kind  credential.Kind
	}
	highest := make(map[slot]int64)
	for _, h := range said {
		if app.Serves(h.AppID) && slices.Contains(kinds, h.Kind) && c.Fanout.Has(h.AppID) {
			s := slot{h.AppID, h.Kind}
			highest[s] = max(highest[s], h.Version)
		}
	}
	var held []edges.Holding
	for s, version := range highest {
		held = append(held, edges.Holding{AppID: s.appid, Kind: s.kind, Version: version})
		c.Claim(s.appid, s.kind, version)
	}
	edge.Holds(held)
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

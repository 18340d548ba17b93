package streams

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

// Watch serves one stream; the .proto file says what it promises.
func (s *Service) Watch(stream wxbrokerv1.CredentialService_WatchServer) error {
	ctx := stream.Context()
	requests := inbox.Open(stream)

	sub, err := s.subscribe(ctx, requests)
	if err != nil {
		return err
	}
	caller, app := access.CallerOf(ctx), access.AppOf(ctx)
	s.tellRefused(ctx, sub, app)
	edge := s.Edges.Join(edges.Edge{Name: sub.name, Version: sub.version, Address: caller.Address, App: app.Name, Since: s.Clock()})
	defer edge.Leave()
	log := s.Log.With("edge", sub.name, "app", app.Name, "address", caller.Address)
	log.Info("edge connected", "version", sub.version, "held", len(sub.held))
	err = s.serve(stream, sub, edge, requests)
	log.Info("edge disconnected", "reason", reasonOf(err))
	return err
}

// subscribe waits for the first request.
func (s *Service) subscribe(ctx context.Context, requests <-chan inbox.Arrival[*wxbrokerv1.WatchRequest]) (subscription, error) {
	timer := time.NewTimer(firstRequest)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return subscription{}, ctx.Err()
	case <-s.stopping.Done():
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
func (s *Service) serve(stream wxbrokerv1.CredentialService_WatchServer, sub subscription, edge *edges.Stream, requests <-chan inbox.Arrival[*wxbrokerv1.WatchRequest]) error {
	opened := stream.Context()
	life := time.NewTimer(s.life(access.CallerOf(opened)))
	defer life.Stop()
	granted := ledger{}
	var sent uint64
	for first := true; ; {
		changed := s.Fanout.Changed() // first: what is revoked from now on wakes this loop
		ctx := opened
		app, caller, err := s.Access.App(access.CallerOf(opened))
		var kinds []credential.Kind
		if err == nil {
			ctx = access.WithCaller(opened, caller, app) // its identity may have moved to another app
			kinds, err = sub.within(app)
		}
		if err != nil {
			s.tellGranted(ctx, sub.name, granted, nil)
			if caller.Expired(s.Clock()) {
				return nil // as at the end of its life: whoever it is opens another
			}
			return err
		}
		state := s.Fanout.Current(sub.accounts(app))
		if first {
			s.holds(edge, sub.held, app, kinds)
		}
		if first || state.Revision != sent {
			accounts := s.allowed(ctx, state, app, sub, kinds)
			granted = s.tellGranted(ctx, sub.name, granted, accounts)
			if err := s.send(stream, state.Revision, accounts, edge, app); err != nil {
				return err
			}
			first, sent = false, state.Revision
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-s.stopping.Done():
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
			s.holds(edge, held, app, kinds)
		}
	}
}

// life returns how long a stream lives at most: whoever opened it proves anew
// who they are before the proof expires.
func (s *Service) life(caller access.Caller) time.Duration {
	life := streamLife + rand.N(streamLife) //nolint:gosec // spreads load, guards nothing
	if !caller.Expires.IsZero() {
		life = min(life, caller.Expires.Sub(s.Clock()))
	}
	return life
}

// send sends accounts, which are all that the caller may have.
func (s *Service) send(stream wxbrokerv1.CredentialService_WatchServer, revision uint64, accounts []credential.Account, edge *edges.Stream, app *access.App) error {
	now := s.Clock.Now()
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
func (s *Service) holds(edge *edges.Stream, said []edges.Holding, app *access.App, kinds []credential.Kind) {
	type slot struct {
		appid string
		kind  credential.Kind
	}
	highest := make(map[slot]int64)
	for _, h := range said {
		if app.Serves(h.AppID) && slices.Contains(kinds, h.Kind) && s.Fanout.Has(h.AppID) {
			of := slot{h.AppID, h.Kind}
			highest[of] = max(highest[of], h.Version)
		}
	}
	var held []edges.Holding
	for of, version := range highest {
		held = append(held, edges.Holding{AppID: of.appid, Kind: of.kind, Version: version})
		s.Claim(of.appid, of.kind, version)
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

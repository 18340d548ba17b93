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
	// firstRequestTimeout is how long an edge may take to send its subscription.
	firstRequestTimeout = 10 * time.Second
	// streamLife is how long a stream lives at least. Up to as much again is added at
	// random, so that edges spread over brokers and over time.
	streamLife = 30 * time.Minute
)

// Watch serves one stream. The .proto file says what it promises.
func (s *Service) Watch(stream wxbrokerv1.CredentialService_WatchServer) error {
	ctx := stream.Context()
	requests := inbox.Open(stream)

	sub, err := s.subscribe(ctx, requests)
	if err != nil {
		return err
	}
	caller, app := access.CallerOf(ctx), access.AppOf(ctx)
	s.auditRefused(ctx, sub, app)
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
	timer := time.NewTimer(firstRequestTimeout)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return subscription{}, ctx.Err()
	case <-s.stopping.Done():
		return subscription{}, status.Error(codes.Unavailable, "the broker stops")
	case <-timer.C:
		return subscription{}, status.Errorf(codes.DeadlineExceeded, "no subscription within %v", firstRequestTimeout)
	case first := <-requests:
		if errors.Is(first.Err, io.EOF) {
			return readSubscription(nil) // the caller ended the stream without a subscription
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
	life := time.NewTimer(s.lifetime(access.CallerOf(opened)))
	defer life.Stop()
	granted := ledger{}
	var sent uint64
	for first := true; ; {
		changed := s.Fanout.Changed() // first, so that a revocation from now on wakes this loop
		ctx := opened
		app, caller, err := s.Access.App(access.CallerOf(opened))
		var kinds []credential.Kind
		if err == nil {
			ctx = access.WithCaller(opened, caller, app) // its identity may have moved to another app
			kinds, err = sub.grantedKinds(app)
		}
		if err != nil {
			s.auditGranted(ctx, sub.name, granted, nil)
			if caller.Expired(s.Clock()) {
				return nil // as at the end of the stream's life: the edge opens another with a new proof
			}
			return err
		}
		state := s.Fanout.Current(sub.grantedAccounts(app))
		if first {
			s.noteHeld(edge, sub.held, app, kinds)
		}
		if first || state.Revision != sent {
			accounts := s.visibleAccounts(ctx, state, app, sub, kinds)
			granted = s.auditGranted(ctx, sub.name, granted, accounts)
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
				return streamError(next.Err)
			}
			held, err := readAcknowledgement(next.Message)
			if err != nil {
				return err
			}
			s.noteHeld(edge, held, app, kinds)
		}
	}
}

// lifetime returns how long a stream lives at most. It ends no later than the caller's
// proof of identity, so that the caller has to prove it again.
func (s *Service) lifetime(caller access.Caller) time.Duration {
	lifetime := streamLife + rand.N(streamLife) //nolint:gosec // spreads load, guards nothing
	if !caller.Expires.IsZero() {
		lifetime = min(lifetime, caller.Expires.Sub(s.Clock()))
	}
	return lifetime
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

// noteHeld notes which versions an edge holds, and tells the keepers, which may have
// older ones. It ignores credentials that the edge's app may not have.
func (s *Service) noteHeld(edge *edges.Stream, reported []edges.Holding, app *access.App, kinds []credential.Kind) {
	type slot struct {
		appid string
		kind  credential.Kind
	}
	highest := make(map[slot]int64)
	for _, h := range reported {
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

// streamError returns the result of a stream that its caller ended with err.
func streamError(err error) error {
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

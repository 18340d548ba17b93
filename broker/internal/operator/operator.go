// Package operator answers people: how the broker is, what WeChat's quotas
// are, and the few things that only a person should decide. Nothing here holds
// a secret.
package operator

import (
	"context"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/wxbroker/wxbroker/broker/internal/access"
	"github.com/wxbroker/wxbroker/broker/internal/edges"
	"github.com/wxbroker/wxbroker/broker/internal/keeper"
	"github.com/wxbroker/wxbroker/broker/internal/relay"
	"github.com/wxbroker/wxbroker/broker/internal/store"
	"github.com/wxbroker/wxbroker/broker/internal/wechat"
	"github.com/wxbroker/wxbroker/pkg/credential"
	wxbrokerv1 "github.com/wxbroker/wxbroker/proto/wxbroker/v1"
)

// Service is the OperatorService. All fields but SetAside are required.
type Service struct {
	wxbrokerv1.UnimplementedOperatorServiceServer
	Version string
	Started time.Time
	Clock   credential.Clock
	// Keepers returns those that run, and Configuration what they run by.
	Keepers       func() []*keeper.Keeper
	Configuration func() Configuration
	Edges         *edges.Register
	// Relay has counted the calls for apps, and Access knows what these may.
	Relay  *relay.Relay
	Access *access.Control
	// Upstreams returns WeChat's hosts.
	Upstreams func() []wechat.Upstream
	SetAside  *store.Aside
}

// Configuration is the configuration in use.
type Configuration struct {
	Loaded time.Time
	// Failure is why the file as it is now is not in use, nil when it is.
	Failure error
}

// keeperOf returns the keeper of an account.
func (s *Service) keeperOf(appid string) (*keeper.Keeper, error) {
	for _, k := range s.Keepers() {
		if k.Status().AppID == appid {
			return k, nil
		}
	}
	return nil, status.Errorf(codes.NotFound, "this broker keeps no account %q", appid)
}

// GetStatus tells how the broker is, of accounts and edges only what is the
// caller's to administer.
func (s *Service) GetStatus(ctx context.Context, r *wxbrokerv1.GetStatusRequest) (*wxbrokerv1.GetStatusResponse, error) {
	app := access.AppOf(ctx)
	chosen := slices.DeleteFunc(s.Keepers(), func(k *keeper.Keeper) bool { return !app.Serves(k.Status().AppID) })
	if appid := r.GetAppid(); appid != "" {
		k, err := s.keeperOf(appid)
		if err != nil {
			return nil, err
		}
		chosen = []*keeper.Keeper{k}
	}
	now := s.Clock()
	response := &wxbrokerv1.GetStatusResponse{
		ServerTime: timestamppb.New(now), StartTime: timestamppb.New(s.Started), Version: s.Version,
	}
	for _, k := range chosen {
		response.Accounts = append(response.Accounts, account(k.Status(), now))
	}
	slices.SortFunc(response.GetAccounts(), func(a, b *wxbrokerv1.AccountStatus) int { return strings.Compare(a.GetAppid(), b.GetAppid()) })
	whole := app.ServesEvery() // else texts may be about accounts and apps of others
	for _, u := range s.Upstreams() {
		host := &wxbrokerv1.UpstreamStatus{Host: u.Host, InUse: u.InUse, FailedTime: timestamp(u.Failed)}
		if u.Failure != nil {
			host.Failure = notShown
		}
		if u.Failure != nil && whole {
			host.Failure = u.Failure.Sentence()
		}
		response.Upstreams = append(response.Upstreams, host)
	}
	for _, e := range s.Edges.List() {
		if !concerns(e, app) {
			continue
		}
		response.Edges = append(response.Edges, &wxbrokerv1.EdgeStatus{
			Name: e.Name, Version: e.Version, Address: e.Address, Since: timestamp(e.Since), Behind: int32(len(e.Behind())), App: e.App,
		})
	}
	if s.SetAside != nil && whole {
		response.SetAside = &wxbrokerv1.SetAsideDatabase{Path: s.SetAside.Path, Reason: s.SetAside.Reason.Error()}
	}
	configuration := s.Configuration()
	response.Configuration = &wxbrokerv1.ConfigurationStatus{LoadTime: timestamp(configuration.Loaded)}
	if configuration.Failure != nil {
		response.Configuration.Failure = notShown
	}
	if configuration.Failure != nil && whole {
		response.Configuration.Failure = configuration.Failure.Error()
	}
	return response, nil
}

// notShown stands for a text that may be about what is not the caller's.
const notShown = "only who administers every account is told why"

// concerns reports whether an edge has to do with an account that app
// administers.
func concerns(e edges.Edge, app *access.App) bool {
	return app.ServesEvery() || slices.ContainsFunc(e.Accounts, app.Serves)
}

func account(in keeper.Status, now time.Time) *wxbrokerv1.AccountStatus {
	out := &wxbrokerv1.AccountStatus{Appid: in.AppID, Advice: in.Advice(now)}
	for _, k := range in.Kinds {
		c := &wxbrokerv1.CredentialStatus{
			Kind: k.Kind.Wire(), Version: k.Version, ExpireTime: timestamp(k.Expiry), Refused: k.Refused, Undated: k.Undated,
			NextCallTime: timestamp(k.NextTry), Unsaved: k.Unsaved, EarlyDeaths: int32(k.EarlyDeaths(now)),
		}
		if n := len(k.Died); n > 0 {
			c.LastEarlyDeathTime = timestamp(k.Died[n-1])
		}
		if e := k.LastError; e != nil {
			c.Failure = &wxbrokerv1.CallFailure{
				Class: string(e.Class), Errcode: int32(e.Code), Message: e.Error(), Advice: e.Advice, SeenAddress: e.SeenAddress,
				Since: timestamp(k.Since), Count: int32(k.Failures), RetryTime: timestamp(k.NextTry),
			}
		}
		out.Credentials = append(out.Credentials, c)
	}
	for _, b := range in.Budget {
		out.Budget = append(out.Budget, budget(b))
	}
	return out
}

func budget(b keeper.Spent) *wxbrokerv1.CallBudget {
	return &wxbrokerv1.CallBudget{
		Api: string(b.API), Used: int64(b.Used), Limit: int64(b.Limit), ResetTime: timestamp(b.Reset), Unsaved: b.Unsaved,
	}
}

// timestamp returns nil for a time that was never set.
func timestamp(t time.Time) *timestamppb.Timestamp {
	if t.IsZero() {
		return nil
	}
	return timestamppb.New(t)
}

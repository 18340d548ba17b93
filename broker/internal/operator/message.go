package operator

import (
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/wxbroker/wxbroker/broker/internal/keeper"
	"github.com/wxbroker/wxbroker/broker/internal/snapshot"
	wxbrokerv1 "github.com/wxbroker/wxbroker/proto/wxbroker/v1"
)

// message returns a snapshot in its form on the wire.
func message(s snapshot.Snapshot) *wxbrokerv1.GetStatusResponse {
	out := &wxbrokerv1.GetStatusResponse{
		ServerTime: timestamppb.New(s.Time), StartTime: timestamppb.New(s.Started), Version: s.Version,
		Configuration: &wxbrokerv1.ConfigurationStatus{LoadTime: timestamp(s.Configuration.Loaded), Failure: s.Configuration.Failure},
	}
	for _, a := range s.Accounts {
		out.Accounts = append(out.Accounts, account(a, s.Time))
	}
	for _, u := range s.Upstreams {
		out.Upstreams = append(out.Upstreams, &wxbrokerv1.UpstreamStatus{
			Host: u.Host, InUse: u.InUse, FailedTime: timestamp(u.Failed), Failure: u.Failure,
		})
	}
	for _, e := range s.Edges {
		out.Edges = append(out.Edges, &wxbrokerv1.EdgeStatus{
			Name: e.Name, Version: e.Version, Address: e.Address, Since: timestamp(e.Since), Behind: int32(e.Behind), App: e.App,
		})
	}
	if s.SetAside != nil {
		out.SetAside = &wxbrokerv1.SetAsideDatabase{Path: s.SetAside.Path, Reason: s.SetAside.Reason}
	}
	return out
}

func account(in keeper.Status, now time.Time) *wxbrokerv1.AccountStatus {
	out := &wxbrokerv1.AccountStatus{Appid: in.AppID, Advice: in.Advice(now)}
	for _, k := range in.Kinds {
		c := &wxbrokerv1.CredentialStatus{
			Kind: k.Kind.Wire(), Version: k.Version, ExpireTime: timestamp(k.Expiry), Refused: k.Refused, Undated: k.Undated,
			NextCallTime: timestamp(k.NextTry), Unsaved: k.Unsaved, EarlyDeaths: int32(k.EarlyDeaths(now)),
		}
		if n := len(k.EarlyEnds); n > 0 {
			c.LastEarlyDeathTime = timestamp(k.EarlyEnds[n-1])
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

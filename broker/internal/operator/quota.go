package operator

import (
	"context"
	"errors"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/wxbroker/wxbroker/broker/internal/wechat"
	"github.com/wxbroker/wxbroker/pkg/wxapi"
	wxbrokerv1 "github.com/wxbroker/wxbroker/proto/wxbroker/v1"
)

// GetQuota compares our count of calls with WeChat's.
func (s *Service) GetQuota(ctx context.Context, r *wxbrokerv1.GetQuotaRequest) (*wxbrokerv1.GetQuotaResponse, error) {
	k, err := s.keeperOf(r.GetAppid())
	if err != nil {
		return nil, err
	}
	quotas, err := k.Quota(ctx)
	if err != nil {
		return nil, failure(ctx, err)
	}
	response := new(wxbrokerv1.GetQuotaResponse)
	for _, q := range quotas {
		comparison := &wxbrokerv1.QuotaComparison{Ours: budget(q.Ours)}
		if q.Err != nil {
			comparison.Failure = q.Err.Error()
		}
		if q.WeChat != nil {
			comparison.Wechat = &wxbrokerv1.WeChatQuota{DailyLimit: q.WeChat.DailyLimit, Used: q.WeChat.Used, Remain: q.WeChat.Remain}
		}
		response.Apis = append(response.Apis, comparison)
	}
	for _, c := range s.Relay.Today(r.GetAppid()) {
		calls := &wxbrokerv1.AppCalls{App: c.App, Api: c.API, Used: int64(c.Used)}
		if app := s.Access.Named(c.App); app != nil {
			if limit, ok := app.CallsPerDay(c.API); ok {
				calls.Limit = new(int64(limit))
			}
		}
		response.Apps = append(response.Apps, calls)
	}
	for _, stop := range s.Relay.Stops(r.GetAppid()) {
		response.Stopped = append(response.Stopped, &wxbrokerv1.StoppedAPI{Api: stop.API, Errcode: int32(stop.Code), UntilTime: timestamp(stop.Until)})
	}
	return response, nil
}

// ClearQuota clears the quota at WeChat.
func (s *Service) ClearQuota(ctx context.Context, r *wxbrokerv1.ClearQuotaRequest) (*wxbrokerv1.ClearQuotaResponse, error) {
	k, err := s.keeperOf(r.GetAppid())
	if err != nil {
		return nil, err
	}
	spent, err := k.ClearQuota(ctx)
	if err != nil {
		return nil, failure(ctx, err)
	}
	s.Relay.Resume(r.GetAppid())
	return &wxbrokerv1.ClearQuotaResponse{Ours: budget(spent)}, nil
}

// Refresh lets the account's keeper ask WeChat for its credentials now.
func (s *Service) Refresh(ctx context.Context, r *wxbrokerv1.RefreshRequest) (*wxbrokerv1.RefreshResponse, error) {
	k, err := s.keeperOf(r.GetAppid())
	if err != nil {
		return nil, err
	}
	if err := k.Refresh(ctx, r.GetForce()); err != nil {
		return nil, failure(ctx, err)
	}
	return &wxbrokerv1.RefreshResponse{Account: account(k.Status(), s.Clock())}, nil
}

// failure returns the status that a caller gets for an error.
func failure(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return status.FromContextError(ctx.Err()).Err()
	}
	code := codes.Unavailable
	if e, ok := errors.AsType[*wechat.Error](err); ok && e.Class == wxapi.Budget {
		code = codes.ResourceExhausted
	} else if ok && e.Code > 0 {
		code = codes.FailedPrecondition
	}
	return status.Error(code, err.Error())
}

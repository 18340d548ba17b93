// Package operator serves the OperatorService. It shows people the state of the broker
// and WeChat's quotas. It also does the few things that only a person should decide.
//
// The state comes from package snapshot, which shows each caller only what the caller
// may see. Everything else comes from the account's keeper, or from package relay,
// which counts the calls for apps.
//
// The rule to keep: nothing here holds a secret.
package operator

import (
	"context"
	"slices"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/wxbroker/wxbroker/broker/internal/access"
	"github.com/wxbroker/wxbroker/broker/internal/keeper"
	"github.com/wxbroker/wxbroker/broker/internal/relay"
	"github.com/wxbroker/wxbroker/broker/internal/snapshot"
	"github.com/wxbroker/wxbroker/pkg/credential"
	wxbrokerv1 "github.com/wxbroker/wxbroker/proto/wxbroker/v1"
)

// Service is the OperatorService. All fields are required.
type Service struct {
	wxbrokerv1.UnimplementedOperatorServiceServer
	*snapshot.Source
	// Relay counts the calls for apps, and Access knows the apps' limits.
	Relay  *relay.Relay
	Access *access.Control
}

// Needs are those of the service's methods.
func Needs() access.Needs {
	need := func(action string) access.Need {
		return access.Need{Action: action, Grants: []credential.Grant{credential.Admin}}
	}
	return access.Needs{
		wxbrokerv1.OperatorService_GetStatus_FullMethodName:  need("status"),
		wxbrokerv1.OperatorService_GetQuota_FullMethodName:   need("quota"),
		wxbrokerv1.OperatorService_ClearQuota_FullMethodName: need("clear_quota"),
		wxbrokerv1.OperatorService_Refresh_FullMethodName:    need("refresh"),
	}
}

// keeperOf returns the keeper of an account.
func (s *Service) keeperOf(appid string) (*keeper.Keeper, error) {
	for _, k := range s.Keepers() {
		if k.Status().AppID == appid {
			return k, nil
		}
	}
	return nil, noAccount(appid)
}

func noAccount(appid string) error {
	return status.Errorf(codes.NotFound, "this broker keeps no account %q", appid)
}

// GetStatus returns the state of the broker. It shows only the accounts and edges that
// the caller administers.
func (s *Service) GetStatus(ctx context.Context, r *wxbrokerv1.GetStatusRequest) (*wxbrokerv1.GetStatusResponse, error) {
	now := s.Take(access.AppOf(ctx))
	if appid := r.GetAppid(); appid != "" {
		now.Accounts = slices.DeleteFunc(now.Accounts, func(a keeper.Status) bool { return a.AppID != appid })
		if len(now.Accounts) == 0 {
			return nil, noAccount(appid)
		}
	}
	return message(now), nil
}

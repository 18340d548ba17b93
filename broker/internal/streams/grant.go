package streams

import (
	"context"
	"slices"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/wxbroker/wxbroker/broker/internal/access"
	"github.com/wxbroker/wxbroker/broker/internal/audit"
	"github.com/wxbroker/wxbroker/broker/internal/fanout"
	"github.com/wxbroker/wxbroker/pkg/credential"
)

// within returns the kinds that an app may have of what it subscribed to, or
// PERMISSION_DENIED when it may have nothing: no credential and no calls.
func (sub subscription) within(app *access.App) ([]credential.Kind, error) {
	may := app.Kinds()
	kinds := without(sub.kinds, without(sub.kinds, may))
	switch {
	case len(kinds) == 0 && (len(may) == 0 || len(sub.kinds) > 0) && !sub.mayCall(app):
		return nil, status.Errorf(codes.PermissionDenied, "the app %s has not been granted any credential of the kinds %v", app.Name, sub.kinds)
	case len(sub.appids) > 0 && !slices.ContainsFunc(sub.appids, app.Serves):
		return nil, status.Errorf(codes.PermissionDenied, "the app %s has been granted nothing for the accounts %q", app.Name, sub.appids)
	}
	return kinds, nil
}

// mayCall reports whether the edge asks for calls, and there are any.
func (sub subscription) mayCall(app *access.App) bool {
	return sub.calls && len(app.CallGrants()) > 0
}

// accounts returns the accounts to look for, none for all that there are: of
// those that the app may not have, it is not told when they change either.
func (sub subscription) accounts(app *access.App) []string {
	switch {
	case app.ServesEvery():
		return sub.appids
	case len(sub.appids) == 0:
		return app.Accounts
	}
	return slices.DeleteFunc(slices.Clone(sub.appids), func(appid string) bool { return !app.Serves(appid) })
}

// allowed returns what of a state an app may have that subscribed so, by these
// kinds.
func (s *Service) allowed(ctx context.Context, state fanout.State, app *access.App, sub subscription, kinds []credential.Kind) []credential.Account {
	var calls []credential.Grant
	if sub.calls {
		calls = app.CallGrants()
	}
	var accounts []credential.Account
	for _, account := range state.Accounts {
		if !app.Serves(account.AppID) {
			continue
		}
		account = account.Only(kinds)
		if len(calls) > 0 {
			account.Calls, account.AliasKey = calls, s.AliasKey(ctx, account.AppID, app.Name)
		}
		accounts = append(accounts, account)
	}
	return accounts
}

// ledger is what a stream has been granted so far, for the audit: the kinds of
// each account.
type ledger map[string][]credential.Kind

// tellGranted tells the audit what is granted to a stream that was not before,
// and what no longer is.
func (s *Service) tellGranted(ctx context.Context, edge string, before ledger, accounts []credential.Account) ledger {
	now := make(ledger)
	for _, a := range accounts {
		if len(a.Kinds) > 0 {
			now[a.AppID] = a.Kinds
		}
	}
	tell := func(appid string, kinds []credential.Kind, outcome audit.Outcome) {
		if len(kinds) > 0 {
			s.Audit.Write(ctx, audit.Entry{Action: "watch", Edge: edge, AppID: appid, Kinds: kinds, Outcome: outcome})
		}
	}
	for appid, kinds := range now {
		tell(appid, without(kinds, before[appid]), audit.Granted)
	}
	for appid, kinds := range before {
		tell(appid, without(kinds, now[appid]), audit.Revoked)
	}
	return now
}

// tellRefused tells the audit what of a subscription the app may not have.
func (s *Service) tellRefused(ctx context.Context, sub subscription, app *access.App) {
	tell := func(appids []string, kinds []credential.Kind, reason string) {
		err := status.Error(codes.PermissionDenied, reason)
		s.Audit.Write(ctx, audit.Entry{Action: "watch", Edge: sub.name, AppID: listed(appids), Kinds: kinds, Outcome: audit.Refused, Err: err})
	}
	foreign := slices.DeleteFunc(slices.Clone(sub.appids), app.Serves)
	if len(foreign) > 0 {
		tell(foreign, sub.kinds, "the app has been granted nothing for this account")
	}
	if missing := without(sub.kinds, app.Kinds()); len(missing) > 0 {
		tell(nil, missing, "the app has not been granted these kinds")
	}
}

// listed returns appids that somebody else chose, fit for a log line.
func listed(appids []string) string { return audit.Printable(strings.Join(appids, " ")) }

func without(kinds, those []credential.Kind) []credential.Kind {
	return slices.DeleteFunc(slices.Clone(kinds), func(k credential.Kind) bool { return slices.Contains(those, k) })
}

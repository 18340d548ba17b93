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

// grantedKinds returns the kinds of the subscription that an app may have. It returns
// PERMISSION_DENIED when the app may have no credential and make no calls.
func (sub subscription) grantedKinds(app *access.App) ([]credential.Kind, error) {
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

// mayCall reports whether the edge asks for calls and its app has been granted some.
func (sub subscription) mayCall(app *access.App) bool {
	return sub.calls && len(app.CallGrants()) > 0
}

// grantedAccounts returns the accounts of the subscription that the app may have. An
// empty list stands for all accounts. The stream follows only these, because an app
// must not even learn when another account changes.
func (sub subscription) grantedAccounts(app *access.App) []string {
	switch {
	case app.ServesEvery():
		return sub.appids
	case len(sub.appids) == 0:
		return app.Accounts
	}
	return slices.DeleteFunc(slices.Clone(sub.appids), func(appid string) bool { return !app.Serves(appid) })
}

// visibleAccounts returns the part of a state that an app may see: the accounts that
// it may have, with these kinds, and the calls that sub asks for.
func (s *Service) visibleAccounts(ctx context.Context, state fanout.State, app *access.App, sub subscription, kinds []credential.Kind) []credential.Account {
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

// ledger has what a stream has been granted so far, for the audit. It has the kinds of
// each account.
type ledger map[string][]credential.Kind

// auditGranted records in the audit what a stream is newly granted, and what it is no
// longer granted. It returns the new ledger.
func (s *Service) auditGranted(ctx context.Context, edge string, before ledger, accounts []credential.Account) ledger {
	now := make(ledger)
	for _, a := range accounts {
		if len(a.Kinds) > 0 {
			now[a.AppID] = a.Kinds
		}
	}
	write := func(appid string, kinds []credential.Kind, outcome audit.Outcome) {
		if len(kinds) > 0 {
			s.Audit.Write(ctx, audit.Entry{Action: "watch", Edge: edge, AppID: appid, Kinds: kinds, Outcome: outcome})
		}
	}
	for appid, kinds := range now {
		write(appid, without(kinds, before[appid]), audit.Granted)
	}
	for appid, kinds := range before {
		write(appid, without(kinds, now[appid]), audit.Revoked)
	}
	return now
}

// auditRefused records in the audit the parts of a subscription that the app may not
// have.
func (s *Service) auditRefused(ctx context.Context, sub subscription, app *access.App) {
	write := func(appids []string, kinds []credential.Kind, reason string) {
		err := status.Error(codes.PermissionDenied, reason)
		s.Audit.Write(ctx, audit.Entry{Action: "watch", Edge: sub.name, AppID: joinAppIDs(appids), Kinds: kinds, Outcome: audit.Refused, Err: err})
	}
	foreign := slices.DeleteFunc(slices.Clone(sub.appids), app.Serves)
	if len(foreign) > 0 {
		write(foreign, sub.kinds, "the app has been granted nothing for this account")
	}
	if missing := without(sub.kinds, app.Kinds()); len(missing) > 0 {
		write(nil, missing, "the app has not been granted these kinds")
	}
}

// joinAppIDs returns appids that somebody else chose, fit for a log line.
func joinAppIDs(appids []string) string { return audit.Printable(strings.Join(appids, " ")) }

// without returns kinds less those.
func without(kinds, those []credential.Kind) []credential.Kind {
	return slices.DeleteFunc(slices.Clone(kinds), func(k credential.Kind) bool { return slices.Contains(those, k) })
}

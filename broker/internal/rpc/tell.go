package rpc

import (
	"context"
	"log/slog"

	"google.golang.org/grpc/status"

	"github.com/wxbroker/wxbroker/broker/internal/access"
	"github.com/wxbroker/wxbroker/pkg/audit"
	"github.com/wxbroker/wxbroker/pkg/credential"
)

// entry is what the audit is told besides who calls. What does not apply is
// empty.
type entry struct {
	action  string // what was to be done
	edge    string // what the edge calls itself
	appid   string // the account
	api     string // WeChat's, that is called
	kinds   []credential.Kind
	outcome audit.Outcome
}

// tell tells the audit of a call: who calls is in the context, why not in err.
func (g guard) tell(ctx context.Context, e entry, err error) {
	caller, reason := access.CallerOf(ctx), ""
	if err != nil {
		reason = status.Convert(err).Message()
	}
	more := audit.Texts("identity", caller.Identity(), "address", caller.Address, "edge", e.edge, "local_key", caller.LocalKey, "appid", e.appid, "api", e.api, "reason", reason)
	if len(e.kinds) > 0 {
		more = append(more, slog.Any("kinds", e.kinds))
	}
	g.audit.Write(ctx, audit.Line{Who: access.AppOf(ctx).Name, Action: e.action, Outcome: e.outcome, More: more})
}

// Package audit records what apps were given through the broker's gRPC API, what was
// taken back, and who was refused. Each entry is counted, and has a log line.
//
// Package rpc writes an entry for each call that it turns away, and for each unary
// call that takes a grant. Only a stream's own service knows its outcome, so packages
// streams and calls write their entries themselves. The caller is in the context, where
// package access puts it. Package audit in pkg counts the entries and writes the lines.
//
// The rule to keep: no entry holds a credential, and every text that a stranger may
// choose goes through [Printable] before it enters one.
package audit

import (
	"context"
	"log/slog"
	"strings"

	"google.golang.org/grpc/status"

	"github.com/wxbroker/wxbroker/broker/internal/access"
	"github.com/wxbroker/wxbroker/pkg/audit"
	"github.com/wxbroker/wxbroker/pkg/credential"
)

// Outcome is the outcome of an action.
type Outcome = audit.Outcome

// The outcomes.
const (
	Granted = audit.Granted
	Refused = audit.Refused // the caller may not do it
	Revoked = audit.Revoked // the caller had it until now, and no longer may
	Failed  = audit.Failed  // the caller may do it, and it failed for another reason
)

// Entry is one event, without its caller. Fields that do not apply are empty.
type Entry struct {
	Action  string // the action that the caller wanted
	Edge    string // the name that the edge gives itself
	AppID   string // the account
	API     string // the API of WeChat's that is called
	Kinds   []credential.Kind
	Outcome Outcome
	Err     error // why it was refused or failed: a gRPC status
}

// Log writes entries. Make it with New. It is a prometheus.Collector.
type Log struct{ *audit.Log }

// New returns a Log that writes to log.
func New(log *slog.Logger) Log { return Log{audit.New(log, "wxbroker", "app")} }

// Write counts an entry and logs it. The caller is in the context.
func (l Log) Write(ctx context.Context, e Entry) {
	caller, reason := access.CallerOf(ctx), ""
	if e.Err != nil {
		reason = status.Convert(e.Err).Message()
	}
	more := audit.Texts("identity", caller.Identity(), "address", caller.Address, "edge", e.Edge, "local_key", caller.LocalKey, "appid", e.AppID, "api", e.API, "reason", reason)
	if len(e.Kinds) > 0 {
		more = append(more, slog.Any("kinds", e.Kinds))
	}
	l.Log.Write(ctx, audit.Line{Who: access.AppOf(ctx).Name, Action: e.Action, Outcome: e.Outcome, More: more})
}

// RefusedCertificate records a client whose certificate TLS refused, before it could
// call anything. claimed is the name in the certificate.
func (l Log) RefusedCertificate(claimed, address string, why error) {
	l.Log.Write(context.Background(), audit.Line{ // gRPC has no context for a handshake
		Action: "connect", Outcome: Refused,
		More: audit.Texts("identity", claimed, "address", address, "reason", why.Error()),
	})
}

// Printable makes a name that somebody else chose fit for a log line.
func Printable(name string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return '?'
		}
		return r
	}, strings.ToValidUTF8(name, "?"))
}

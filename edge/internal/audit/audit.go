// Package audit tells through which local key the edge handed out a credential
// or reported one, and who was refused: a log line for each, and a count. No
// line holds a credential or a key.
package audit

import (
	"context"
	"log/slog"
	"net/http"

	"github.com/wxbroker/wxbroker/pkg/audit"
	"github.com/wxbroker/wxbroker/pkg/credential"
)

// Action is what was asked for.
type Action string

// The actions.
const (
	Token  Action = "token"  // the access_token itself
	Ticket Action = "ticket" // the jsapi_ticket itself
	Report Action = "report" // that the broker looks into a credential
)

// Entry is one line. What is not known is empty.
type Entry struct {
	LocalKey string // the name of the key that was presented, "" if it is none
	Action   Action
	AppID    string
	Kind     credential.Kind
	Status   int    // HTTP's
	Address  string // where it was asked from
	Reason   string // why not
}

// outcome is what came of it, by the answer's status.
func (e Entry) outcome() audit.Outcome {
	switch {
	case e.Status < http.StatusBadRequest:
		return audit.Granted
	case e.Status < http.StatusInternalServerError:
		return audit.Refused
	default:
		return audit.Failed
	}
}

// Log writes entries. Make it with New. It is a prometheus.Collector.
type Log struct{ *audit.Log }

// New returns a Log that writes to log.
func New(log *slog.Logger) Log { return Log{audit.New(log, "wxedge", "local_key")} }

// Write counts an entry and logs it.
func (l Log) Write(e Entry) {
	more := []slog.Attr{slog.String("appid", e.AppID), slog.String("kind", string(e.Kind)), slog.Int("status", e.Status), slog.String("address", e.Address)}
	l.Log.Write(context.Background(), audit.Line{
		Who: e.LocalKey, Action: string(e.Action), Outcome: e.outcome(), More: append(more, audit.Texts("reason", e.Reason)...),
	})
}

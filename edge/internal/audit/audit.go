// Package audit tells through which local key the edge handed out a credential,
// reported one or had WeChat called, and who was refused: a log line for each,
// and a count. No line holds a credential, a key or a code.
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
	Token    Action = "token"     // the access_token itself, or what stands for it
	Ticket   Action = "ticket"    // a ticket itself
	Report   Action = "report"    // that the broker looks into a credential
	Template Action = "template"  // a template message
	Media    Action = "media"     // a file
	OAuth    Action = "oauth"     // who the user of a code is
	OAuthURL Action = "oauth_url" // where to send a user to get one
	Call     Action = "call"      // any other API
)

// SharedToken is in place of the name of a local key where the caller presents
// the account's access_token itself: who that is cannot be known. No key has
// the name, which is not one word.
const SharedToken = "access token"

// Entry is one line. What is not known is empty.
type Entry struct {
	LocalKey string // the name of the key that was presented, "" if it is none
	Action   Action
	AppID    string
	Kind     credential.Kind
	Path     string // of a Call
	Status   int    // HTTP's, or what it would be where WeChat's shape always has 200
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
		Who: e.LocalKey, Action: string(e.Action), Outcome: e.outcome(), More: append(more, audit.Texts("path", e.Path, "reason", e.Reason)...),
	})
}

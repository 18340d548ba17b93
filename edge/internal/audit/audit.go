// Package audit records through which local key the edge handed out a credential,
// reported one or let the broker call WeChat, and who was refused. Each entry is
// counted, and has a log line.
//
// Packages httpapi and wechatapi write the entries. Package audit in pkg counts them and
// writes the lines.
//
// The rule to keep: no line holds a credential, a key or a code.
package audit

import (
	"context"
	"log/slog"
	"net/http"

	"github.com/wxbroker/wxbroker/pkg/audit"
	"github.com/wxbroker/wxbroker/pkg/credential"
)

// Action is the action that a caller asked for.
type Action string

// The actions.
const (
	Token    Action = "token"     // the access_token itself, or an alias for it
	Ticket   Action = "ticket"    // a ticket itself
	Report   Action = "report"    // that the broker looks into a credential
	Template Action = "template"  // a template message
	Media    Action = "media"     // a file
	OAuth    Action = "oauth"     // who the user of a code is
	OAuthURL Action = "oauth_url" // where to send a user to get one
	Call     Action = "call"      // any other API
)

// SharedToken takes the place of a local key's name where the caller presents the
// account's access_token itself. Then nobody can know which key's holder it is. No key
// has this name, because names of keys are one word.
const SharedToken = "access token"

// Entry is one event. A field that is not known is empty.
type Entry struct {
	LocalKey string // the name of the key that was presented, "" for no key of ours
	Action   Action
	AppID    string
	Kind     credential.Kind
	Path     string // of a Call
	Status   int    // of the HTTP answer; on WeChat's own paths, which always answer 200, the status of other paths
	Address  string // where the request came from
	Reason   string // why it was refused or failed
}

// Of returns the entry with the address of a request and its outcome.
func (e Entry) Of(r *http.Request, status int, err error) Entry {
	e.Address, e.Status = r.RemoteAddr, status
	if err != nil {
		e.Reason = err.Error()
	}
	return e
}

// outcome returns the outcome that the answer's status stands for.
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

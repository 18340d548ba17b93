package streams

import (
	"context"
	"crypto/sha256"
	"log/slog"

	"github.com/wxbroker/wxbroker/broker/internal/access"
	"github.com/wxbroker/wxbroker/broker/internal/audit"
	"github.com/wxbroker/wxbroker/broker/internal/edges"
	"github.com/wxbroker/wxbroker/broker/internal/fanout"
	"github.com/wxbroker/wxbroker/pkg/credential"
	wxbrokerv1 "github.com/wxbroker/wxbroker/proto/wxbroker/v1"
)

// Options are what a Service needs; all of them are required.
type Options struct {
	Fanout *fanout.Fanout
	Edges  *edges.Register
	// Claim tells the account's keeper which version an edge holds.
	Claim func(appid string, kind credential.Kind, version int64)
	// Report tells the account's keeper that WeChat refused the value with that hash.
	// known is whether the account has handed that value out.
	Report func(ctx context.Context, appid string, kind credential.Kind, hash [sha256.Size]byte) (v credential.Versions, known bool, err error)
	// AliasKey returns the key of the aliases that stand for an account's access_token.
	AliasKey func(ctx context.Context, appid, app string) credential.Secret
	// Access says who may do what, and Audit records it.
	Access *access.Control
	Audit  audit.Log
	Clock  credential.Clock
	Log    *slog.Logger
}

// Service is the CredentialService. The .proto file says what it promises. Make it
// with New.
type Service struct {
	wxbrokerv1.UnimplementedCredentialServiceServer
	Options
	stopping context.Context // ends when every stream has to end
	stop     context.CancelFunc
}

// New returns a Service.
func New(o Options) *Service {
	s := &Service{Options: o}
	s.stopping, s.stop = context.WithCancel(context.Background())
	return s
}

// Needs are those of the service's methods.
func Needs() access.Needs {
	return access.Needs{
		wxbrokerv1.CredentialService_Watch_FullMethodName:         {Action: "watch", Grants: []credential.Grant{credential.Sign, credential.Token, credential.Template, credential.Media, credential.OAuth, credential.Call}},
		wxbrokerv1.CredentialService_ReportInvalid_FullMethodName: {Action: "report", Grants: []credential.Grant{credential.Report}, Counts: true},
	}
}

// Stop ends every stream, the open ones and those that are opened later.
func (s *Service) Stop() { s.stop() }

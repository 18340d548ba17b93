package rpc_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/wxbroker/wxbroker/broker/internal/access"
	"github.com/wxbroker/wxbroker/broker/internal/rpc/rpctest"
	"github.com/wxbroker/wxbroker/pkg/credential"
	wxbrokerv1 "github.com/wxbroker/wxbroker/proto/wxbroker/v1"
)

// TestNothingIsKeptForStrangers: a call that brings nothing is refused before
// its message comes.
func TestNothingIsKeptForStrangers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serve(t, untilItLeaves)
		token, id := access.NewToken()
		s.Use(access.App{Name: "web", Identities: []access.Identity{id}, Accounts: []string{"wx1"}, Grants: []credential.Grant{credential.Report}})
		desc := &grpc.StreamDesc{ClientStreams: true}
		begin := func(ctx context.Context) grpc.ClientStream {
			t.Helper()
			stream, err := s.Conn.NewStream(ctx, desc, wxbrokerv1.CredentialService_ReportInvalid_FullMethodName)
			if err != nil {
				t.Fatal(err)
			}
			return stream
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		start := time.Now()
		if err := begin(ctx).RecvMsg(new(wxbrokerv1.ReportInvalidResponse)); status.Code(err) != codes.Unauthenticated || time.Since(start) > 0 {
			t.Errorf("after %v: %v", time.Since(start), err)
		}
		s.ExpectAudit(`app="" action=report outcome=refused`)
		known := begin(rpctest.By(ctx, token.Reveal()))
		if err := known.RecvMsg(new(wxbrokerv1.ReportInvalidResponse)); status.Code(err) != codes.DeadlineExceeded {
			t.Errorf("who can be known: %v", err)
		}
	})
}

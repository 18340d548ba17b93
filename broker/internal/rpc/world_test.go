package rpc_test

import (
	"context"
	"testing"

	"google.golang.org/grpc"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/wxbroker/wxbroker/broker/internal/access"
	"github.com/wxbroker/wxbroker/broker/internal/rpc"
	"github.com/wxbroker/wxbroker/broker/internal/rpc/rpctest"
	"github.com/wxbroker/wxbroker/pkg/credential"
	wxbrokerv1 "github.com/wxbroker/wxbroker/proto/wxbroker/v1"
)

// fake is a service with a stream that does what a test says, and a unary call that
// answers at once.
type fake struct {
	wxbrokerv1.UnimplementedCredentialServiceServer
	watch func(wxbrokerv1.CredentialService_WatchServer) error
}

func (f fake) Watch(stream wxbrokerv1.CredentialService_WatchServer) error { return f.watch(stream) }

func (fake) ReportInvalid(context.Context, *wxbrokerv1.ReportInvalidRequest) (*wxbrokerv1.ReportInvalidResponse, error) {
	return new(wxbrokerv1.ReportInvalidResponse), nil
}

// service returns a fake as it is handed in.
func service(watch func(wxbrokerv1.CredentialService_WatchServer) error) rpc.Service {
	return rpc.Service{
		Desc: &wxbrokerv1.CredentialService_ServiceDesc, Server: fake{watch: watch},
		Needs: access.Needs{
			wxbrokerv1.CredentialService_Watch_FullMethodName:         {Action: "watch", Grants: []credential.Grant{credential.Sign}},
			wxbrokerv1.CredentialService_ReportInvalid_FullMethodName: {Action: "report", Grants: []credential.Grant{credential.Report}},
		},
	}
}

// serve serves a fake.
func serve(t *testing.T, watch func(wxbrokerv1.CredentialService_WatchServer) error) *rpctest.Server {
	t.Helper()
	s := rpctest.New(t)
	s.Serve(service(watch))
	return s
}

// untilItLeaves is a stream that says one thing and goes on until its caller leaves.
func untilItLeaves(stream wxbrokerv1.CredentialService_WatchServer) error {
	if err := stream.Send(new(wxbrokerv1.WatchResponse)); err != nil {
		return err
	}
	<-stream.Context().Done()
	return stream.Context().Err()
}

// watch opens a stream, which has begun once this returns.
func watch(ctx context.Context, t *testing.T, conn *grpc.ClientConn) wxbrokerv1.CredentialService_WatchClient {
	t.Helper()
	stream, err := wxbrokerv1.NewCredentialServiceClient(conn).Watch(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); err != nil {
		t.Fatal(err)
	}
	return stream
}

// end returns how a stream ends.
func end(stream wxbrokerv1.CredentialService_WatchClient) error {
	for {
		if _, err := stream.Recv(); err != nil {
			return err
		}
	}
}

func checkHealth(ctx context.Context, conn *grpc.ClientConn) error {
	_, err := healthv1.NewHealthClient(conn).Check(ctx, new(healthv1.HealthCheckRequest))
	return err
}

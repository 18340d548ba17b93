package app_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	"github.com/wxbroker/wxbroker/pkg/credential"
	"github.com/wxbroker/wxbroker/pkg/wxapi"
	wxbrokerv1 "github.com/wxbroker/wxbroker/proto/wxbroker/v1"
)

// services are all that the broker serves, but for gRPC's health service.
var services = []grpc.ServiceDesc{wxbrokerv1.CredentialService_ServiceDesc, wxbrokerv1.WeChatService_ServiceDesc, wxbrokerv1.OperatorService_ServiceDesc}

const (
	tokenKind      = wxbrokerv1.CredentialKind_CREDENTIAL_KIND_ACCESS_TOKEN
	ticketKind     = wxbrokerv1.CredentialKind_CREDENTIAL_KIND_JSAPI_TICKET
	cardTicketKind = wxbrokerv1.CredentialKind_CREDENTIAL_KIND_WX_CARD_TICKET
)

var kinds = []wxbrokerv1.CredentialKind{tokenKind, ticketKind, cardTicketKind}

// subscribe asks for a kind of credential of wx1.
func subscribe(kind wxbrokerv1.CredentialKind) *wxbrokerv1.WatchRequest {
	return &wxbrokerv1.WatchRequest{Request: &wxbrokerv1.WatchRequest_Subscription{
		Subscription: &wxbrokerv1.Subscription{Appids: []string{"wx1"}, Kinds: []wxbrokerv1.CredentialKind{kind}},
	}}
}

// method is one RPC, called for the account wx1.
type method struct {
	name   string
	grants []credential.Grant // any of which it takes; none: any app may
	action string             // in the audit
	call   func(context.Context, *site, *grpc.ClientConn) error
}

func methods() []method {
	watch := func(kind wxbrokerv1.CredentialKind) func(context.Context, *site, *grpc.ClientConn) error {
		return func(ctx context.Context, _ *site, conn *grpc.ClientConn) error {
			stream, err := wxbrokerv1.NewCredentialServiceClient(conn).Watch(ctx)
			if err != nil {
				return err
			}
			_ = stream.Send(subscribe(kind)) // Recv says why not
			state, err := stream.Recv()
			if err != nil {
				return err
			}
			if len(state.GetAccounts()) != 1 || len(state.GetAccounts()[0].GetCredentials()) != 1 || state.GetAccounts()[0].GetCredentials()[0].GetKind() != kind {
				return fmt.Errorf("granted %v", state.GetAccounts())
			}
			return nil
		}
	}
	operator := func(call func(context.Context, wxbrokerv1.OperatorServiceClient) error) func(context.Context, *site, *grpc.ClientConn) error {
		return func(ctx context.Context, _ *site, conn *grpc.ClientConn) error {
			return call(ctx, wxbrokerv1.NewOperatorServiceClient(conn))
		}
	}
	admin := []credential.Grant{credential.Admin}
	return []method{
		{"Watch, a ticket", []credential.Grant{credential.Sign}, "watch", watch(ticketKind)},
		{"Watch, a card ticket", []credential.Grant{credential.Sign}, "watch", watch(cardTicketKind)},
		{"Watch, the token", []credential.Grant{credential.Token}, "watch", watch(tokenKind)},
		{"ReportInvalid", []credential.Grant{credential.Report}, "report", func(ctx context.Context, s *site, conn *grpc.ClientConn) error {
			_, err := wxbrokerv1.NewCredentialServiceClient(conn).ReportInvalid(ctx, &wxbrokerv1.ReportInvalidRequest{
				Appid: "wx1", Kind: tokenKind, ValueSha256: s.hash(),
			})
			return err
		}},
		{"Call, of any API", []credential.Grant{credential.Call}, "call", passOn("POST", "/cgi-bin/message/custom/send")},
		{"Call, of the template API", []credential.Grant{credential.Template, credential.Call}, "call", passOn("POST", wxapi.PathTemplate)},
		{"Call, of the media API", []credential.Grant{credential.Media, credential.Call}, "call", passOn("GET", wxapi.PathMedia)},
		{"Call, of the OAuth API", []credential.Grant{credential.OAuth}, "call", passOn("GET", wxapi.PathCode)},
		{"GetStatus", admin, "status", operator(func(ctx context.Context, o wxbrokerv1.OperatorServiceClient) error {
			_, err := o.GetStatus(ctx, &wxbrokerv1.GetStatusRequest{Appid: "wx1"})
			return err
		})},
		{"GetQuota", admin, "quota", operator(func(ctx context.Context, o wxbrokerv1.OperatorServiceClient) error {
			_, err := o.GetQuota(ctx, &wxbrokerv1.GetQuotaRequest{Appid: "wx1"})
			return err
		})},
		{"ClearQuota", admin, "clear_quota", operator(func(ctx context.Context, o wxbrokerv1.OperatorServiceClient) error {
			_, err := o.ClearQuota(ctx, &wxbrokerv1.ClearQuotaRequest{Appid: "wx1"})
			return err
		})},
		{"Refresh", admin, "refresh", operator(func(ctx context.Context, o wxbrokerv1.OperatorServiceClient) error {
			_, err := o.Refresh(ctx, &wxbrokerv1.RefreshRequest{Appid: "wx1"})
			return err
		})},
		{"Health.Check", nil, "health", func(ctx context.Context, _ *site, conn *grpc.ClientConn) error {
			_, err := healthv1.NewHealthClient(conn).Check(ctx, new(healthv1.HealthCheckRequest))
			return err
		}},
		{"Health.List", nil, "health", func(ctx context.Context, _ *site, conn *grpc.ClientConn) error {
			list, err := healthv1.NewHealthClient(conn).List(ctx, new(healthv1.HealthListRequest))
			if err != nil {
				return err
			}
			names := []string{""}
			for _, service := range services {
				names = append(names, service.ServiceName)
			}
			for _, name := range names {
				if list.GetStatuses()[name].GetStatus() != healthv1.HealthCheckResponse_SERVING {
					return fmt.Errorf("the service %q is not served: %v", name, list)
				}
			}
			if len(list.GetStatuses()) != len(names) {
				return fmt.Errorf("more is served than is tested: %v", list)
			}
			return nil
		}},
		{"Health.Watch", nil, "health", func(ctx context.Context, _ *site, conn *grpc.ClientConn) error {
			stream, err := healthv1.NewHealthClient(conn).Watch(ctx, new(healthv1.HealthCheckRequest))
			if err != nil {
				return err
			}
			if _, err = stream.Recv(); status.Code(err) == codes.Unimplemented {
				return nil // to those who are let in
			}
			return err
		}},
	}
}

// passOn makes a call for wx1.
func passOn(method, path string) func(context.Context, *site, *grpc.ClientConn) error {
	return func(ctx context.Context, _ *site, conn *grpc.ClientConn) error {
		stream, err := wxbrokerv1.NewWeChatServiceClient(conn).Call(ctx)
		if err != nil {
			return err
		}
		head := &wxbrokerv1.CallHead{Appid: "wx1", Method: method, Path: path, Query: "code=c", Proven: true}
		_ = stream.Send(&wxbrokerv1.CallRequest{Part: &wxbrokerv1.CallRequest_Head{Head: head}}) // Recv says why not
		_ = stream.CloseSend()
		return drained(stream.Recv)
	}
}

// drained reads a stream to its end.
func drained[T any](receive func() (T, error)) error {
	for {
		if _, err := receive(); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
	}
}

// TestEveryMethodIsInTheTable: one that is added has to say what it takes.
func TestEveryMethodIsInTheTable(t *testing.T) {
	tested := map[string]bool{}
	for _, m := range methods() {
		name, _, _ := strings.Cut(m.name, ",")
		tested[name] = true
	}
	for _, service := range services {
		for _, m := range service.Methods {
			if !tested[m.MethodName] {
				t.Errorf("%s.%s is not tested", service.ServiceName, m.MethodName)
			}
		}
		for _, s := range service.Streams {
			if !tested[s.StreamName] {
				t.Errorf("%s.%s is not tested", service.ServiceName, s.StreamName)
			}
		}
	}
}

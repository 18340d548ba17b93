package rpc_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/wxbroker/wxbroker/broker/internal/access"
	"github.com/wxbroker/wxbroker/broker/internal/rpc"
	"github.com/wxbroker/wxbroker/broker/internal/rpc/rpctest"
	"github.com/wxbroker/wxbroker/pkg/credential"
	wxbrokerv1 "github.com/wxbroker/wxbroker/proto/wxbroker/v1"
)

// TestAServiceSaysWhatEachMethodTakes: a server with one that does not is not made.
func TestAServiceSaysWhatEachMethodTakes(t *testing.T) {
	const watch, report = wxbrokerv1.CredentialService_Watch_FullMethodName, wxbrokerv1.CredentialService_ReportInvalid_FullMethodName
	for _, tt := range []struct {
		name    string
		methods []string
		says    string // "" where it is made
	}{
		{"of both", []string{watch, report}, ""},
		{"of none", nil, "lack its method "},
		{"not of a stream", []string{report}, "the needs of the service wxbroker.v1.CredentialService lack its method " + watch},
		{"not of a unary call", []string{watch}, "the needs of the service wxbroker.v1.CredentialService lack its method " + report},
		{"of another service's too", []string{watch, report, wxbrokerv1.WeChatService_Call_FullMethodName}, "name " + wxbrokerv1.WeChatService_Call_FullMethodName + ", which is no method of it"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			said := ""
			func() {
				defer func() {
					if r := recover(); r != nil {
						said = fmt.Sprint(r)
					}
				}()
				s := service(untilItLeaves)
				s.Needs = make(access.Needs)
				for _, method := range tt.methods {
					s.Needs[method] = access.Need{}
				}
				rpc.NewServer(rpc.Options{Services: []rpc.Service{s}})
			}()
			if (said == "") != (tt.says == "") || !strings.Contains(said, tt.says) {
				t.Errorf("it says %q, want %q", said, tt.says)
			}
		})
	}
}

// TestMethodsOfOtherVersions: who calls one that this broker does not have is told
// which version it is, if the caller is an app at all.
func TestMethodsOfOtherVersions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serve(t, untilItLeaves)
		call := func(method string) error {
			return s.Conn.Invoke(t.Context(), method, new(wxbrokerv1.ReportInvalidRequest), new(wxbrokerv1.ReportInvalidResponse))
		}
		for _, method := range []string{"/wxbroker.v1.CredentialService/SendTemplate", "/wxbroker.v2.CredentialService/Watch"} {
			err := call(method)
			if status.Code(err) != codes.Unimplemented || !strings.Contains(err.Error(), "version "+rpctest.Version) || !strings.Contains(err.Error(), method) {
				t.Errorf("%s: %v", method, err)
			}
		}
		s.Use(access.App{Name: "web", Identities: []access.Identity{"spiffe://prod/web"}, Accounts: []string{"wx1"}, Grants: credential.Grants()})
		if err := call("/wxbroker.v1.CredentialService/SendTemplate"); status.Code(err) != codes.Unauthenticated {
			t.Errorf("a stranger: %v", err)
		}
	})
}

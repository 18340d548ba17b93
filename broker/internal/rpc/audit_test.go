package rpc_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/wxbroker/wxbroker/broker/internal/access"
	wxbrokerv1 "github.com/wxbroker/wxbroker/proto/wxbroker/v1"
)

// TestForcedRefreshIsToldApart in the audit, whatever comes of it: it cuts off
// whoever holds the old token.
func TestForcedRefreshIsToldApart(t *testing.T) {
	s := newSite(t)
	for _, tt := range []struct {
		name, app, appid string
		code             codes.Code
		outcome          string
	}{
		{"granted", appOf(access.Admin, "wx1"), "wx1", codes.OK, "granted"},
		{"failed", appOf(access.Admin, "wx1"), "", codes.FailedPrecondition, "failed"},
		{"without the grant", appOf(access.Sign, "wx1"), "wx1", codes.PermissionDenied, "refused"},
		{"for another account", appOf(access.Admin, "wx2"), "wx1", codes.PermissionDenied, "refused"},
		{"by nobody", "nobody", "wx1", codes.PermissionDenied, "refused"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			broker := wxbrokerv1.NewOperatorServiceClient(s.dial(t, caller{pair: certificate(t, s.ours, tt.app, time.Now().Add(time.Hour))}))
			for action, force := range map[string]bool{"refresh": false, "force_refresh": true} {
				s.journal.take()
				if _, err := broker.Refresh(ctx, &wxbrokerv1.RefreshRequest{Appid: tt.appid, Force: force}); status.Code(err) != tt.code {
					t.Errorf("%s: %v", action, err)
				}
				lines, want := s.journal.take(), " action="+action+" outcome="+tt.outcome+" "
				if len(lines) != 1 || !strings.Contains(lines[0], want) {
					t.Errorf("the audit says %q, want %q", lines, want)
				}
			}
		})
	}
}

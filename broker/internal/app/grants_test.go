package app_test

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/wxbroker/wxbroker/broker/clustertest"
	"github.com/wxbroker/wxbroker/broker/internal/rpc/rpctest"
	"github.com/wxbroker/wxbroker/pkg/credential"
	wxbrokerv1 "github.com/wxbroker/wxbroker/proto/wxbroker/v1"
)

// TestRPCByGrantByIdentity: every RPC by every grant by every way of being somebody,
// over real TLS.
func TestRPCByGrantByIdentity(t *testing.T) {
	soon, ago := time.Now().Add(time.Hour), time.Now().Add(-time.Minute)
	cells, silent := 0, false
	for _, g := range credential.Grants() {
		s := newSite(t) // of its own: the audit says only so much of strangers
		right, other := appOf(g, "wx1"), appOf(g, "wx2")
		for _, who := range []struct {
			name   string
			caller caller
			// code is what comes of a call that the grant allows, and otherwise
			// of one that it does not.
			code, otherwise codes.Code
			app             string // in the audit, "" for a stranger
		}{
			{"the right app, by its certificate", caller{pair: certificate(t, s.ours, right, soon)}, codes.OK, codes.PermissionDenied, right},
			{"the right app, by its ServiceAccount", caller{token: s.cluster.Token(t, "shop", right)}, codes.OK, codes.PermissionDenied, right},
			{"an app of another account", caller{pair: certificate(t, s.ours, other, soon)}, codes.PermissionDenied, codes.PermissionDenied, other},
			{"nobody", caller{}, codes.Unauthenticated, codes.Unauthenticated, ""},
			{"no app", caller{pair: certificate(t, s.ours, "nobody", soon)}, codes.PermissionDenied, codes.PermissionDenied, ""},
			// TLS itself refuses these two, and tells the client why.
			{"an expired certificate", caller{pair: certificate(t, s.ours, right, ago)}, codes.Unavailable, codes.Unavailable, ""},
			{"a certificate of another CA", caller{pair: certificate(t, s.foreign, right, soon)}, codes.Unavailable, codes.Unavailable, ""},
			{"a token for another audience", caller{token: s.cluster.Token(t, "shop", right, clustertest.For("vault"))}, codes.Unauthenticated, codes.Unauthenticated, ""},
			{"an expired token", caller{token: s.cluster.Token(t, "shop", right, clustertest.Until(ago))}, codes.Unauthenticated, codes.Unauthenticated, ""},
			{"a token that is none", caller{token: "wxb_guess"}, codes.Unauthenticated, codes.Unauthenticated, ""},
		} {
			for _, m := range methods() {
				want := who.otherwise
				if len(m.grants) == 0 || slices.Contains(m.grants, g) {
					want = who.code
				}
				if len(m.grants) == 0 && who.app != "" {
					want = codes.OK // being an app is enough, of whichever account
				}
				cells++
				t.Run(fmt.Sprintf("%s/%s/%s", m.name, g, who.name), func(t *testing.T) {
					s.log.Take()
					err := s.call(t, m, who.caller)
					if status.Code(err) != want {
						t.Errorf("%v, want %v", err, want)
					}
					lines := s.audited()
					if want == codes.Unavailable && len(lines) == 0 && !silent {
						lines = s.await()
						silent = len(lines) == 0 // or each of these cells would wait in vain
					}
					if m.action == "call" && want == codes.OK {
						m.action = string(g) // by which it was let in
					}
					s.checkAudit(t, lines, m, want, who.app)
				})
			}
		}
	}
	t.Logf("%d cells", cells)
}

// checkAudit checks that the audit has a line of what came of a call.
func (s *site) checkAudit(t *testing.T, lines []string, m method, code codes.Code, app string) {
	t.Helper()
	outcome, action := "outcome=refused", "action="+m.action
	switch code {
	case codes.OK:
		if outcome = "outcome=granted"; m.action == "health" {
			outcome = "" // who is let in to ask for nothing is no news
		}
	case codes.Unavailable:
		action = "action=connect"
	}
	if outcome == "" {
		if len(lines) != 0 {
			t.Errorf("the audit says %q", lines)
		}
		return
	}
	found := slices.ContainsFunc(lines, func(line string) bool {
		return strings.Contains(line, outcome) && strings.Contains(line, action+" ") && strings.Contains(line, "app="+orEmpty(app)+" ") &&
			strings.Contains(line, "address=") && (code == codes.OK) == !strings.Contains(line, "reason=")
	})
	if !found {
		t.Errorf("no line with %s, %s and app=%s: %q", outcome, action, app, lines)
	}
	for _, line := range lines {
		for kind, value := range s.values {
			if strings.Contains(line, value) {
				t.Errorf("the audit shows the value of a %v: %s", kind, line)
			}
		}
	}
}

func orEmpty(app string) string {
	if app == "" {
		return `""`
	}
	return app
}

// audited returns the audit's lines since the log was taken last.
func (s *site) audited() []string { return rpctest.AuditLines(s.log.Take()) }

// await waits until the audit has lines: a client hears from TLS that it is refused a
// moment before the audit does.
func (s *site) await() []string {
	for start := time.Now(); time.Since(start) < 10*time.Second; runtime.Gosched() {
		if lines := s.audited(); len(lines) > 0 {
			return lines
		}
	}
	return nil
}

// TestWithdrawnCA: what it vouched for is nobody on the connections that are
// open, too.
func TestWithdrawnCA(t *testing.T) {
	s := newSite(t)
	pair := certificate(t, s.ours, appOf(credential.Admin, "wx1"), time.Now().Add(time.Hour))
	conn := s.dial(t, caller{pair: pair})
	ask := func() error {
		_, err := wxbrokerv1.NewOperatorServiceClient(conn).GetStatus(t.Context(), &wxbrokerv1.GetStatusRequest{Appid: "wx1"})
		return err
	}
	if err := ask(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(s.files.CA, s.foreign.PEM, 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for status.Code(ask()) != codes.Unauthenticated {
		select {
		case <-ctx.Done():
			t.Fatal("it is somebody still")
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// TestForcedRefreshIsToldApart in the audit, whatever comes of it: it cuts off
// whoever holds the old token.
func TestForcedRefreshIsToldApart(t *testing.T) {
	s := newSite(t)
	by := func(app string) caller {
		return caller{pair: certificate(t, s.ours, app, time.Now().Add(time.Hour))}
	}
	for _, tt := range []struct {
		name    string
		caller  caller
		appid   string
		code    codes.Code
		outcome string
		forced  string // what a forced one is called
	}{
		{"granted", by(appOf(credential.Admin, "wx1")), "wx1", codes.OK, "granted", "force_refresh"},
		{"failed", by(appOf(credential.Admin, "wx1")), "", codes.NotFound, "failed", "force_refresh"},
		{"without the grant", by(appOf(credential.Sign, "wx1")), "wx1", codes.PermissionDenied, "refused", "force_refresh"},
		{"for another account", by(appOf(credential.Admin, "wx2")), "wx1", codes.PermissionDenied, "refused", "force_refresh"},
		{"by nobody", by("nobody"), "wx1", codes.PermissionDenied, "refused", "force_refresh"},
		{"by a token that is none", caller{token: "wxb_guess"}, "wx1", codes.Unauthenticated, "refused", "force_refresh"},
		// Who brings nothing is refused before the request is read.
		{"by somebody who brings nothing", caller{}, "wx1", codes.Unauthenticated, "refused", "refresh"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, force := range []bool{false, true} {
				action := "refresh"
				if force {
					action = tt.forced
				}
				s.log.Take()
				refresh := method{call: func(ctx context.Context, _ *site, conn *grpc.ClientConn) error {
					_, err := wxbrokerv1.NewOperatorServiceClient(conn).Refresh(ctx, &wxbrokerv1.RefreshRequest{Appid: tt.appid, Force: force})
					return err
				}}
				if err := s.call(t, refresh, tt.caller); status.Code(err) != tt.code {
					t.Errorf("%s: %v", action, err)
				}
				lines, want := s.audited(), " action="+action+" outcome="+tt.outcome+" "
				if len(lines) != 1 || !strings.Contains(lines[0], want) {
					t.Errorf("the audit says %q, want %q", lines, want)
				}
			}
		})
	}
}

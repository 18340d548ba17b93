package rpc

import (
	"context"
	"crypto/sha256"
	"fmt"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"github.com/wxbroker/wxbroker/pkg/credential"
	wxbrokerv1 "github.com/wxbroker/wxbroker/proto/wxbroker/v1"
)

// TestReportersAreBounded: callers that have been quiet make room for others,
// and one that has not is not forgiven because of them.
func TestReportersAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r reporters
		for i := range maxReporters - 1 {
			r.allow(fmt.Sprint("quiet ", i))
		}
		time.Sleep(time.Minute)
		for r.allow("noisy") { // until it may not
		}
		if !r.allow("new") || !r.allow("newer") {
			t.Error("a new caller is refused its first report")
		}
		if n := len(r.callers); n != 3 {
			t.Errorf("%d callers are remembered, want the three that are not quiet", n)
		}
		if r.allow("noisy") {
			t.Error("forgiven because of others")
		}
	})
}

// TestAFloodOfCallersIsForgotten where nobody has been quiet: then everybody,
// so the map stays bounded.
func TestAFloodOfCallersIsForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r reporters
		for i := range 3 * maxReporters {
			if !r.allow(fmt.Sprint("caller ", i)) || len(r.callers) > maxReporters {
				t.Fatalf("caller %d of a flood: %d are remembered", i, len(r.callers))
			}
		}
	})
}

// TestReportOfACallerThatHasGone: a proxy in between, say, is told of the
// caller's end and not of a keeper's trouble.
func TestReportOfACallerThatHasGone(t *testing.T) {
	c := &credentials{Options: Options{
		Report: func(ctx context.Context, _ string, _ credential.Kind, _ [sha256.Size]byte) (v Versions, known bool, err error) {
			<-ctx.Done()
			return Versions{}, false, ctx.Err()
		},
	}}
	request := &wxbrokerv1.ReportInvalidRequest{
		Appid: "wx1", Kind: wxbrokerv1.CredentialKind_CREDENTIAL_KIND_ACCESS_TOKEN, ValueSha256: make([]byte, sha256.Size),
	}
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	late, cancel := context.WithDeadline(t.Context(), time.Now())
	defer cancel()
	for ctx, want := range map[context.Context]codes.Code{cancelled: codes.Canceled, late: codes.DeadlineExceeded} {
		if _, err := c.ReportInvalid(ctx, request); status.Code(err) != want {
			t.Errorf("answered %v, want %v", err, want)
		}
	}
}

func TestIdentityOf(t *testing.T) {
	for _, tt := range []struct {
		name string
		addr net.Addr // nil: none
		want string
	}{
		{"nobody", nil, ""},
		{"IPv4", &net.TCPAddr{IP: net.IPv4(192, 0, 2, 7), Port: 4711}, "192.0.2.7"},
		{"IPv6", &net.TCPAddr{IP: net.ParseIP("2001:db8::17"), Port: 4711}, "2001:db8::17"},
		{"a unix socket", &net.UnixAddr{Name: "@", Net: "unix"}, "@"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ctx := t.Context()
			if tt.addr != nil {
				ctx = peer.NewContext(context.WithoutCancel(ctx), &peer.Peer{Addr: tt.addr})
			}
			if got := identityOf(ctx); got != tt.want {
				t.Errorf("%q, want %q", got, tt.want)
			}
		})
	}
}

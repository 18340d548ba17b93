package audit_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/wxbroker/wxbroker/broker/internal/access"
	"github.com/wxbroker/wxbroker/broker/internal/audit"
	"github.com/wxbroker/wxbroker/pkg/credential"
)

// caller returns a context in which the app web calls, known by a token of its own.
func caller(t *testing.T) (_ context.Context, identity string) {
	t.Helper()
	token, id := access.NewToken()
	policy, err := access.NewPolicy([]access.App{{Name: "web", Identities: []access.Identity{id}}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	headers := metadata.Pairs("authorization", "Bearer "+token.Reveal(), "wxbroker-local-key", "billing")
	control := access.NewControl(policy, credential.WallClock)
	who, err := control.Identify(metadata.NewIncomingContext(t.Context(), headers))
	if err != nil {
		t.Fatal(err)
	}
	who.Address = "192.0.2.1:4711"
	app, who, err := control.App(who)
	if err != nil {
		t.Fatal(err)
	}
	return access.WithCaller(t.Context(), who, app), id.String()
}

func TestEntriesSayWhoDidWhat(t *testing.T) {
	known, identity := caller(t)
	stranger := access.WithCaller(t.Context(), access.Caller{Address: "192.0.2.2:4711"}, new(access.App))
	for _, tt := range []struct {
		name  string
		ctx   context.Context
		entry audit.Entry
		want  string
	}{
		{
			"granted", known,
			audit.Entry{Action: "watch", Edge: "edge-1", AppID: "wx1", Kinds: []credential.Kind{credential.JSAPITicket}, Outcome: audit.Granted},
			"app=web action=watch outcome=granted identity=" + identity + " address=192.0.2.1:4711 edge=edge-1 local_key=billing appid=wx1 kinds=[jsapi_ticket]",
		},
		{
			"failed", known,
			audit.Entry{Action: "media", AppID: "wx1", API: "/cgi-bin/media/get", Outcome: audit.Failed, Err: status.Error(codes.Unavailable, "broke off")},
			"app=web action=media outcome=failed identity=" + identity + ` address=192.0.2.1:4711 local_key=billing appid=wx1 api=/cgi-bin/media/get reason="broke off"`,
		},
		{
			"a stranger is refused", stranger,
			audit.Entry{Action: "status", Outcome: audit.Refused, Err: status.Error(codes.Unauthenticated, "who is it?")},
			`app="" action=status outcome=refused address=192.0.2.2:4711 reason="who is it?"`,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var out bytes.Buffer
			log := audit.New(slog.New(slog.NewTextHandler(&out, nil)))
			log.Write(tt.ctx, tt.entry)
			if _, got, _ := strings.Cut(strings.TrimSpace(out.String()), "msg=audit "); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
			if n := testutil.CollectAndCount(log, "wxbroker_audit_total"); n != 1 {
				t.Errorf("%d series count it", n)
			}
		})
	}
}

func TestRefusedCertificatesAreTold(t *testing.T) {
	var out bytes.Buffer
	audit.New(slog.New(slog.NewTextHandler(&out, nil))).RefusedCertificate("dns:web (not verified)", "192.0.2.1:4711", errors.New("expired"))
	const want = `app="" action=connect outcome=refused identity="dns:web (not verified)" address=192.0.2.1:4711 reason=expired`
	if !strings.HasSuffix(strings.TrimSpace(out.String()), want) {
		t.Errorf("got  %s\nwant %s", &out, want)
	}
}

func TestPrintableNamesMakeNoLinesOfTheirOwn(t *testing.T) {
	for given, want := range map[string]string{
		"":                           "",
		"店铺 1":                       "店铺 1",
		"a\nb\r\x00\x1b[31m\x7f end": "a?b???[31m? end",
		"\xff\xfe":                   "?",
	} {
		if got := audit.Printable(given); got != want {
			t.Errorf("%q: %q, want %q", given, got, want)
		}
	}
}

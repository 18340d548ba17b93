package app

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"os"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"

	"github.com/wxbroker/wxbroker/pkg/tlstest"
	"github.com/wxbroker/wxbroker/pkg/wechatsim"
	wxbrokerv1 "github.com/wxbroker/wxbroker/proto/wxbroker/v1"
)

// seconds returns a moment in the form that metrics have.
func seconds(at time.Time) float64 { return float64(at.UnixMilli()) / 1000 }

// secured returns the key tls of a configuration that asks clients for certificates,
// and the option with which a client connects.
func (s *site) secured(ca *tlstest.CA, pair tlstest.Pair) (tlsKeys string, client grpc.DialOption) {
	s.t.Helper()
	dir := s.t.TempDir()
	cert, key := pair.Write(s.t, dir)
	pool := x509.NewCertPool()
	pool.AddCert(ca.Cert)
	config := &tls.Config{RootCAs: pool, ServerName: tlstest.DNSName, MinVersion: tls.VersionTLS13}
	return "tls: {cert_file: '" + cert + "', key_file: '" + key + "', client_ca_file: '" + ca.Write(s.t, dir) + "'}\n",
		grpc.WithTransportCredentials(credentials.NewTLS(config))
}

// TestMetrics: a whole scrape, after the start, after a reload that is refused
// and after one that is not.
func TestMetrics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t)
		started := time.Now()
		ca := tlstest.NewCA(t, "ours", func(c *x509.Certificate) { c.NotAfter = started.Add(72 * time.Hour) })
		secured, client := s.secured(ca, ca.Issue(t, func(c *x509.Certificate) { c.NotAfter = started.Add(48 * time.Hour) }))
		const web, ops = "web , accounts: ['*'], grants: [sign, call]", "ops , grants: [admin]"
		s.more = secured + apps(web, ops)
		s.start("wx1", "wx2")
		conn := s.connect(client)
		s.watch("web", conn).check(t, "at first", "wx1 wx2", false, codes.OK)
		s.send(conn, "web")
		if _, err := wxbrokerv1.NewOperatorServiceClient(conn).GetStatus(s.by("nobody"), new(wxbrokerv1.GetStatusRequest)); status.Code(err) != codes.Unauthenticated {
			t.Errorf("a stranger: %v", err)
		}
		want := map[string]float64{
			`wxbroker_build_info{version="v1.2.3"}`:                                   1,
			`wxbroker_apps`:                                                           2,
			`wxbroker_config_in_use`:                                                  1,
			`wxbroker_config_load_timestamp_seconds`:                                  seconds(started),
			`wxbroker_database_set_aside`:                                             0,
			`wxbroker_tls_certificate_expiry_timestamp_seconds{use="grpc"}`:           seconds(started.Add(48 * time.Hour)),
			`wxbroker_tls_ca_expiry_timestamp_seconds{use="grpc"}`:                    seconds(started.Add(72 * time.Hour)),
			`wxbroker_audit_total{action="watch",app="web",outcome="granted"}`:        2, // of each account
			`wxbroker_audit_total{action="call",app="web",outcome="granted"}`:         1,
			`wxbroker_audit_total{action="status",app="",outcome="refused"}`:          1,
			`wxbroker_wechat_calls_total{api="stable_token",appid="wx1",result="ok"}`: 1,
			`wxbroker_wechat_calls_total{api="ticket",appid="wx2",result="ok"}`:       1,
			`wxbroker_wechat_calls_total{api="call",appid="wx1",result="ok"}`:         1,
			`wxbroker_wechat_calls_total{api="call",appid="wx2",result="ok"}`:         -1,
			`wxbroker_edges`:                                                                 1,
			`wxbroker_edges_behind`:                                                          1, // nothing is acknowledged
			`wxbroker_upstream_in_use{host="127.0.0.1:1"}`:                                   1,
			`wxbroker_connections{listener="grpc"}`:                                          1,
			`wxbroker_connections_limit{listener="grpc"}`:                                    10_000,
			`wxbroker_budget_used{api="stable_token",appid="wx1"}`:                           1,
			`wxbroker_credential_expiry_timestamp_seconds{appid="wx1",kind="access_token"}`:  seconds(started.Add(2 * time.Hour)),
			`wxbroker_credential_expiry_timestamp_seconds{appid="wx2",kind="jsapi_ticket"}`:  seconds(started.Add(2 * time.Hour)),
			`wxbroker_credential_version{appid="wx2",kind="jsapi_ticket"}`:                   float64(started.UnixMilli()),
			`wxbroker_credential_failing{appid="wx1",class="transient",kind="jsapi_ticket"}`: 0,
		}
		s.has("after the start", want)
		s.isDocumented()

		s.more = secured + "apps: []\n"
		s.write("wx1")
		time.Sleep(time.Minute)
		if err := s.app.Reload(t.Context(), s.path, s.read()); err == nil {
			t.Error("a configuration that is wrong was taken")
		}
		want[`wxbroker_config_in_use`] = 0
		s.has("after a reload that was refused", want)

		s.more = secured + apps(web, ops, "more , accounts: [wx3], grants: [sign]")
		time.Sleep(time.Minute)
		s.reload("wx1", "wx3")
		want[`wxbroker_config_in_use`] = 1
		want[`wxbroker_config_load_timestamp_seconds`] = seconds(started.Add(2 * time.Minute))
		want[`wxbroker_apps`] = 3
		want[`wxbroker_audit_total{action="watch",app="web",outcome="granted"}`] = 3
		want[`wxbroker_audit_total{action="watch",app="web",outcome="revoked"}`] = 1
		want[`wxbroker_credential_expiry_timestamp_seconds{appid="wx2",kind="jsapi_ticket"}`] = -1
		want[`wxbroker_credential_version{appid="wx2",kind="jsapi_ticket"}`] = -1
		want[`wxbroker_credential_version{appid="wx3",kind="jsapi_ticket"}`] = float64(started.Add(2 * time.Minute).UnixMilli())
		s.has("after one that was not", want)
		s.end()
	})
}

// send sends a message from wx1 as an app.
func (s *site) send(conn *grpc.ClientConn, app string) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.by(app), time.Minute)
	defer cancel()
	stream, err := wxbrokerv1.NewWeChatServiceClient(conn).Call(ctx)
	if err != nil {
		s.t.Fatal(err)
	}
	body := []byte(`{"touser":"o","msgtype":"text","text":{"content":"hello"}}`)
	for _, part := range []*wxbrokerv1.CallRequest{
		{Part: &wxbrokerv1.CallRequest_Head{Head: &wxbrokerv1.CallHead{Appid: "wx1", Method: "POST", Path: wechatsim.PathCustomSend, Proven: true}}},
		{Part: &wxbrokerv1.CallRequest_Body{Body: body}},
	} {
		_ = stream.Send(part) // Recv returns the error
	}
	_ = stream.CloseSend()
	for err == nil {
		_, err = stream.Recv()
	}
	if !errors.Is(err, io.EOF) {
		s.t.Errorf("sending a message: %v", err)
	}
}

// isDocumented checks that docs/operations.md has every metric of a scrape, and
// no other.
func (s *site) isDocumented() {
	s.t.Helper()
	text, err := os.ReadFile("../../../docs/operations.md")
	if err != nil {
		s.t.Fatal(err)
	}
	documented := map[string]bool{}
	for line := range strings.Lines(string(text)) {
		if !strings.HasPrefix(line, "| `wxbroker_") {
			continue
		}
		names := regexp.MustCompile("`(wxbroker|…)(_[a-z_]+)").FindAllStringSubmatch(line, -1)
		for _, name := range names {
			if name[1] == "…" {
				name[2] = names[0][2] + name[2]
			}
			documented["wxbroker"+name[2]] = true
		}
	}
	found := map[string]bool{"wxbroker_audit_lines_lost_total": true} // there once a line was lost
	for name := range s.scrape() {
		name, _, _ = strings.Cut(name, "{")
		if found[name] = true; !documented[name] {
			s.t.Errorf("%s is not in docs/operations.md", name)
		}
	}
	for name := range documented {
		if !found[name] {
			s.t.Errorf("%s is in docs/operations.md, and there is no such metric", name)
		}
	}
}

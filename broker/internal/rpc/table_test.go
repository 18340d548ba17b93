package rpc_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/url"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"

	"github.com/wxbroker/wxbroker/broker/clustertest"
	"github.com/wxbroker/wxbroker/broker/internal/access"
	"github.com/wxbroker/wxbroker/broker/internal/audit"
	"github.com/wxbroker/wxbroker/broker/internal/edges"
	"github.com/wxbroker/wxbroker/broker/internal/fanout"
	"github.com/wxbroker/wxbroker/broker/internal/relay"
	"github.com/wxbroker/wxbroker/broker/internal/rpc"
	"github.com/wxbroker/wxbroker/broker/internal/store/storetest"
	"github.com/wxbroker/wxbroker/pkg/credential"
	"github.com/wxbroker/wxbroker/pkg/tlsfile"
	"github.com/wxbroker/wxbroker/pkg/tlstest"
	"github.com/wxbroker/wxbroker/pkg/wxapi"
	wxbrokerv1 "github.com/wxbroker/wxbroker/proto/wxbroker/v1"
)

// Every RPC by every grant by every way of being somebody, over real TLS.

// method is one RPC, called for the account wx1.
type method struct {
	name   string
	grants []access.Grant // any of which it takes; none: any app may
	action string         // in the audit
	call   func(context.Context, *grpc.ClientConn) error
}

func methods() []method {
	watch := func(kind wxbrokerv1.CredentialKind) func(context.Context, *grpc.ClientConn) error {
		return func(ctx context.Context, conn *grpc.ClientConn) error {
			stream, err := wxbrokerv1.NewCredentialServiceClient(conn).Watch(ctx)
			if err != nil {
				return err
			}
			s := &wxbrokerv1.Subscription{Appids: []string{"wx1"}, Kinds: []wxbrokerv1.CredentialKind{kind}}
			_ = stream.Send(subscribe(s)) // Recv says why not
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
	operator := func(call func(context.Context, wxbrokerv1.OperatorServiceClient) error) func(context.Context, *grpc.ClientConn) error {
		return func(ctx context.Context, conn *grpc.ClientConn) error {
			return call(ctx, wxbrokerv1.NewOperatorServiceClient(conn))
		}
	}
	admin := []access.Grant{access.Admin}
	return []method{
		{"Watch, a ticket", []access.Grant{access.Sign}, "watch", watch(ticketKind)},
		{"Watch, a card ticket", []access.Grant{access.Sign}, "watch", watch(wxbrokerv1.CredentialKind_CREDENTIAL_KIND_WX_CARD_TICKET)},
		{"Watch, the token", []access.Grant{access.Token}, "watch", watch(tokenKind)},
		{"ReportInvalid", []access.Grant{access.Report}, "report", func(ctx context.Context, conn *grpc.ClientConn) error {
			_, err := wxbrokerv1.NewCredentialServiceClient(conn).ReportInvalid(ctx, &wxbrokerv1.ReportInvalidRequest{
				Appid: "wx1", Kind: tokenKind, ValueSha256: make([]byte, sha256.Size),
			})
			return err
		}},
		{"Call, of any API", []access.Grant{access.Call}, "call", passOn("POST", "/cgi-bin/message/custom/send")},
		{"Call, of the template API", []access.Grant{access.Template, access.Call}, "call", passOn("POST", wxapi.PathTemplate)},
		{"Call, of the media API", []access.Grant{access.Media, access.Call}, "call", passOn("GET", wxapi.PathMedia)},
		{"Call, of the OAuth API", []access.Grant{access.OAuth}, "call", passOn("GET", wxapi.PathCode)},
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
		{"Health.Check", nil, "health", func(ctx context.Context, conn *grpc.ClientConn) error {
			_, err := healthv1.NewHealthClient(conn).Check(ctx, new(healthv1.HealthCheckRequest))
			return err
		}},
		{"Health.List", nil, "health", func(ctx context.Context, conn *grpc.ClientConn) error {
			_, err := healthv1.NewHealthClient(conn).List(ctx, new(healthv1.HealthListRequest))
			return err
		}},
		{"Health.Watch", nil, "health", func(ctx context.Context, conn *grpc.ClientConn) error {
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
func passOn(method, path string) func(context.Context, *grpc.ClientConn) error {
	return func(ctx context.Context, conn *grpc.ClientConn) error {
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
	for _, service := range []grpc.ServiceDesc{wxbrokerv1.CredentialService_ServiceDesc, wxbrokerv1.WeChatService_ServiceDesc, wxbrokerv1.OperatorService_ServiceDesc} {
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

// anybody answers every operator's call.
type anybody struct {
	wxbrokerv1.UnimplementedOperatorServiceServer
}

func (anybody) GetStatus(context.Context, *wxbrokerv1.GetStatusRequest) (*wxbrokerv1.GetStatusResponse, error) {
	return new(wxbrokerv1.GetStatusResponse), nil
}

func (anybody) GetQuota(context.Context, *wxbrokerv1.GetQuotaRequest) (*wxbrokerv1.GetQuotaResponse, error) {
	return new(wxbrokerv1.GetQuotaResponse), nil
}

func (anybody) ClearQuota(context.Context, *wxbrokerv1.ClearQuotaRequest) (*wxbrokerv1.ClearQuotaResponse, error) {
	return new(wxbrokerv1.ClearQuotaResponse), nil
}

func (anybody) Refresh(_ context.Context, r *wxbrokerv1.RefreshRequest) (*wxbrokerv1.RefreshResponse, error) {
	if r.GetAppid() == "" {
		return nil, status.Error(codes.FailedPrecondition, "no account is named")
	}
	return new(wxbrokerv1.RefreshResponse), nil
}

// journal is a log that can be read while it is written.
type journal struct {
	mu  sync.Mutex
	out bytes.Buffer
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.out.Write(p)
}

// take returns the audit's lines since the last call.
func (j *journal) take() []string {
	j.mu.Lock()
	defer j.mu.Unlock()
	lines := strings.Split(j.out.String(), "\n")
	j.out.Reset()
	return slices.DeleteFunc(lines, func(line string) bool { return !strings.Contains(line, "msg=audit") })
}

// await is take, once there is something: a client hears from TLS that it is
// refused a moment before the audit does.
func (j *journal) await() []string {
	for start := time.Now(); time.Since(start) < 10*time.Second; runtime.Gosched() {
		if lines := j.take(); len(lines) > 0 {
			return lines
		}
	}
	return nil
}

// site is a server with TLS, and the authorities that vouch for its callers.
type site struct {
	ours, foreign *tlstest.CA
	files         tlsfile.Files
	source        *tlsfile.Source
	cluster       *clustertest.Cluster
	listener      *bufconn.Listener
	journal       journal
}

// appOf returns the name of the app that was granted g for an account; each
// has an identity of each kind.
func appOf(g access.Grant, appid string) string { return string(g) + "-" + appid }

func newSite(t *testing.T) *site {
	t.Helper()
	s := &site{
		ours: tlstest.NewCA(t, "ours"), foreign: tlstest.NewCA(t, "foreign"), cluster: clustertest.New(t, "one"),
		listener: bufconn.Listen(64 << 10),
	}
	var apps []access.App
	for _, g := range access.Grants() {
		for _, appid := range []string{"wx1", "wx2"} {
			name := appOf(g, appid)
			apps = append(apps, access.App{
				Name: name, Accounts: []string{appid}, Grants: []access.Grant{g}, PerSecond: 10_000,
				Identities: []access.Identity{access.Identity("spiffe://prod/" + name), access.Identity("k8s:shop:" + name)},
			})
		}
	}
	policy, err := access.NewPolicy(apps, access.NewKubernetes(clustertest.Issuer, "a test", access.KeyFile(s.cluster.KeysFile(t))))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	cert, key := s.ours.Issue(t).Write(t, dir)
	s.files = tlsfile.Files{Cert: cert, Key: key, CA: s.ours.Write(t, dir)}
	source, _, err := tlsfile.Load(t.Context(), s.files)
	s.source = source
	if err != nil {
		t.Fatal(err)
	}
	config, err := source.Server()
	if err != nil {
		t.Fatal(err)
	}
	var states fanout.Fanout
	expiry := credential.Clock(credential.WallClock).Now().Add(time.Hour)
	account := credential.Account{Kinds: []credential.Kind{credential.AccessToken, credential.JSAPITicket, credential.WXCardTicket}}
	for _, kind := range account.Kinds {
		account.Credentials = append(account.Credentials, credential.Credential{Kind: kind, Version: 1, Value: credential.NewSecret("a " + string(kind)), Expiry: expiry})
	}
	for _, account.AppID = range []string{"wx1", "wx2"} {
		states.Publish(account)
	}
	log := slog.New(slog.NewTextHandler(&s.journal, nil))
	control := access.NewControl(policy, credential.WallClock)
	control.Trusts = source.VerifyClient
	server := rpc.NewServer(rpc.Options{
		Fanout: &states, Edges: new(edges.Register), Claim: func(string, credential.Kind, int64) {},
		Report: func(context.Context, string, credential.Kind, [sha256.Size]byte) (v credential.Versions, known bool, err error) {
			return credential.Versions{Reported: 1, Current: 1}, true, nil
		},
		Relay: relayed(t, &states), AliasKey: (&relay.Keys{Store: new(storetest.Disk).Writer(), Log: log}).Alias,
		Operator: anybody{}, Access: control, Audit: audit.New(log), TLS: config,
		Clock: credential.WallClock, Log: log,
	})
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- server.Run(ctx, s.listener) }()
	t.Cleanup(func() {
		cancel()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return s
}

// TestWithdrawnCA: what it vouched for is nobody on the connections that are
// open, too.
func TestWithdrawnCA(t *testing.T) {
	s := newSite(t)
	pair := certificate(t, s.ours, appOf(access.Admin, "wx1"), time.Now().Add(time.Hour))
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
	go s.source.Run(ctx, slog.New(slog.DiscardHandler))
	for status.Code(ask()) != codes.Unauthenticated {
		select {
		case <-ctx.Done():
			t.Fatal("it is somebody still")
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// caller is how somebody connects and calls.
type caller struct {
	pair  *tlstest.Pair
	token string
}

// dial returns a connection of its own.
func (s *site) dial(t *testing.T, c caller) *grpc.ClientConn {
	t.Helper()
	pool := x509.NewCertPool()
	pool.AddCert(s.ours.Cert)
	config := &tls.Config{RootCAs: pool, ServerName: tlstest.DNSName, MinVersion: tls.VersionTLS13}
	if c.pair != nil {
		pair, err := tls.X509KeyPair(c.pair.Cert, c.pair.Key)
		if err != nil {
			t.Fatal(err)
		}
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil }
	}
	conn, err := grpc.NewClient("passthrough:///broker", grpc.WithTransportCredentials(credentials.NewTLS(config)),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return s.listener.DialContext(ctx) }))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// call makes one call on a connection of its own.
func (s *site) call(t *testing.T, m method, c caller) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if c.token != "" {
		ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+c.token)
	}
	return m.call(ctx, s.dial(t, c))
}

// certificate returns one for an app.
func certificate(t *testing.T, ca *tlstest.CA, app string, expiry time.Time) *tlstest.Pair {
	t.Helper()
	uri, err := url.Parse("spiffe://prod/" + app)
	if err != nil {
		t.Fatal(err)
	}
	pair := ca.Issue(t, func(c *x509.Certificate) {
		c.URIs, c.DNSNames, c.IPAddresses = []*url.URL{uri}, nil, nil
		if c.NotAfter = expiry; expiry.Before(time.Now()) {
			c.NotBefore = expiry.Add(-time.Hour)
		}
	})
	return &pair
}

func TestRPCByGrantByIdentity(t *testing.T) {
	soon, ago := time.Now().Add(time.Hour), time.Now().Add(-time.Minute)
	cells := 0
	for _, g := range access.Grants() {
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
					s.journal.take()
					err := s.call(t, m, who.caller)
					if status.Code(err) != want {
						t.Errorf("%v, want %v", err, want)
					}
					lines := s.journal.take()
					if want == codes.Unavailable && len(lines) == 0 {
						lines = s.journal.await()
					}
					if m.action == "call" && want == codes.OK {
						m.action = string(g) // by which it was let in
					}
					checkAudit(t, lines, m, want, who.app)
				})
			}
		}
	}
	t.Logf("%d cells", cells)
}

// checkAudit checks that the audit has a line of what came of a call.
func checkAudit(t *testing.T, lines []string, m method, code codes.Code, app string) {
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
		if strings.Contains(line, "a access_token") || strings.Contains(line, "a jsapi_ticket") {
			t.Errorf("the audit shows a credential: %s", line)
		}
	}
}

func orEmpty(app string) string {
	if app == "" {
		return `""`
	}
	return app
}

package access_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"github.com/wxbroker/wxbroker/broker/clustertest"
	"github.com/wxbroker/wxbroker/broker/internal/access"
	"github.com/wxbroker/wxbroker/pkg/credential"
	"github.com/wxbroker/wxbroker/pkg/tlstest"
)

// call is one call as gRPC hands it over.
type call struct {
	headers []string // pairs
	chain   []*x509.Certificate
}

func (c call) context(t *testing.T) context.Context {
	t.Helper()
	p := &peer.Peer{Addr: &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 5}}
	info := credentials.TLSInfo{}
	if c.chain != nil {
		info.State = tls.ConnectionState{PeerCertificates: c.chain, VerifiedChains: [][]*x509.Certificate{c.chain}}
	}
	p.AuthInfo = info
	return metadata.NewIncomingContext(peer.NewContext(t.Context(), p), metadata.Pairs(c.headers...))
}

func bearer(token string) []string { return []string{"authorization", "Bearer " + token} }

// newControl returns a Control that trusts every certificate.
func newControl(p *access.Policy) *access.Control {
	c := access.NewControl(p, credential.WallClock)
	c.Trusts = func([]*x509.Certificate) error { return nil }
	return c
}

func mustPolicy(t *testing.T, kubernetes *access.Kubernetes, apps ...access.App) *access.Policy {
	t.Helper()
	p, err := access.NewPolicy(apps, kubernetes)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// certificate returns a certificate with these names. Names with a scheme are URIs,
// the others DNS names.
func certificate(t *testing.T, until time.Time, names ...string) []*x509.Certificate {
	t.Helper()
	pair := tlstest.NewCA(t, "ours").Issue(t, func(c *x509.Certificate) {
		c.URIs, c.DNSNames, c.NotAfter = nil, nil, until
		for _, name := range names {
			if !strings.Contains(name, "://") {
				c.DNSNames = append(c.DNSNames, name)
				continue
			}
			uri, err := url.Parse(name)
			if err != nil {
				t.Fatal(err)
			}
			c.URIs = append(c.URIs, uri)
		}
	})
	return []*x509.Certificate{pair.Leaf}
}

// TestIdentify: which app a caller is, by each kind of proof and without any.
func TestIdentify(t *testing.T) {
	cluster := clustertest.New(t, "one")
	token, tokenID := access.NewToken()
	revoked, _ := access.NewToken()
	policy := mustPolicy(t, access.NewKubernetes(clustertest.Issuer, "a test", access.KeyFile(cluster.KeysFile(t))),
		access.App{Name: "by-token", Identities: []access.Identity{tokenID}},
		access.App{Name: "by-uri", Identities: []access.Identity{"spiffe://prod/web", "spiffe://prod/api"}},
		access.App{Name: "by-dns", Identities: []access.Identity{"dns:web.example.com"}},
		access.App{Name: "by-cluster", Identities: []access.Identity{"k8s:shop:web"}})
	control := newControl(policy)
	soon := time.Now().Add(time.Hour)
	for _, tt := range []struct {
		name string
		call call
		app  string // "" is refused
		code codes.Code
		says string
	}{
		{"a token", call{headers: bearer(token.Reveal())}, "by-token", codes.OK, ""},
		{"a token, otherwise spelled", call{headers: []string{"Authorization", "bearer " + token.Reveal()}}, "by-token", codes.OK, ""},
		{"a token of nobody", call{headers: bearer(revoked.Reveal())}, "", codes.Unauthenticated, "no app has this token"},
		{"the hash of a token", call{headers: bearer(string(tokenID))}, "", codes.Unauthenticated, "no app has this token"},
		{"an empty token", call{headers: bearer("")}, "", codes.Unauthenticated, "not Bearer and a token"},
		{"another scheme", call{headers: []string{"authorization", "Basic " + token.Reveal()}}, "", codes.Unauthenticated, "not Bearer"},
		{"two tokens", call{headers: append(bearer(token.Reveal()), bearer(token.Reveal())...)}, "", codes.Unauthenticated, "several"},
		{"a huge token", call{headers: bearer(strings.Repeat("x", 17<<10))}, "", codes.Unauthenticated, "longer"},
		{"nothing", call{}, "", codes.Unauthenticated, "does not say who it is"},
		{"a URI", call{chain: certificate(t, soon, "spiffe://prod/web")}, "by-uri", codes.OK, ""},
		{"two URIs of one app", call{chain: certificate(t, soon, "spiffe://prod/web", "spiffe://prod/api")}, "by-uri", codes.OK, ""},
		{"a DNS name", call{chain: certificate(t, soon, "WEB.example.com")}, "by-dns", codes.OK, ""},
		{"a DNS name beside one of nobody", call{chain: certificate(t, soon, "x.example.com", "web.example.com")}, "by-dns", codes.OK, ""},
		{"names of two apps", call{chain: certificate(t, soon, "web.example.com", "spiffe://prod/web")}, "", codes.PermissionDenied, "two apps"},
		{"a name of nobody", call{chain: certificate(t, soon, "x.example.com")}, "", codes.PermissionDenied, "no app has the identity dns:x.example.com"},
		{"a wildcard", call{chain: certificate(t, soon, "*.example.com")}, "", codes.Unauthenticated, "neither a SPIFFE ID nor a DNS name"},
		{"a certificate of no name", call{chain: certificate(t, soon)}, "", codes.Unauthenticated, "neither"},
		{"a certificate that has expired since", call{chain: certificate(t, time.Now(), "web.example.com")}, "", codes.Unauthenticated, "expired"},
		{"a ServiceAccount", call{headers: bearer(cluster.Token(t, "shop", "web"))}, "by-cluster", codes.OK, ""},
		{"a ServiceAccount of nobody", call{headers: bearer(cluster.Token(t, "shop", "api"))}, "", codes.PermissionDenied, "no app has the identity k8s:shop:api"},
		{"another audience", call{headers: bearer(cluster.Token(t, "shop", "web", clustertest.For("x")))}, "", codes.Unauthenticated, "audience"},
		{"an expired token", call{headers: bearer(cluster.Token(t, "shop", "web", clustertest.Until(time.Now())))}, "", codes.Unauthenticated, "expired"},
		{"a token of one and a certificate of another", call{headers: bearer(token.Reveal()), chain: certificate(t, soon, "web.example.com")}, "by-token", codes.OK, ""},
		{"a bad token and a good certificate", call{headers: bearer(revoked.Reveal()), chain: certificate(t, soon, "web.example.com")}, "", codes.Unauthenticated, "no app has this token"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			caller, err := control.Identify(tt.call.context(t))
			app := new(access.App)
			if err == nil {
				if app, _, err = control.App(caller); err != nil {
					app = new(access.App)
				}
			}
			if app.Name != tt.app || status.Code(err) != tt.code || err != nil && !strings.Contains(err.Error(), tt.says) {
				t.Errorf("app %q, %v", app.Name, err)
			}
			if caller.Address != "192.0.2.1:5" {
				t.Errorf("address %q", caller.Address)
			}
			for _, header := range tt.call.headers {
				_, secret, _ := strings.Cut(header, " ")
				if err != nil && len(secret) > 8 && strings.Contains(err.Error(), secret) {
					t.Error("the error shows the token")
				}
			}
		})
	}
}

// TestWhatIsProvenOutlivesThePolicy: a caller stays who it is under a new policy,
// and has the grants of the new one.
func TestWhatIsProvenOutlivesThePolicy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		token, id := access.NewToken()
		control := newControl(mustPolicy(t, nil, access.App{Name: "web", Identities: []access.Identity{id}}))
		caller, err := control.Identify(call{headers: bearer(token.Reveal())}.context(t))
		if err != nil {
			t.Fatal(err)
		}
		control.Use(mustPolicy(t, nil, access.App{Name: "api", Identities: []access.Identity{id}}))
		if app, _, err := control.App(caller); err != nil || app.Name != "api" {
			t.Errorf("%v, %v", app, err)
		}
		control.Use(mustPolicy(t, nil))
		if app, _, err := control.App(caller); status.Code(err) != codes.PermissionDenied {
			t.Errorf("%v, %v", app, err)
		}
		// A proof ends when it expires.
		control.Use(mustPolicy(t, nil, access.App{Name: "dns", Identities: []access.Identity{"dns:a"}}))
		caller, err = control.Identify(call{chain: certificate(t, time.Now().Add(time.Minute), "a")}.context(t))
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		if app, _, err := control.App(caller); status.Code(err) != codes.Unauthenticated {
			t.Errorf("%v, %v", app, err)
		}
	})
}

// TestAProofEndsWhenACertificateOfItsChainExpires: a certificate counts no longer than each of
// the certificates that vouch for it.
func TestAProofEndsWhenACertificateOfItsChainExpires(t *testing.T) {
	const short, long = time.Hour, 10 * time.Hour
	for name, lives := range map[string][]time.Duration{
		"the leaf":               {short, long, long},
		"what is between":        {long, short, long},
		"the CA":                 {long, long, short},
		"a leaf that is trusted": {short},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				control := newControl(mustPolicy(t, nil, access.App{Name: "web", Identities: []access.Identity{"dns:web"}}))
				var chain []*x509.Certificate
				for _, life := range lives {
					chain = append(chain, &x509.Certificate{DNSNames: []string{"web"}, NotAfter: time.Now().Add(life)})
				}
				caller, err := control.Identify(call{chain: chain}.context(t))
				if err != nil {
					t.Fatal(err)
				}
				time.Sleep(short - time.Second)
				if _, _, err := control.App(caller); err != nil {
					t.Errorf("before: %v", err)
				}
				time.Sleep(time.Second)
				if _, _, err := control.App(caller); status.Code(err) != codes.Unauthenticated {
					t.Errorf("afterwards: %v", err)
				}
			})
		})
	}
}

// TestOpen: everybody may do everything until there are apps. Callers from before
// have proven nothing then.
func TestOpen(t *testing.T) {
	control := newControl(access.Open())
	caller, err := control.Identify(call{}.context(t))
	if err != nil {
		t.Fatal(err)
	}
	app, _, err := control.App(caller)
	if err != nil || !app.Serves("wx1") || len(app.Kinds()) != 3 {
		t.Errorf("%v, %v", app, err)
	}
	for _, g := range credential.Grants() {
		if !app.Has(g) {
			t.Errorf("not %s", g)
		}
	}
	control.Use(mustPolicy(t, nil))
	if app, _, err := control.App(caller); status.Code(err) != codes.PermissionDenied {
		t.Errorf("%v, %v", app, err)
	}
}

// TestLocalKeys: the name that an edge gives is shown, unless it could break a log
// line.
func TestLocalKeys(t *testing.T) {
	control := newControl(access.Open())
	for sent, want := range map[string]string{"": "", "billing": "billing", "a b": "?", "a\nb": "?", strings.Repeat("x", 513): "?", "键": "?"} {
		var c call
		if sent != "" {
			c.headers = []string{"wxbroker-local-key", sent}
		}
		if caller, _ := control.Identify(c.context(t)); caller.LocalKey != want {
			t.Errorf("%q is shown as %q", sent, caller.LocalKey)
		}
	}
}

// TestAppsHaveSeparateRates: the calls of one app do not count for another.
func TestAppsHaveSeparateRates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		web, webID := access.NewToken()
		api, apiID := access.NewToken()
		control := newControl(mustPolicy(t, nil,
			access.App{Name: "web", Identities: []access.Identity{webID}, PerSecond: 1000},
			access.App{Name: "api", Identities: []access.Identity{apiID}}))
		taken := func(token credential.Secret) (n int) {
			caller, err := control.Identify(call{headers: bearer(token.Reveal())}.context(t))
			if err != nil {
				t.Fatal(err)
			}
			app, _, err := control.App(caller)
			if err != nil {
				t.Fatal(err)
			}
			for app.Spend() == nil {
				n++
			}
			return n
		}
		if n := taken(web); n != 10*1000 {
			t.Errorf("web made %d calls", n)
		}
		if n := taken(api); n != 10*access.DefaultPerSecond {
			t.Errorf("api made %d calls", n)
		}
		time.Sleep(time.Second)
		if n := taken(api); n != access.DefaultPerSecond {
			t.Errorf("api made %d calls a second later", n)
		}
	})
}

// TestARefusedCallTakesNoPlace: an app has too many calls under way, and some of
// them end. Then it may begin as many again, however often it was refused
// meanwhile. It takes no place of another app's.
func TestARefusedCallTakesNoPlace(t *testing.T) {
	web, webID := access.NewToken()
	api, apiID := access.NewToken()
	control := newControl(mustPolicy(t, nil,
		access.App{Name: "web", Identities: []access.Identity{webID}},
		access.App{Name: "api", Identities: []access.Identity{apiID}}))
	appOf := func(token credential.Secret) *access.App {
		caller, err := control.Identify(call{headers: bearer(token.Reveal())}.context(t))
		if err != nil {
			t.Fatal(err)
		}
		app, _, err := control.App(caller)
		if err != nil {
			t.Fatal(err)
		}
		return app
	}
	const most = 500
	// enter begins calls until one is refused.
	enter := func(token credential.Secret) (under []func()) {
		for len(under) <= most {
			leave, err := appOf(token).Enter()
			if err != nil {
				if status.Code(err) != codes.ResourceExhausted || leave != nil {
					t.Errorf("refused with %v", err)
				}
				break
			}
			under = append(under, leave)
		}
		return under
	}
	under := enter(web)
	if len(under) != most {
		t.Errorf("%d calls are under way, want %d", len(under), most)
	}
	for range 1000 {
		if n := len(enter(web)); n != 0 {
			t.Fatalf("%d more were let in", n)
		}
	}
	for _, leave := range under[:7] {
		leave()
	}
	if n := len(enter(web)); n != 7 {
		t.Errorf("7 calls have ended, and %d were let in", n)
	}
	if n := len(enter(api)); n != most {
		t.Errorf("%d calls of another app were let in", n)
	}
}

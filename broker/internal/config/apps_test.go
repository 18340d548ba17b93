package config

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wxbroker/wxbroker/pkg/credential"
	"github.com/wxbroker/wxbroker/pkg/daemon"
	"github.com/wxbroker/wxbroker/pkg/tlstest"
)

const (
	aHash = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
	bHash = "fedcba9876543210fedcba9876543210fedcba9876543210fedcba9876543210"
	// anApp is the shortest list of apps. It is for the account theAccount.
	anApp      = "apps: [{name: web, identities: ['token:sha256:" + aHash + "'], accounts: [wx1], grants: [sign]}]\n"
	theAccount = "accounts: [{appid: wx1, secret_file: 'SECRET'}]\n"
)

func TestApps(t *testing.T) {
	c, err := Load(t.Context(), write(t, theAccount+"apps:\n"+
		"  - {name: shop-web, identities: ['token:sha256:"+aHash+"', 'token:sha256:"+strings.ToUpper(bHash)+"'], accounts: [wx1], grants: [sign, report, call],\n"+
		"     calls: [/card/*, /cgi-bin/message/custom/send], limits: {per_second: 7, per_day: {/card/get: 10, '*': 100}}}\n"+
		"  - {name: ops, identities: ['token:sha256:"+strings.Repeat("a", 64)+"'], grants: [admin]}\n"+
		"  - {name: all, identities: ['token:sha256:"+strings.Repeat("b", 64)+"'], accounts: ['*'], grants: [token]}\n"))
	if err != nil {
		t.Fatal(err)
	}
	if c.Policy.IsOpen() || c.Policy.Apps() != 3 {
		t.Errorf("open %v, %d apps", c.Policy.IsOpen(), c.Policy.Apps())
	}
}

// TestNoApps: on this machine whoever can connect may do everything.
func TestNoApps(t *testing.T) {
	for _, listen := range []string{"", "listen: {grpc: '127.0.0.1:1'}\n", "listen: {grpc: 'unix:/run/x'}\n"} {
		c, err := Load(t.Context(), write(t, listen+theAccount))
		if err != nil || !c.Policy.IsOpen() {
			t.Errorf("%q: %v", listen, err)
		}
	}
}

func TestAppsRefused(t *testing.T) {
	app := func(identity, rest string) string {
		return "apps:\n  - name: web\n    identities: ['" + identity + "']\n    " + rest + "\n"
	}
	const (
		rest     = "accounts: [wx1]\n    grants: [sign]"
		callRest = "accounts: [wx1]\n    grants: [call]"
	)
	hash := "token:sha256:" + aHash
	for _, tt := range []struct {
		name, yaml string
		want       []string // each is in the error; a text that begins with a colon follows the file's name
	}{
		{"a grant that does not exist", app(hash, "accounts: [wx1]\n    grants: [sign, signn]"), []string{":6: apps[0].grants[1]: is no grant", "admin"}},
		{"a grant twice", app(hash, "accounts: [wx1]\n    grants: [sign, sign]"), []string{":6: apps[0].grants[1]: is there twice"}},
		{"no grant", app(hash, "accounts: [wx1]"), []string{":3: apps[0].grants: is empty"}},
		{"an account that is not configured", app(hash, "accounts: [wx1, wx2]\n    grants: [sign]"), []string{":5: apps[0].accounts[1]: wx2 is not among the accounts"}},
		{"an account twice", app(hash, "accounts: [wx1, wx1]\n    grants: [sign]"), []string{":5: apps[0].accounts[1]: wx1 is there twice"}},
		{"every account, and another", app(hash, "accounts: ['*', wx1]\n    grants: [sign]"), []string{":5: apps[0].accounts[0]: ", "stands alone"}},
		{"no account", app(hash, "grants: [sign, admin]"), []string{":3: apps[0].accounts: is empty"}},
		{"no identity", "apps: [{name: web, accounts: [wx1], grants: [sign]}]\n", []string{":2: apps[0].identities: is empty"}},
		{"no name", "apps: [{identities: ['" + hash + "'], accounts: [wx1], grants: [sign]}]\n", []string{":2: apps[0].name: is missing"}},
		{"a name that is none", strings.Replace(app(hash, rest), "name: web", "name: 'web app'", 1), []string{":3: apps[0].name: "}},
		{"the name of everybody", strings.Replace(app(hash, rest), "name: web", "name: anybody", 1), []string{":3: apps[0].name: "}},
		{"an identity twice", app(hash+"', '"+hash, rest), []string{":4: apps[0].identities[1]: token:sha256:01234567… is the app web already"}},
		{
			"an identity of two apps", app(hash, rest) + "  - {name: api, identities: ['" + strings.ToUpper(hash[13:]) + "'], accounts: [wx1], grants: [sign]}\n",
			[]string{":7: apps[1].identities[0]: is not an identity"},
		},
		{
			"an identity of two apps, in capitals", app(hash, rest) + "  - {name: api, identities: ['token:sha256:" + strings.ToUpper(aHash) + "'], accounts: [wx1], grants: [sign]}\n",
			[]string{":7: apps[1].identities[0]: token:sha256:01234567… is the app web already"},
		},
		{"a name of two apps", app(hash, rest) + "  - {name: web, identities: ['token:sha256:" + bHash + "'], accounts: [wx1], grants: [sign]}\n", []string{":7: apps[1].name: web is there twice"}},
		{"a token instead of its hash", app("wxb_hunter2", rest), []string{":4: apps[0].identities[0]: is a token itself"}},
		{"anything", app("hunter2", rest), []string{":4: apps[0].identities[0]: is not an identity"}},
		{"a short hash", app("token:sha256:0123", rest), []string{":4: apps[0].identities[0]: ", "64 hexadecimal"}},
		{"a SPIFFE ID without a path", app("spiffe://prod", rest), []string{":4: apps[0].identities[0]: is not a SPIFFE ID"}},
		{"a wildcard", app("dns:*.example.com", rest), []string{":4: apps[0].identities[0]: is not a DNS name"}},
		{"a ServiceAccount without a namespace", app("k8s:web", rest), []string{":4: apps[0].identities[0]: is not a ServiceAccount"}},
		{"a certificate, and no CA", app("spiffe://prod/web", rest), []string{":4: apps[0].identities[0]: ", "client_ca_file"}},
		{"a ServiceAccount, and no cluster", app("k8s:shop:web", rest), []string{":4: apps[0].identities[0]: ", "section kubernetes"}},
		{"no calls", app(hash, rest+"\n    limits: {per_second: 0}"), []string{":7: apps[0].limits.per_second: is not between"}},
		{"half a call", app(hash, rest+"\n    limits: {per_second: 0.5}"), []string{":7: apps[0].limits.per_second: is not between"}},
		{"calls without the grant", app(hash, rest+"\n    calls: ['/card/*']"), []string{":7: apps[0].calls: says what the grant call is for"}},
		{"calls, and none", app(hash, callRest+"\n    calls: []"), []string{":7: apps[0].calls: is empty"}},
		{"a call that is no path", app(hash, callRest+"\n    calls: ['/card/*', card]"), []string{":7: apps[0].calls[1]: is not a path of WeChat's API"}},
		{"a call twice", app(hash, callRest+"\n    calls: ['/card/*', '/card/*']"), []string{":7: apps[0].calls[1]: is there twice"}},
		{"a call that is never made", app(hash, callRest+"\n    calls: [/cgi-bin/token]"), []string{":7: apps[0].calls[0]: hands out"}},
		{"calls a day of no API", app(hash, callRest+"\n    limits: {per_day: {card: 1}}"), []string{":7: apps[0].limits.per_day: \"card\" is neither"}},
		{"calls a day of another's API", app(hash, rest+"\n    limits: {per_day: {/card/get: 1}}"), []string{":7: apps[0].limits.per_day: /card/get is not called for this app"}},
		{"less than no calls a day", app(hash, callRest+"\n    limits: {per_day: {'*': -1}}"), []string{":7: apps[0].limits.per_day: the calls of * are not between"}},
		{"half a call a day", app(hash, callRest+"\n    limits: {per_day: {'*': 1.5}}"), []string{":7: apps[0].limits.per_day: the calls of * are not between"}},
		{"a typo", app(hash, rest+"\n    limit: {per_second: 5}"), []string{":7:5: ", `unknown key "limit"`, `did you mean "limits"?`}},
		{"no apps any more", "apps: []\n", []string{":2: apps: is empty"}},
		{"apps in a comment", "apps:\n#  - {name: web}\n", []string{":2: apps: is empty"}},
		{"a slip in the address", "listen: {grpc: x}\n", []string{":2: listen.grpc: address \"x\" is neither host:port nor unix:/path"}},
		{"a secret for a key", "hunter2: x\n", []string{":2:1: unknown key, which looks like none that there is"}},
		{"another machine, and no apps", "insecure: true\nlisten: {grpc: '0.0.0.0:1'}\n", []string{":3: listen.grpc: ", "without apps whoever connects is given everything"}},
		{"another machine, and no apps, with TLS", "tls: {cert_file: c, key_file: k}\nlisten: {grpc: '0.0.0.0:1'}\n", []string{":3: listen.grpc: ", "without apps whoever connects is given everything"}},
		{"another machine in plain text", "listen: {grpc: '0.0.0.0:1'}\n" + anApp, []string{":2: listen.grpc: ", "in plain text"}},
		{"client certificates, and no apps", "tls: {cert_file: c, key_file: k, client_ca_file: a}\n", []string{":2: tls.client_ca_file: means nothing without apps"}},
		{"half of a pair", "tls: {cert_file: c}\n" + anApp, []string{":2: tls: has only one of"}},
		{"client certificates in plain text", "tls: {client_ca_file: a}\n" + anApp, []string{":2: tls.client_ca_file: means nothing without cert_file"}},
		{"secure and insecure", "insecure: true\ntls: {cert_file: c, key_file: k}\n" + anApp, []string{":2: insecure: contradicts tls"}},
		{"a key that is none", "encryption_key_file: 'SECRET'\n" + anApp, []string{":2: encryption_key_file: reading the encryption keys: ", "appsecret"}},
		{"a key that is not there", "encryption_key_file: /does/not/exist\n" + anApp, []string{":2: encryption_key_file: ", "no such file"}},
		{"no connections", "listen: {max_connections: 0}\n", []string{":2: listen.max_connections: is not between"}},
		{"a cluster, and no apps", "kubernetes: {issuer: i, discovery_url: 'https://k'}\n", []string{":2: kubernetes: means nothing without apps"}},
		{"a cluster without an issuer", "kubernetes: {discovery_url: 'https://k'}\n" + anApp, []string{":2: kubernetes.issuer: is missing"}},
		{"a cluster without keys", "kubernetes: {issuer: i}\n" + anApp, []string{":2: kubernetes: needs exactly one of"}},
		{"a cluster with two kinds of keys", "kubernetes: {issuer: i, discovery_url: 'https://k', keys_file: f}\n" + anApp, []string{":2: kubernetes: needs exactly one of"}},
		{"keys in plain text", "kubernetes: {issuer: i, discovery_url: 'http://k'}\n" + anApp, []string{":2: kubernetes.discovery_url: is not https"}},
		{"keys behind a password", "kubernetes: {issuer: i, discovery_url: 'https://user:hunter2@k'}\n" + anApp, []string{":2: kubernetes.discovery_url: is no address such as"}},
		{"keys nowhere", "kubernetes: {issuer: i, discovery_url: 'https:///openid'}\n" + anApp, []string{":2: kubernetes.discovery_url: is no address such as"}},
		{"keys that are not there", "kubernetes: {issuer: i, keys_file: /does/not/exist}\n" + anApp, []string{":2: kubernetes.keys_file: ", "no such file"}},
		{"keys that are none", "kubernetes: {issuer: i, keys_file: 'SECRET'}\n" + anApp, []string{":2: kubernetes.keys_file: ", "no public key"}},
		{"a token for a file", "kubernetes: {issuer: i, keys_file: 'SECRET', token_file: t}\n" + anApp, []string{":2: kubernetes: has ca_file or token_file"}},
		{"CAs that are none", "kubernetes: {issuer: i, discovery_url: 'https://k', ca_file: 'SECRET'}\n" + anApp, []string{":2: kubernetes.ca_file: ", "PEM"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path := write(t, theAccount+tt.yaml)
			_, err := Load(t.Context(), path)
			if err == nil {
				t.Fatal("accepted")
			}
			for _, want := range tt.want {
				if strings.HasPrefix(want, ":") {
					want = path + want
				}
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error %q lacks %q", err, want)
				}
			}
			if strings.Contains(err.Error(), "hunter2") || strings.Contains(err.Error(), aHash) {
				t.Errorf("error %q shows what may be a secret", err)
			}
		})
	}
}

// TestNeedsRestart: each key that a running broker cannot change.
func TestNeedsRestart(t *testing.T) {
	dir := t.TempDir()
	key, ca := filepath.Join(dir, "key"), tlstest.NewCA(t, "ours").Write(t, dir)
	if err := os.WriteFile(key, []byte(aHash), 0o600); err != nil {
		t.Fatal(err)
	}
	load := func(yaml string) Config {
		t.Helper()
		yaml = strings.NewReplacer("KEY", "'"+key+"'", "CA", "'"+ca+"'").Replace(yaml)
		c, err := Load(t.Context(), write(t, yaml+theAccount+anApp))
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	cluster := func(issuer, url string) string {
		return "kubernetes: {issuer: '" + issuer + "', discovery_url: 'https://" + url + "'}\n"
	}
	for _, tt := range []struct{ before, next, want string }{
		{"", "", ""},
		{"", "data: other.db\n", "data"},
		{"", "encryption_key_file: KEY\n", "encryption_key_file"},
		{"", "listen: {grpc: '127.0.0.1:1'}\n", "listen"},
		{"", "listen: {ops: '127.0.0.1:1'}\n", "listen"},
		{"", "listen: {max_connections: 77}\n", "listen"},
		{"", "tls: {cert_file: c, key_file: k}\n", "tls"},
		{"", "insecure: true\n", "insecure"},
		{"", "upstreams: ['https://a']\n", "upstreams"},
		{"", "upstream_ca_file: CA\n", "upstream_ca_file"},
		{"", "data: other.db\nupstreams: ['https://a']\n", "data upstreams"},
		{cluster("one", "k"), cluster("two", "k"), "kubernetes.issuer"},
		{cluster("one", "k"), cluster("one", "other"), ""}, // the same cluster, at another address
		{"", cluster("one", "k"), ""},
		{cluster("one", "k"), "", ""},
	} {
		before, next := load(tt.before), load(tt.next)
		if got := strings.Join(before.NeedsRestart(next), " "); got != tt.want {
			t.Errorf("%q and then %q needs a restart for %q, want %q", tt.before, tt.next, got, tt.want)
		}
		if got := next.NeedsRestart(next); len(got) > 0 {
			t.Errorf("%q needs a restart for %q though nothing has changed", tt.next, got)
		}
	}
}

// TestEverythingFixedNeedsARestart: each field of [Fixed], found by reflection, so
// that a field which is added later is checked as well.
func TestEverythingFixedNeedsARestart(t *testing.T) {
	var before, next Config
	fields := fieldsOf(t, reflect.ValueOf(&before.Fixed).Elem(), "")
	others := fieldsOf(t, reflect.ValueOf(&next.Fixed).Elem(), "")
	for i, field := range fields {
		field.set(0)
		others[i].set(0)
	}
	if keys := before.NeedsRestart(next); len(keys) > 0 {
		t.Fatalf("nothing has changed, and it needs a restart for %q", keys)
	}
	for i, field := range fields {
		others[i].set(1)
		if keys := before.NeedsRestart(next); len(keys) != 1 {
			t.Errorf("%s has changed, and it needs a restart for %q", field.name, keys)
		}
		others[i].set(0)
	}
}

// field is one value of a configuration. set makes it one of two.
type field struct {
	name string
	set  func(which int)
}

// fieldsOf returns the fields of a struct, and of the structs in it.
func fieldsOf(t *testing.T, v reflect.Value, name string) []field {
	t.Helper()
	one := func(values ...any) []field {
		return []field{{name, func(which int) { v.Set(reflect.ValueOf(values[which])) }}}
	}
	switch v.Interface().(type) {
	case string:
		return one("one", "other")
	case int:
		return one(1, 2)
	case bool:
		return one(true, false)
	case daemon.Address:
		return one(mustAddress(t, "127.0.0.1:1"), mustAddress(t, "127.0.0.1:2"))
	}
	if v.Kind() != reflect.Struct {
		t.Fatalf("%s is a %s: say here how it changes", name, v.Type())
	}
	var all []field
	for i := range v.NumField() {
		all = append(all, fieldsOf(t, v.Field(i), strings.TrimPrefix(name+"."+v.Type().Field(i).Name, "."))...)
	}
	return all
}

func mustAddress(t *testing.T, s string) daemon.Address {
	t.Helper()
	a, err := daemon.ParseAddress(s)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// TestOpeningNeedsARestart: somebody may have deleted the last app by mistake.
// That must not give everything to everybody.
func TestOpeningNeedsARestart(t *testing.T) {
	load := func(yaml string) Config {
		t.Helper()
		c, err := Load(t.Context(), write(t, yaml))
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	open, closed := load(theAccount), load(theAccount+anApp)
	if keys := open.NeedsRestart(closed); len(keys) > 0 {
		t.Errorf("closing it needs a restart for %q", keys)
	}
	if keys := closed.NeedsRestart(open); len(keys) != 1 {
		t.Errorf("opening it needs a restart for %q", keys)
	}
}

// TestWhatAnAccountNeeds of its keeper after a change: a new keeper, another place
// to read the AppSecret from, or nothing. The keys are found by reflection, so
// that a new key of an account which is in no list is noticed.
func TestWhatAnAccountNeeds(t *testing.T) {
	const kept, secret, nothing = "another keeper", "another secret", "nothing"
	changes := map[string]struct{ yaml, needs string }{
		"SecretFile": {"secret_env: WXBROKER_TEST_A", secret},
		"SecretEnv":  {"secret_env: WXBROKER_TEST_B", secret},
		"TokenAPI":   {"token_api: classic", kept},
		"Tickets":    {"tickets: [jsapi, wx_card]", kept},
		"Limits":     {"limits: {token: 100}", kept},
		"SignHosts":  {"sign_hosts: [a.example.com]", nothing},
	}
	t.Setenv("WXBROKER_TEST_A", "x")
	t.Setenv("WXBROKER_TEST_B", "y")
	for field := range reflect.TypeFor[fileAccount]().Fields() {
		if field.Name == "AppID" {
			continue
		}
		t.Run(field.Name, func(t *testing.T) {
			change, ok := changes[field.Name]
			if !ok {
				t.Fatal("nobody says what its change needs")
			}
			load := func(yaml string) Account {
				if !strings.Contains(yaml, "secret_") {
					yaml += ", secret_file: SECRET"
				}
				path := write(t, "accounts: [{appid: wx1, "+yaml+"}]\n")
				c, err := Load(t.Context(), path)
				if err != nil {
					t.Fatal(err)
				}
				c.Accounts[0].written.SecretFile = filepath.Base(c.Accounts[0].written.SecretFile) // its directory is another each time
				return c.Accounts[0]
			}
			before := load("tickets: [jsapi]")
			if field.Name == "SecretEnv" {
				before = load("secret_env: WXBROKER_TEST_A")
			}
			after := load(change.yaml)
			if got := before.KeptLike(after); got != (change.needs != kept) {
				t.Errorf("kept like before: %v", got)
			}
			if got := before.SameSecret(after); got != (change.needs != secret) {
				t.Errorf("the same secret: %v", got)
			}
		})
	}
}

// TestAnAppSecretIsFollowed: when its file has changed and holds an AppSecret, that
// is handed on. Until then the old AppSecret stays.
func TestAnAppSecretIsFollowed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := write(t, "accounts: [{appid: wx1, secret_file: SECRET}]\n")
		c, err := Load(t.Context(), path)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		ctx, stop := context.WithCancel(t.Context())
		defer func() { stop(); synctest.Wait() }()
		go c.Accounts[0].FollowSecret(ctx, slog.New(slog.DiscardHandler), func(s credential.Secret) { got = append(got, s.Reveal()) })
		secret := filepath.Join(filepath.Dir(path), "appsecret")
		for _, content := range []string{"two words", "", " new\n", "", "newer"} {
			if err := os.WriteFile(secret, []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
			time.Sleep(10 * time.Second)
			synctest.Wait()
		}
		if err := os.Remove(secret); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		if want := []string{"new", "newer"}; !slices.Equal(got, want) {
			t.Errorf("handed on %q, want %q", got, want)
		}
	})
}

package e2e

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/wxbroker/wxbroker/pkg/tlstest"
	"github.com/wxbroker/wxbroker/pkg/wechatsim"
)

// organisation has the real programs as an organisation runs them: TLS with client
// certificates and tokens, apps, local keys, and a sealed database. Its WeChat is in the
// test, so that the test knows every value that is handed out.
type organisation struct {
	dir    string
	sim    *wechatsim.Sim
	wechat *httptest.Server
	ca     *tlstest.CA
	client *http.Client // trusts the CA

	broker, edge *process
	// ended are the processes before those.
	ended                            []*process
	grpc, brokerOps, listen, edgeOps string // addresses
	maxConnections                   int

	mu      sync.Mutex
	held    *heldCalls          // nil for none
	secrets map[string]string   // every secret of this run, by what it is
	handed  map[string][]string // what WeChat handed out, "token" and "ticket", in that order
}

// The secrets that do not come from WeChat.
const (
	edgeToken     = "wxb_edge-0123456789abcdefghijklmnopqrstuvwxyzABCDEF"
	operatorToken = "wxb_oper-0123456789abcdefghijklmnopqrstuvwxyzABCDEF"
	billingKey    = "local+key/with=signs~0123456789"
	databaseKey   = "00112233445566778899aabbccddeeff0123456789abcdef0123456789abcdef"
)

// startOrganisation starts everything and waits until the edge can sign.
func startOrganisation(t *testing.T, settings wechatsim.Settings, maxConnections int) *organisation {
	t.Helper()
	o := &organisation{
		dir: t.TempDir(), ca: tlstest.NewCA(t, "ours"), maxConnections: maxConnections,
		sim:    wechatsim.New(wechatsim.Config{Accounts: []wechatsim.Account{{AppID: appid, Secret: secret}}, Settings: settings}),
		handed: make(map[string][]string),
		secrets: map[string]string{
			"AppSecret": secret, "edge's token": edgeToken, "operator's token": operatorToken, "local key": billingKey, "database's key": databaseKey,
		},
	}
	raw, err := hex.DecodeString(databaseKey)
	must(t, err)
	o.secrets["database's key, its bytes"] = string(raw)
	o.wechat = httptest.NewServer(http.HandlerFunc(o.answerAsWeChat))
	t.Cleanup(o.wechat.Close)
	pool := x509.NewCertPool()
	pool.AddCert(o.ca.Cert)
	o.client = &http.Client{
		Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS13}, DisableKeepAlives: true},
		Timeout:   20 * time.Second,
	}
	o.ca.Write(t, o.dir)
	for _, name := range []string{"broker", "edge"} {
		must(t, os.Mkdir(o.path(name), 0o700))
		pair := o.ca.Issue(t)
		pair.Write(t, o.path(name))
		o.secrets["key of the "+name] = string(bytes.Join(bytes.Split(pair.Key, []byte("\n"))[1:3], []byte("\n"))) // its middle
	}
	for name, content := range map[string]string{
		"appsecret": secret, "edge-token": edgeToken, "operator-token": operatorToken,
		"local-keys": "billing " + billingKey, "database-key": databaseKey,
	} {
		must(t, os.WriteFile(o.path(name), []byte(content+"\n"), 0o600))
	}
	o.startBroker(t, "127.0.0.1:0")
	o.startEdge(t)
	o.edge.says(t, `holding .*kind=jsapi_ticket`)
	return o
}

func (o *organisation) path(name string) string { return filepath.Join(o.dir, name) }

// configure writes the broker's configuration.
func (o *organisation) configure(t *testing.T, grpc string) string {
	t.Helper()
	hash := func(token string) string {
		sum := sha256.Sum256([]byte(token))
		return hex.EncodeToString(sum[:])
	}
	text := fmt.Sprintf(`data: %q
encryption_key_file: %q
listen: {grpc: %q, ops: "127.0.0.1:0", max_connections: %d}
tls: {cert_file: %q, key_file: %q, client_ca_file: %q}
upstreams: [%q]
accounts:
  - {appid: %s, secret_file: %q, sign_hosts: [shop.example.com]}
apps:
  - {name: web, identities: ["token:sha256:%s"], accounts: [%s], grants: [sign, token, report, template, media, oauth, call]}
  - {name: operators, identities: ["token:sha256:%s"], grants: [admin]}
`, o.path("wxbroker.db"), o.path("database-key"), grpc, o.maxConnections,
		o.path("broker/tls.crt"), o.path("broker/tls.key"), o.path("ca.crt"), o.wechat.URL,
		appid, o.path("appsecret"), hash(edgeToken), appid, hash(operatorToken))
	must(t, os.WriteFile(o.path("wxbroker.yaml"), []byte(text), 0o600))
	return o.path("wxbroker.yaml")
}

func (o *organisation) startBroker(t *testing.T, grpc string) {
	t.Helper()
	o.broker = start(t, "wxbroker", "serve", "--config", o.configure(t, grpc), "--log-level", "debug")
	addresses := o.broker.says(t, `"broker is up" grpc=(\S+) ops=(\S+) .*tls=true`)
	o.grpc, o.brokerOps = addresses[1], addresses[2]
}

// edgeArgs returns the arguments of an edge with other files for its token and its local
// keys.
func (o *organisation) edgeArgs(token, localKeys string) []string {
	return []string{
		"serve", "--broker", o.grpc, "--ca-file", o.path("ca.crt"), "--token-file", o.path(token),
		"--listen", "127.0.0.1:0", "--listen-cert-file", o.path("edge/tls.crt"), "--listen-key-file", o.path("edge/tls.key"),
		"--ops-listen", "127.0.0.1:0", "--local-key-file", o.path(localKeys), "--max-connections", fmt.Sprint(o.maxConnections), "--log-level", "debug",
	}
}

func (o *organisation) startEdge(t *testing.T) {
	t.Helper()
	o.edge = start(t, "wxedge", o.edgeArgs("edge-token", "local-keys")...)
	addresses := o.edge.says(t, `"edge is up" listen=(\S+) ops=(\S+)`)
	o.listen, o.edgeOps = addresses[1], addresses[2]
}

// operate runs wxbroker as an operator, and returns what it prints.
func (o *organisation) operate(t *testing.T, args ...string) string {
	t.Helper()
	command := exec.CommandContext(t.Context(), filepath.Join(bin, "wxbroker"),
		append(args, "--broker", o.grpc, "--ca-file", o.path("ca.crt"), "--token-file", o.path("operator-token"), "--timeout", "10s")...)
	out, _ := command.CombinedOutput() // the output counts, also when the command fails
	return string(out)
}

// refuses starts a program with something that it cannot use, and returns its output.
func refuses(t *testing.T, name string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, filepath.Join(bin, name), args...).CombinedOutput()
	if err == nil || ctx.Err() != nil || len(out) == 0 {
		t.Errorf("%s %s takes what it cannot use (%v): %s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// ask asks the edge, and returns what it answers.
func (o *organisation) ask(ctx context.Context, method, path, key, body string) (status int, answer string, err error) {
	request, err := http.NewRequestWithContext(ctx, method, "https://"+o.listen+path, strings.NewReader(body))
	if err != nil {
		return 0, "", err
	}
	if key != "" {
		request.Header.Set("Authorization", "Bearer "+key)
	}
	switch {
	case strings.HasPrefix(body, "{"):
		request.Header.Set("Content-Type", "application/json")
	case body != "":
		request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	response, err := o.client.Do(request)
	if err != nil {
		return 0, "", err
	}
	defer response.Body.Close()
	raw, err := io.ReadAll(response.Body)
	headers := new(strings.Builder)
	_ = response.Header.Write(headers) // to memory
	return response.StatusCode, headers.String() + string(raw), err
}

// signPath is the path that asks for the signature of a page that may be signed.
const signPath = "/v1/jsapi/config?url=https%3A%2F%2Fshop.example.com%2F"

// answerAsWeChat is WeChat, and notes what it hands out.
func (o *organisation) answerAsWeChat(w http.ResponseWriter, r *http.Request) {
	o.mu.Lock()
	held := o.held
	o.mu.Unlock()
	if held != nil && r.URL.Path == held.path {
		held.wait(r.Context())
	}
	recorder := httptest.NewRecorder()
	o.sim.ServeHTTP(recorder, r)
	var handed struct {
		Token   string `json:"access_token"`
		Ticket  string `json:"ticket"`
		Renewal string `json:"refresh_token"`
	}
	if json.Unmarshal(recorder.Body.Bytes(), &handed) == nil {
		o.mu.Lock()
		token := "token"
		if strings.HasPrefix(r.URL.Path, "/sns/") {
			token = "user's token"
		}
		for what, value := range map[string]string{token: handed.Token, "ticket": handed.Ticket, "user's renewal": handed.Renewal} {
			if value != "" {
				o.secrets[what+" "+value[:6]+"…"+value[len(value)-6:]] = value
				o.handed[what] = append(o.handed[what], value)
			}
		}
		o.mu.Unlock()
	}
	maps.Copy(w.Header(), recorder.Header())
	w.WriteHeader(recorder.Code)
	_, _ = w.Write(recorder.Body.Bytes())
}

// heldCalls are calls to WeChat that wait for a test's word.
type heldCalls struct {
	path    string
	came    chan struct{} // receives something for each call
	release chan struct{} // closed when the calls are to be answered
	left    atomic.Bool   // a caller left before that
}

func (h *heldCalls) wait(ctx context.Context) {
	h.came <- struct{}{}
	select {
	case <-h.release:
	case <-ctx.Done():
		h.left.Store(true)
	}
}

// hold makes WeChat's answers at a path wait.
func (o *organisation) hold(path string) *heldCalls {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.held = &heldCalls{path: path, came: make(chan struct{}, 100), release: make(chan struct{})}
	return o.held
}

// newest returns the token or ticket that was handed out last, "" for none.
func (o *organisation) newest(what string) (value string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if handed := o.handed[what]; len(handed) > 0 {
		value = handed[len(handed)-1]
	}
	return value
}

// known returns the secrets of the run so far.
func (o *organisation) known() map[string]string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return maps.Clone(o.secrets)
}

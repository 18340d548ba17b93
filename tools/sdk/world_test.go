package sdk

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/wxbroker/wxbroker/pkg/tlstest"
)

const (
	appid  = "wx0123456789abcdef"
	secret = "0123456789abcdef0123456789abcdef"
	// localKey is given to the SDKs as the secret. Some put a secret into an address as it
	// is, so it has only characters that need no escape there.
	localKey = "local-key-of-the-shop-0123456789"
)

// world has the real programs: wxsim, a broker and an edge. Where SDKs talk to wxsim
// directly, there is no broker and no edge.
type world struct {
	dir    string
	wechat string // wxsim's address
	caFile string
	// host and secret are what SDKs are told.
	host, secret string
	// grants are the app's grants, nil where there is no edge.
	grants []string

	broker, edge *process
	grpc, ops    string // addresses
	edgeOps      string
	ended        []*process
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{dir: t.TempDir()}
	w.wechat = start(t, "wxsim", "--listen", "127.0.0.1:0", "--appid", appid, "--secret", secret).says(t, `addr=(\S+)`)[1]
	ca := tlstest.NewCA(t, "ours")
	w.caFile = ca.Write(t, w.dir)
	ca.Issue(t).Write(t, w.dir)
	return w
}

// direct points SDKs at WeChat itself, over TLS, because some speak nothing else.
func (w *world) direct(t *testing.T) {
	t.Helper()
	pair, err := tls.LoadX509KeyPair(w.path("tls.crt"), w.path("tls.key"))
	must(t, err)
	server := httptest.NewUnstartedServer(httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: w.wechat}))
	server.TLS = &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS13}
	server.StartTLS()
	t.Cleanup(server.Close)
	w.host, w.secret = server.Listener.Addr().String(), secret
}

// behindEdge points SDKs at an edge whose app has those grants.
func (w *world) behindEdge(t *testing.T, grants ...string) {
	t.Helper()
	w.grants = grants
	identities, err := exec.CommandContext(t.Context(), filepath.Join(bin, "wxbroker"), "token", "new", "shop", "--out", w.path("edge-token")).Output()
	must(t, err)
	for name, content := range map[string]string{
		"secret": secret, "local-keys": "shop " + localKey + "\n",
		"app": strings.TrimSpace(string(identities)),
	} {
		must(t, os.WriteFile(w.path(name), []byte(content), 0o600))
	}
	w.startBroker(t, "127.0.0.1:0")
	w.startEdge(t, "127.0.0.1:0")
	w.secret = localKey
}

func (w *world) path(name string) string { return filepath.Join(w.dir, name) }

// startBroker starts a broker, in place of the one there was.
func (w *world) startBroker(t *testing.T, address string) {
	t.Helper()
	w.stop(t, w.broker)
	app, err := os.ReadFile(w.path("app"))
	must(t, err)
	config := fmt.Sprintf(`data: %q
listen: {grpc: %q, ops: "127.0.0.1:0"}
upstreams: ["http://%s"]
accounts:
  - {appid: %s, secret_file: %q}
apps:
  - name: shop
    accounts: [%s]
    grants: [%s]
    %s
`, w.path("wxbroker.db"), address, w.wechat, appid, w.path("secret"), appid, strings.Join(w.grants, ", "), app)
	must(t, os.WriteFile(w.path("wxbroker.yaml"), []byte(config), 0o600))
	w.broker = start(t, "wxbroker", "serve", "--config", w.path("wxbroker.yaml"), "--log-level", "debug")
	up := w.broker.says(t, `"broker is up" grpc=(\S+) ops=(\S+)`)
	w.grpc, w.ops = up[1], up[2]
}

// startEdge starts an edge, in place of the one there was.
func (w *world) startEdge(t *testing.T, address string) {
	t.Helper()
	w.stop(t, w.edge)
	w.edge = start(t, "wxedge", "serve", "--broker", w.grpc, "--token-file", w.path("edge-token"), "--local-key-file", w.path("local-keys"),
		"--listen", address, "--listen-cert-file", w.path("tls.crt"), "--listen-key-file", w.path("tls.key"),
		"--ops-listen", "127.0.0.1:0", "--log-level", "debug")
	up := w.edge.says(t, `"edge is up" listen=(\S+) ops=(\S+)`)
	w.host, w.edgeOps = up[1], up[2]
	w.edge.says(t, `holding .*kind=jsapi_ticket`)
}

// stop ends a process, nil for none, as a service manager does.
func (w *world) stop(t *testing.T, p *process) {
	t.Helper()
	if p == nil {
		return
	}
	if code := p.end(os.Interrupt); code != 0 {
		t.Errorf("%s ended with %d on SIGINT:\n%s", filepath.Base(p.command.Path), code, p.log)
	}
	w.ended = append(w.ended, p)
}

func (w *world) drive(t *testing.T, s sdk) *driver {
	t.Helper()
	return drive(t, s, w.host, w.secret, w.caFile)
}

// exchange sends a request in plain text and returns the answer, which has to be
// a good one.
func exchange(t *testing.T, method, address, body string) (http.Header, []byte) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, address, strings.NewReader(body))
	must(t, err)
	response, err := http.DefaultClient.Do(request)
	must(t, err)
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("%s %s: status %d, error %v: %s", method, request.URL.Path, response.StatusCode, err, answer)
	}
	return response.Header, answer
}

// sim asks the simulator, or tells it to do something.
func (w *world) sim(t *testing.T, method, path string, body, answer any) {
	t.Helper()
	encoded := []byte{}
	if body != nil {
		var err error
		encoded, err = json.Marshal(body)
		must(t, err)
	}
	_, text := exchange(t, method, "http://"+w.wechat+path, string(encoded))
	if err := json.Unmarshal(text, answer); err != nil {
		t.Fatalf("%s %s: %v: %s", method, path, err, text)
	}
}

// token returns the account's stable token. It is the one that the broker has: WeChat
// hands out the same to everybody.
func (w *world) token(t *testing.T) string {
	t.Helper()
	var granted struct {
		Token string `json:"access_token"`
	}
	w.sim(t, http.MethodPost, "/cgi-bin/stable_token", args{"grant_type": "client_credential", "appid": appid, "secret": secret}, &granted)
	if granted.Token == "" {
		t.Fatal("WeChat gives no token")
	}
	return granted.Token
}

// calls returns how many calls of an API went well at WeChat.
func (w *world) calls(t *testing.T, api string) (n int) {
	t.Helper()
	var state struct {
		Calls []struct {
			API, Outcome string
			Count        int
		}
	}
	w.sim(t, http.MethodGet, "/sim/state?appid="+appid, nil, &state)
	for _, c := range state.Calls {
		if c.API == api && c.Outcome == "ok" {
			n += c.Count
		}
	}
	return n
}

// forced returns how often a token was forced out of WeChat.
func (w *world) forced(t *testing.T) int {
	t.Helper()
	var state struct {
		UsedToday map[string]int `json:"used_today"`
	}
	w.sim(t, http.MethodGet, "/sim/state?appid="+appid, nil, &state)
	return state.UsedToday["stable_token_force"]
}

// picture returns a file that is no text.
func picture() []byte {
	content := make([]byte, 100_000)
	copy(content, "\x89PNG\r\n\x1a\n")
	_, _ = rand.Read(content[8:]) // never fails
	return content
}

// same says what is wrong with a file, "" if it is the one that was sent.
func same(got, want []byte) string {
	if bytes.Equal(got, want) {
		return ""
	}
	return fmt.Sprintf("%d bytes %.16x…, want %d bytes %.16x…", len(got), got, len(want), want)
}

func hashOf(value string) string {
	sum := sha256.Sum256([]byte(value))
	return hex.EncodeToString(sum[:])
}

package app

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"

	"github.com/wxbroker/wxbroker/broker/internal/config"
	"github.com/wxbroker/wxbroker/broker/internal/store"
	"github.com/wxbroker/wxbroker/broker/internal/store/storetest"
	"github.com/wxbroker/wxbroker/pkg/clocktest"
	"github.com/wxbroker/wxbroker/pkg/credential"
	"github.com/wxbroker/wxbroker/pkg/follow"
	"github.com/wxbroker/wxbroker/pkg/grpctest"
	"github.com/wxbroker/wxbroker/pkg/logqueue"
	"github.com/wxbroker/wxbroker/pkg/logtest"
	"github.com/wxbroker/wxbroker/pkg/wechatsim"
	"github.com/wxbroker/wxbroker/pkg/wechatsim/simtest"
	wxbrokerv1 "github.com/wxbroker/wxbroker/proto/wxbroker/v1"
)

// site is a broker whose configuration a test changes, with a WeChat that knows
// wx0 to wx4.
type site struct {
	t    *testing.T
	sim  *wechatsim.Sim
	app  *App
	path string // of the configuration
	told chan os.Signal
	stop context.CancelFunc
	done chan error
	log  logtest.Log

	// What a test may set before start.
	following bool           // whether the broker follows the file
	more      string         // the end of the configuration
	disk      storetest.Disk // holds the database
	found     store.Findings // what opening the database finds out
	clock     clocktest.Wall // of the machine

	wechat    *simtest.Server
	grpc, ops *bufconn.Listener
}

func newSite(t *testing.T) *site {
	t.Helper()
	s := &site{t: t, path: filepath.Join(t.TempDir(), "wxbroker.yaml"), told: make(chan os.Signal, 1), done: make(chan error, 1)}
	var known []wechatsim.Account
	for i := range 5 {
		known = append(known, wechatsim.Account{AppID: fmt.Sprint("wx", i), Secret: "secret"})
	}
	s.sim = wechatsim.New(wechatsim.Config{Accounts: known})
	s.wechat = simtest.Serve(t, s.sim)
	return s
}

// beside returns the path of a file beside the configuration.
func (s *site) beside(name string) string { return filepath.Join(filepath.Dir(s.path), name) }

func (s *site) writeFile(path, content string) {
	s.t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

// write writes a configuration with these accounts. More keys of an account may
// follow its appid.
func (s *site) write(accounts ...string) {
	s.t.Helper()
	text := "upstreams: ['http://127.0.0.1:1']\naccounts:\n"
	for _, a := range accounts {
		appid, more, _ := strings.Cut(a, " ")
		text += fmt.Sprintf("  - {appid: %s, secret_file: '%s'%s}\n", appid, s.beside("secret"), more)
	}
	s.writeFile(s.beside("secret"), "secret")
	s.writeFile(s.path, text+s.more)
}

// start runs the broker with these accounts, in the form that write takes.
func (s *site) start(accounts ...string) {
	s.t.Helper()
	s.write(accounts...)
	read := s.read()
	loaded, err := config.Parse(s.t.Context(), s.path, read)
	if err != nil {
		s.t.Fatal(err)
	}
	var followed *Followed
	if s.following {
		followed = &Followed{Path: s.path, Loaded: read.Fingerprint, Told: s.told}
	}
	ctx, cancel := context.WithCancel(s.t.Context())
	s.t.Cleanup(cancel)
	s.stop, s.grpc, s.ops = cancel, bufconn.Listen(64<<10), bufconn.Listen(64<<10)
	queue := logqueue.New("wxbroker", &s.log)
	s.t.Cleanup(queue.Close)
	s.app, err = New(ctx, loaded, Options{
		Version: "v1.2.3", Collectors: []prometheus.Collector{queue},
		Log:  queue.Logger(func(w io.Writer) slog.Handler { return slog.NewTextHandler(w, nil) }),
		GRPC: s.grpc, Ops: s.ops, Follow: followed,
		Clock:      s.clock.Now,
		OpenStore:  func(string, store.Keys) (store.Disk, store.Findings, error) { return &s.disk, s.found, nil },
		DialWeChat: s.wechat.Dial,
	})
	if err != nil {
		s.t.Fatal(err)
	}
	go func() { s.done <- s.app.Run(ctx) }()
}

// startSite starts a broker in a bubble.
func startSite(t *testing.T, following bool, accounts ...string) *site {
	t.Helper()
	s := newSite(t)
	s.following = following
	s.start(accounts...)
	synctest.Wait()
	return s
}

// slow makes WeChat answer two seconds late, which is in time.
func (s *site) slow(path string) {
	s.t.Helper()
	if err := s.sim.Inject(wechatsim.Fault{Kind: wechatsim.FaultDelay, Path: path, Duration: 2 * time.Second}); err != nil {
		s.t.Fatal(err)
	}
}

// read reads the configuration as it is now.
func (s *site) read() follow.Contents {
	s.t.Helper()
	read, err := config.File(s.path).Read(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	return read
}

// reload takes a configuration with these accounts, in the form that write takes, into
// use, in a bubble. It fails if that takes any time.
func (s *site) reload(accounts ...string) {
	s.t.Helper()
	s.write(accounts...)
	start := time.Now()
	if err := s.app.Reload(s.t.Context(), s.path, s.read()); err != nil {
		s.t.Error(err)
	}
	if took := time.Since(start); took != 0 {
		s.t.Errorf("the reload waited for %v", took)
	}
	synctest.Wait()
}

// published returns the accounts that edges may see, each with whether it has a ticket.
func (s *site) published() string {
	var all []string
	for _, a := range s.app.states.Current(nil).Accounts {
		_, has := a.Credential(credential.JSAPITicket)
		all = append(all, fmt.Sprint(a.AppID, " ", has))
	}
	return strings.Join(all, ", ")
}

func (s *site) end() {
	s.t.Helper()
	s.stop()
	if err := <-s.done; err != nil {
		s.t.Error(err)
	}
}

// connect returns a connection to the broker, in plain text unless options say
// otherwise.
func (s *site) connect(options ...grpc.DialOption) *grpc.ClientConn {
	s.t.Helper()
	return grpctest.Connect(s.t, s.grpc.DialContext, options...)
}

// apps returns the key apps of a configuration. Each app's token is its name.
func apps(lines ...string) string {
	text := "apps:\n"
	for _, line := range lines {
		name, more, _ := strings.Cut(line, " ")
		text += fmt.Sprintf("  - {name: %s, identities: ['token:sha256:%x']%s}\n", name, sha256.Sum256([]byte(name)), more)
	}
	return text
}

// by returns a context that presents an app's token.
func (s *site) by(app string) context.Context {
	return metadata.AppendToOutgoingContext(s.t.Context(), "authorization", "Bearer "+app)
}

// stream is an edge's.
type stream struct {
	mu     sync.Mutex
	appids []string // of the last state
	ended  bool
	err    error // how it ended, nil for regularly
}

// watch opens a stream of tickets as an app, until it ends.
func (s *site) watch(app string, conn *grpc.ClientConn) *stream {
	s.t.Helper()
	return s.subscribe(app, conn, &wxbrokerv1.Subscription{Kinds: []wxbrokerv1.CredentialKind{wxbrokerv1.CredentialKind_CREDENTIAL_KIND_JSAPI_TICKET}})
}

// subscribe opens a stream as an app, until it ends.
func (s *site) subscribe(app string, conn *grpc.ClientConn, subscription *wxbrokerv1.Subscription) *stream {
	s.t.Helper()
	client, err := wxbrokerv1.NewCredentialServiceClient(conn).Watch(s.by(app))
	if err != nil {
		s.t.Fatal(err)
	}
	subscription.EdgeName = "edge of " + app
	_ = client.Send(&wxbrokerv1.WatchRequest{Request: &wxbrokerv1.WatchRequest_Subscription{Subscription: subscription}}) // Recv says why not
	e := new(stream)
	go func() {
		for {
			state, err := client.Recv()
			e.take(state, err)
			if err != nil {
				return
			}
		}
	}()
	synctest.Wait()
	return e
}

func (e *stream) take(state *wxbrokerv1.WatchResponse, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if err != nil {
		if e.ended = true; !errors.Is(err, io.EOF) {
			e.err = err
		}
		return
	}
	e.appids = nil
	for _, a := range state.GetAccounts() {
		e.appids = append(e.appids, a.GetAppid())
	}
}

// check checks which accounts an open stream has, or how a stream ended.
func (e *stream) check(t *testing.T, when, appids string, ended bool, code codes.Code) {
	t.Helper()
	synctest.Wait()
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.ended != ended || status.Code(e.err) != code || !ended && strings.Join(e.appids, " ") != appids {
		t.Errorf("%s the stream has %q, ended: %v, %v", when, e.appids, e.ended, e.err)
	}
}

// opsClient reaches the ops listener.
func (s *site) opsClient() *http.Client {
	return &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true, // no goroutine may be left in the bubble
		DialContext:       func(ctx context.Context, _, _ string) (net.Conn, error) { return s.ops.DialContext(ctx) },
	}}
}

// scrape returns every series of the broker's own, as Prometheus would get them.
func (s *site) scrape() map[string]float64 {
	s.t.Helper()
	response, err := s.opsClient().Get("http://broker/metrics")
	if err != nil {
		s.t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		s.t.Fatalf("HTTP %d: %s, %v", response.StatusCode, body, err)
	}
	series := map[string]float64{}
	for lines := bufio.NewScanner(bytes.NewReader(body)); lines.Scan(); {
		name, value, ok := cutLast(lines.Text(), " ")
		if !ok || !strings.HasPrefix(name, "wxbroker_") {
			continue
		}
		if series[name], err = strconv.ParseFloat(value, 64); err != nil {
			s.t.Fatal(err)
		}
	}
	return series
}

// has checks some series of a scrape; a value below zero means that there is none.
func (s *site) has(when string, want map[string]float64) {
	s.t.Helper()
	series := s.scrape()
	for _, name := range slices.Sorted(maps.Keys(want)) {
		if got, ok := series[name]; ok != (want[name] >= 0) || ok && got != want[name] {
			s.t.Errorf("%s: %s is %v (there: %v), want %v", when, name, got, ok, want[name])
		}
	}
}

func cutLast(s, sep string) (before, after string, found bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return s, "", false
}

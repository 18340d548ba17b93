package httpapi_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/wxbroker/wxbroker/edge/internal/apitest"
	"github.com/wxbroker/wxbroker/edge/internal/audit"
	"github.com/wxbroker/wxbroker/edge/internal/httpapi"
	"github.com/wxbroker/wxbroker/edge/internal/signing"
	"github.com/wxbroker/wxbroker/pkg/credential"
	"github.com/wxbroker/wxbroker/pkg/wechatsim"
)

const (
	shop = "wx0123456789abcdef"
	pay  = "wxfedcba9876543210"
	page = "https://shop.example.com/cart?item=1&size=L"
)

// world is an edge's API with credentials of a simulated WeChat, which judges
// what the API answers.
type world struct {
	t     testing.TB
	sim   *wechatsim.Sim
	state *signing.State
	api   *httpapi.API
	// answered is what the API told its metrics about the request before, and
	// audited what it told its audit.
	answered []string
	audited  []audit.Entry
}

// newWorld returns a world whose edge was granted nothing yet.
func newWorld(t testing.TB, settings wechatsim.Settings) *world {
	t.Helper()
	w := &world{
		t: t,
		sim: wechatsim.New(wechatsim.Config{
			Accounts: []wechatsim.Account{{AppID: shop, Secret: "s"}, {AppID: pay, Secret: "s"}},
			Settings: settings,
		}),
		state: signing.New(nil, credential.WallClock),
	}
	w.api = &httpapi.API{
		State:    w.state,
		Answered: func(route string, status int) { w.answered = append(w.answered, fmt.Sprint(route, " ", status)) },
		Audit:    func(e audit.Entry) { w.audited = append(w.audited, e) },
	}
	return w
}

// oneShop returns a world whose edge holds everything of one account that may
// sign any page.
func oneShop(t testing.TB) *world {
	t.Helper()
	w := newWorld(t, wechatsim.Settings{})
	w.state.Apply([]credential.Account{w.account(shop)})
	return w
}

// account returns an account as the broker would send it, with a token and a
// ticket that the simulator just handed out.
func (w *world) account(appid string, hosts ...string) credential.Account {
	w.t.Helper()
	return apitest.Account(w.t, w.sim, appid, credential.Clock(credential.WallClock).Now(), hosts...)
}

// setKeys gives the API local keys, in the form of their file.
func (w *world) setKeys(file string) {
	w.t.Helper()
	w.api.Keys = apitest.Keys(w.t, file)
}

// answer is what the API said.
type answer struct {
	status int
	header http.Header
	body   map[string]any
	raw    string
}

func (a answer) text(member string) string {
	s, _ := a.body[member].(string)
	return s
}

// ask sends a request and checks what has to be right about every answer.
func (w *world) ask(r *http.Request) answer {
	w.t.Helper()
	w.answered, w.audited = nil, nil
	rec := httptest.NewRecorder()
	w.api.ServeHTTP(rec, r)
	a := answer{status: rec.Code, header: rec.Header(), raw: rec.Body.String()}
	if got := a.header.Get("Cache-Control"); got != "no-store" {
		w.t.Errorf("Cache-Control %q", got)
	}
	if a.status == http.StatusNoContent {
		if a.raw != "" || len(w.answered) != 1 {
			w.t.Errorf("HTTP %d with the body %q, counted as %q", a.status, a.raw, w.answered)
		}
		return a
	}
	if got := a.header.Get("Content-Type"); got != "application/json; charset=utf-8" {
		w.t.Errorf("Content-Type %q", got)
	}
	if got := a.header.Get("X-Content-Type-Options"); got != "nosniff" {
		w.t.Errorf("X-Content-Type-Options %q", got)
	}
	if err := json.Unmarshal(rec.Body.Bytes(), &a.body); err != nil {
		w.t.Fatalf("the answer %q is no JSON object: %v", a.raw, err)
	}
	w.checkShape(r, a)
	return a
}

func (w *world) checkShape(r *http.Request, a answer) {
	w.t.Helper()
	code, isError := a.body["errcode"]
	if isError != (a.status != http.StatusOK) {
		w.t.Errorf("HTTP %d with the body %s", a.status, a.raw)
	}
	if isError && (code != float64(a.status) || a.text("errmsg") == "" || len(a.body) != 2) {
		w.t.Errorf("HTTP %d with an error of another shape: %s", a.status, a.raw)
	}
	if len(w.answered) != 1 || !strings.HasSuffix(w.answered[0], fmt.Sprint(" ", a.status)) {
		w.t.Errorf("the metrics were told %q of an answer %d", w.answered, a.status)
	}
	w.checkAudit(r, a)
	if a.status == http.StatusOK && (r.URL.Path == "/token" || r.URL.Path == "/ticket") {
		return
	}
	for _, account := range w.state.Accounts() {
		for _, c := range account.Credentials {
			if strings.Contains(a.raw+fmt.Sprint(a.header), c.Value.Reveal()) {
				w.t.Errorf("the %s is in the answer", c.Kind)
			}
		}
	}
}

// checkAudit: what takes a local key is audited once, with how it ended, and
// nothing else is.
func (w *world) checkAudit(r *http.Request, a answer) {
	w.t.Helper()
	action := audit.Action(strings.TrimPrefix(strings.TrimPrefix(r.URL.Path, "/v1"), "/"))
	if action != audit.Token && action != audit.Ticket && action != audit.Report || a.status == http.StatusMethodNotAllowed {
		if len(w.audited) > 0 {
			w.t.Errorf("%s is audited as %v", r.URL.Path, w.audited)
		}
		return
	}
	if len(w.audited) != 1 {
		w.t.Fatalf("%s is audited as %v", r.URL.Path, w.audited)
	}
	e := w.audited[0]
	if e.Action != action || e.Status != a.status || e.Address != r.RemoteAddr || e.Reason != a.text("errmsg") {
		w.t.Errorf("HTTP %d of %s is audited as %+v", a.status, r.URL.Path, e)
	}
	// 403 is said of an edge without keys, and to who has one of what the edge
	// itself may not have.
	locked := a.status == http.StatusUnauthorized || a.status == http.StatusForbidden && w.api.Keys == nil
	if (e.LocalKey == "") != locked {
		w.t.Errorf("HTTP %d is audited with the key %q", a.status, e.LocalKey)
	}
}

// accept fails unless WeChat would accept, now, the signature that a has for
// the page that it names.
func (w *world) accept(a answer) {
	w.t.Helper()
	w.acceptAs(a, a.text("appId"), a.text("nonceStr"), a.text("url"))
}

// acceptAs is accept for an answer that does not name everything.
func (w *world) acceptAs(a answer, appid, nonce, address string) {
	w.t.Helper()
	if a.status != http.StatusOK {
		w.t.Fatalf("HTTP %d: %s", a.status, a.raw)
	}
	timestamp, ok := a.body["timestamp"].(float64)
	if !ok {
		w.t.Fatalf("timestamp is no number: %s", a.raw)
	}
	verdict := w.sim.Verify(appid, nonce, fmt.Sprintf("%.0f", timestamp), address, a.text("signature"))
	if !verdict.Accepted {
		w.t.Errorf("WeChat would refuse %s: %s", a.raw, verdict.Reason)
	}
}

// refused fails unless a is an error with that status that says so.
func refused(t testing.TB, a answer, status int, says string) {
	t.Helper()
	if a.status != status {
		t.Fatalf("HTTP %d, want %d: %s", a.status, status, a.raw)
	}
	if !strings.Contains(a.text("errmsg"), says) {
		t.Errorf("errmsg %q does not say %q", a.text("errmsg"), says)
	}
}

// pairs are parameters: name, value, name, value.
type pairs []string

func (p pairs) form() string {
	var form []string
	for pair := range slices.Chunk(p, 2) {
		form = append(form, url.QueryEscape(pair[0])+"="+url.QueryEscape(pair[1]))
	}
	return strings.Join(form, "&")
}

func (p pairs) json() string {
	members := make(map[string]string)
	for pair := range slices.Chunk(p, 2) {
		members[pair[0]] = pair[1]
	}
	body, _ := json.Marshal(members)
	return string(body)
}

// ways returns requests that give a path the same parameters in every way it
// takes them.
func ways(path string, p pairs) map[string]*http.Request {
	r := apitest.Post(path, "", "")
	r.URL.RawQuery = p.form()
	all := map[string]*http.Request{
		"POST query": r,
		"POST form":  apitest.Post(path, apitest.FormType, p.form()),
		"POST JSON":  apitest.Post(path, apitest.JSONType, p.json()),
	}
	if path != "/v1/jsapi/signature" {
		all["GET query"] = apitest.Get(path, p.form())
	}
	return all
}

// signs are the paths that sign a page.
var signs = []string{"/v1/jsapi/config", "/v1/jsapi/signature", "/getApi", "/all"}

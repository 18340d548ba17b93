package wechat_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/wxbroker/wxbroker/broker/internal/wechat"
	"github.com/wxbroker/wxbroker/pkg/credential"
	"github.com/wxbroker/wxbroker/pkg/wechatsim"
	"github.com/wxbroker/wxbroker/pkg/wxapi"
)

const (
	appid     = "wx0123456789abcdef"
	appSecret = "0123456789abcdef0123456789abcdef"
)

var account = wechat.Account{AppID: appid, Secret: credential.NewSecret(appSecret)}

// serve answers WeChat's calls with handler.
func serve(t *testing.T, handler http.Handler) *url.URL {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	u, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func simulated(t *testing.T) (*wechatsim.Sim, *wechat.Client) {
	t.Helper()
	sim := wechatsim.New(wechatsim.Config{Accounts: []wechatsim.Account{{AppID: appid, Secret: appSecret}}})
	return sim, wechat.New(wechat.Options{Upstreams: []*url.URL{serve(t, sim)}})
}

// body answers every call with the same body.
func body(text string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, text) })
}

func asError(t *testing.T, err error) *wechat.Error {
	t.Helper()
	var e *wechat.Error
	if !errors.As(err, &e) {
		t.Fatalf("error %v is not a *wechat.Error", err)
	}
	return e
}

func TestCalls(t *testing.T) {
	sim, client := simulated(t)
	ctx := t.Context()
	classic, err := client.Token(ctx, account)
	if err != nil || !sim.TokenAlive(classic.Value.Reveal()) || classic.Lifetime != 2*time.Hour {
		t.Errorf("classic token: %+v, %v", classic, err)
	}
	stable, err := client.StableToken(ctx, account, false)
	if err != nil || !sim.TokenAlive(stable.Value.Reveal()) {
		t.Errorf("stable token: %+v, %v", stable, err)
	}
	forced, err := client.StableToken(ctx, account, true)
	if err != nil || forced.Value.Equal(stable.Value) || sim.TokenAlive(stable.Value.Reveal()) {
		t.Errorf("forced token: %+v, %v", forced, err)
	}
	for _, kind := range []credential.Kind{credential.JSAPITicket, credential.WXCardTicket} {
		ticket, err := client.Ticket(ctx, account, forced.Value, kind)
		if err != nil || !sim.TicketAlive(ticket.Value.Reveal()) {
			t.Errorf("%s: %+v, %v", kind, ticket, err)
		}
	}
	if err := client.Probe(ctx, account, forced.Value); err != nil {
		t.Errorf("probing a good token: %v", err)
	}
	if e := asError(t, client.Probe(ctx, account, stable.Value)); e.Class != wxapi.RefusedToken {
		t.Errorf("probing a dead token: %v", e)
	}
}

// TestClasses: by code, and for 40001 by call, never by wording.
func TestClasses(t *testing.T) {
	for code, class := range map[int]wxapi.Class{
		-1: wxapi.Transient, 45011: wxapi.Rate, 45009: wxapi.Quota,
		40002: wxapi.Configuration, 40013: wxapi.Configuration, 40125: wxapi.Configuration, 40243: wxapi.Configuration,
		41002: wxapi.Configuration, 41004: wxapi.Configuration, 48001: wxapi.Configuration, 50004: wxapi.Configuration,
		50007: wxapi.Configuration, 61024: wxapi.Configuration, 12345: wxapi.Configuration,
		40164: wxapi.Address,
		89501: wxapi.Approval, 89503: wxapi.Approval, 89506: wxapi.Approval, 89507: wxapi.Approval,
		40001: wxapi.RefusedToken, 40014: wxapi.RefusedToken, 42001: wxapi.RefusedToken,
	} {
		t.Run(fmt.Sprint(code), func(t *testing.T) {
			answer := body(fmt.Sprintf(`{"errcode":%d,"errmsg":"invalid ip 203.0.113.7, busy, quota"}`, code))
			client := wechat.New(wechat.Options{Upstreams: []*url.URL{serve(t, answer)}})
			_, err := client.Ticket(t.Context(), account, credential.NewSecret("t"), credential.JSAPITicket)
			e := asError(t, err)
			if e.Class != class || int(e.Code) != code {
				t.Errorf("class %s, code %d, want %s", e.Class, e.Code, class)
			}
			if want := map[int]time.Duration{89506: 24 * time.Hour, 89507: time.Hour}[code]; e.Wait != want {
				t.Errorf("wait %v, want %v", e.Wait, want)
			}
			if e.Advice == "" && class != wxapi.Transient && class != wxapi.Rate && class != wxapi.RefusedToken {
				t.Error("it does not say what to do")
			}
			if code == 40164 && e.SeenAddress != "203.0.113.7" {
				t.Errorf("seen address %q", e.SeenAddress)
			}
			if code == 40001 {
				_, err := client.Token(t.Context(), account)
				if e := asError(t, err); e.Class != wxapi.Configuration {
					t.Errorf("on the token call: %s", e.Class)
				}
			}
		})
	}
}

func TestSeenAddress(t *testing.T) {
	for message, want := range map[string]string{
		"invalid ip 203.0.113.7 ipv6 ::ffff:203.0.113.7, not in whitelist rid: 1-2-3":   "203.0.113.7",
		"invalid ip 2001:db8::17 ipv6 2001:db8::17, not in whitelist, hint: [x] rid: y": "2001:db8::17",
		"invalid ip 203.0.113.7, not in whitelist":                                      "203.0.113.7",
		"not in whitelist": "",
	} {
		client := wechat.New(wechat.Options{Upstreams: []*url.URL{serve(t, body(fmt.Sprintf(`{"errcode":40164,"errmsg":%q}`, message)))}})
		_, err := client.Token(t.Context(), account)
		if e := asError(t, err); e.SeenAddress != want {
			t.Errorf("%q: %q, want %q", message, e.SeenAddress, want)
		}
	}
}

// TestAnswers: what is not WeChat's documented answer is transient trouble,
// and what is comes through however it is written.
func TestAnswers(t *testing.T) {
	for _, tt := range []struct {
		name, body string
		lifetime   time.Duration // 0: refused
	}{
		{"number", `{"access_token":"tok","expires_in":7200}`, 2 * time.Hour},
		{"string", `{"access_token":"tok","expires_in":"7200"}`, 2 * time.Hour},
		{"errcode 0", `{"errcode":0,"errmsg":"ok","access_token":"tok","expires_in":7200}`, 2 * time.Hour},
		{"errcode \"0\"", `{"errcode":"0","access_token":"tok","expires_in":7200}`, 2 * time.Hour},
		{"space around", "\n {\"access_token\":\"tok\",\"expires_in\":60} \n", time.Minute},
		{"no expires_in", `{"access_token":"tok"}`, 0},
		{"negative", `{"access_token":"tok","expires_in":-1}`, 0},
		{"absurd", `{"access_token":"tok","expires_in":99999999}`, 0},
		{"a fraction", `{"access_token":"tok","expires_in":72.5}`, 0},
		{"a word", `{"access_token":"tok","expires_in":"soon"}`, 0},
		{"no token", `{"expires_in":7200}`, 0},
		{"empty token", `{"access_token":"","expires_in":7200}`, 0},
		{"token with a newline", `{"access_token":"to\nk","expires_in":7200}`, 0},
		{"huge token", `{"access_token":"` + strings.Repeat("t", 5000) + `","expires_in":7200}`, 0},
		{"empty", ``, 0},
		{"null", `null`, 0},
		{"a list", `[]`, 0},
		{"HTML", `<html><body>502</body></html>`, 0},
		{"cut short", `{"access_token":"tok","expi`, 0},
		{"two objects", `{"access_token":"tok","expires_in":7200}{}`, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			client := wechat.New(wechat.Options{Upstreams: []*url.URL{serve(t, body(tt.body))}})
			grant, err := client.Token(t.Context(), account)
			if tt.lifetime == 0 {
				if e := asError(t, err); e.Class != wxapi.Transient {
					t.Errorf("class %s: %v", e.Class, e)
				}
				return
			}
			if err != nil || grant.Value.Reveal() != "tok" || grant.Lifetime != tt.lifetime {
				t.Errorf("%+v, %v", grant, err)
			}
		})
	}
}

func TestFaults(t *testing.T) {
	for _, tt := range []struct {
		fault wechatsim.Fault
		class wxapi.Class
	}{
		{wechatsim.Fault{Kind: wechatsim.FaultStatus, Status: 500}, wxapi.Transient},
		{wechatsim.Fault{Kind: wechatsim.FaultStatus, Status: 403}, wxapi.Transient},
		{wechatsim.Fault{Kind: wechatsim.FaultStatus, Status: 429}, wxapi.Rate},
		{wechatsim.Fault{Kind: wechatsim.FaultReset}, wxapi.Transient},
		{wechatsim.Fault{Kind: wechatsim.FaultTruncate}, wxapi.Transient},
		{wechatsim.Fault{Kind: wechatsim.FaultEmpty}, wxapi.Transient},
		{wechatsim.Fault{Kind: wechatsim.FaultOversize, Megabytes: 2}, wxapi.Transient},
		{wechatsim.Fault{Kind: wechatsim.FaultHTML}, wxapi.Transient},
		{wechatsim.Fault{Kind: wechatsim.FaultLost}, wxapi.Transient},
		{wechatsim.Fault{Kind: wechatsim.FaultMalformed}, wxapi.Transient},
	} {
		t.Run(fmt.Sprintf("%v %d", tt.fault.Kind, tt.fault.Status), func(t *testing.T) {
			sim, client := simulated(t)
			if err := sim.Inject(tt.fault); err != nil {
				t.Fatal(err)
			}
			_, err := client.Token(t.Context(), account)
			if e := asError(t, err); e.Class != tt.class {
				t.Errorf("class %s, want %s: %v", e.Class, tt.class, e)
			}
			// One call is one request: a repeated one might rotate twice.
			if n := sim.Count(wechatsim.Call{AppID: appid}) + sim.Count(wechatsim.Call{AppID: wechatsim.UnknownApp}); n > 1 {
				t.Errorf("WeChat saw %d requests", n)
			}
		})
	}
}

// TestAStatusIsNotOverlooked: what HTTP says is no success has no grant in it,
// whatever the body looks like; of a refusal it is the code that counts.
func TestAStatusIsNotOverlooked(t *testing.T) {
	const grant, refusal = `{"access_token":"tok","ticket":"tok","expires_in":7200}`, `{"errcode":40164,"errmsg":"invalid ip 203.0.113.7, not in whitelist"}`
	for _, tt := range []struct {
		status  int
		body    string
		class   wxapi.Class // "" for a grant
		address bool        // that WeChat says it saw
	}{
		{200, grant, "", false},
		{200, refusal, wxapi.Address, true},
		{302, grant, wxapi.Transient, false},
		{400, grant, wxapi.Transient, false},
		{401, grant, wxapi.Transient, false},
		{403, grant, wxapi.Transient, false},
		{403, refusal, wxapi.Address, true},
		{404, grant, wxapi.Transient, false},
		{429, grant, wxapi.Rate, false},
		{500, grant, wxapi.Transient, false},
		{502, refusal, wxapi.Transient, false},
	} {
		t.Run(fmt.Sprint(tt.status, " ", tt.body[2:9]), func(t *testing.T) {
			client := wechat.New(wechat.Options{Upstreams: []*url.URL{serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(tt.status)
				fmt.Fprint(w, tt.body)
			}))}})
			for name, call := range map[string]func() (wechat.Grant, error){
				"token":        func() (wechat.Grant, error) { return client.Token(t.Context(), account) },
				"stable token": func() (wechat.Grant, error) { return client.StableToken(t.Context(), account, false) },
				"ticket": func() (wechat.Grant, error) {
					return client.Ticket(t.Context(), account, credential.NewSecret("t"), credential.JSAPITicket)
				},
			} {
				got, err := call()
				if tt.class == "" {
					if err != nil || got.Value.Reveal() != "tok" {
						t.Errorf("%s: %+v, %v", name, got, err)
					}
					continue
				}
				if err == nil || !got.Value.IsZero() {
					t.Errorf("%s: the grant is believed", name)
					continue
				}
				if e := asError(t, err); e.Class != tt.class || e.HTTPStatus != tt.status || (e.SeenAddress != "") != tt.address {
					t.Errorf("%s: class %s, HTTP status %d, seen address %q", name, e.Class, e.HTTPStatus, e.SeenAddress)
				}
			}
		})
	}
}

// TestRedirectIsNotFollowed: the query has the secret in it.
func TestRedirectIsNotFollowed(t *testing.T) {
	var followed atomic.Bool
	elsewhere := serve(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { followed.Store(true) }))
	client := wechat.New(wechat.Options{Upstreams: []*url.URL{serve(t, http.RedirectHandler(elsewhere.String(), http.StatusFound))}})
	_, err := client.Token(t.Context(), account)
	if e := asError(t, err); e.Class != wxapi.Transient || !strings.Contains(e.Error(), "redirect") {
		t.Errorf("%v", e)
	}
	if followed.Load() {
		t.Error("the redirect was followed")
	}
}

// TestNoSecretInErrors: whatever goes wrong, and whatever WeChat echoes.
func TestNoSecretInErrors(t *testing.T) {
	const token = "80_thetoken-thetoken_thetoken"
	echo := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, `{"errcode":40013,"errmsg":"%s %s"}`, r.URL.Query().Encode(), appSecret)
	})
	hangUp := http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	closed := serve(t, echo)
	closed.Host = "127.0.0.1:1" // nobody listens there
	for name, upstream := range map[string]*url.URL{
		"echo": serve(t, echo), "hung up": serve(t, hangUp), "refused": closed,
		"redirect": serve(t, http.RedirectHandler("https://evil.example/?"+appSecret+token, http.StatusFound)),
		"no host":  {Scheme: "http", Host: "no.such.host.invalid"},
	} {
		t.Run(name, func(t *testing.T) {
			client := wechat.New(wechat.Options{Upstreams: []*url.URL{upstream}})
			_, tokenErr := client.Token(t.Context(), account)
			_, stableErr := client.StableToken(t.Context(), account, false)
			_, ticketErr := client.Ticket(t.Context(), account, credential.NewSecret(token), credential.JSAPITicket)
			for _, err := range []error{tokenErr, stableErr, ticketErr} {
				e := asError(t, err)
				for _, text := range []string{e.Error(), fmt.Sprintf("%+v", *e), fmt.Sprintf("%#v", e)} {
					if strings.Contains(text, appSecret) || strings.Contains(text, token) {
						t.Errorf("an error shows a secret: %s", text)
					}
				}
			}
		})
	}
}

// TestNoSecretInErrorsHoweverEscaped: an AppSecret is hex, but nothing here
// depends on it.
func TestNoSecretInErrorsHoweverEscaped(t *testing.T) {
	const awkward = `s3cret+/&=<x>"\tail`
	account := wechat.Account{AppID: appid, Secret: credential.NewSecret(awkward)}
	echo := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		sent, _ := io.ReadAll(r.Body)
		escaped, _ := json.Marshal(awkward)
		answer, _ := json.Marshal(map[string]any{"errcode": -1, "errmsg": r.URL.RawQuery + string(sent) + string(escaped)})
		_, _ = w.Write(answer)
	})
	client := wechat.New(wechat.Options{Upstreams: []*url.URL{serve(t, echo)}})
	_, classic := client.Token(t.Context(), account)
	_, stable := client.StableToken(t.Context(), account, false)
	for _, err := range []error{classic, stable} {
		for _, part := range []string{"s3cret", "tail"} {
			if text := asError(t, err).Error(); strings.Contains(text, part) {
				t.Errorf("an error shows a secret: %s", text)
			}
		}
	}
}

func TestFailover(t *testing.T) {
	var firstWorks atomic.Bool
	var asked [2]atomic.Int32
	host := func(i int) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			asked[i].Add(1)
			if i == 0 && !firstWorks.Load() {
				w.WriteHeader(http.StatusBadGateway)
				return
			}
			fmt.Fprint(w, `{"access_token":"tok","expires_in":7200}`)
		})
	}
	first, second := serve(t, host(0)), serve(t, host(1))
	client := wechat.New(wechat.Options{Upstreams: []*url.URL{first, second}})
	if _, err := client.Token(t.Context(), account); err == nil {
		t.Fatal("the first host works?")
	}
	if client.Upstream() != second.Host {
		t.Errorf("after a failure the next call goes to %s", client.Upstream())
	}
	firstWorks.Store(true)
	for range 3 {
		if _, err := client.Token(t.Context(), account); err != nil {
			t.Fatal(err)
		}
	}
	if asked[0].Load() != 1 || asked[1].Load() != 3 {
		t.Errorf("asked %d and %d times", asked[0].Load(), asked[1].Load())
	}
}

// TestARefusalIsNoReasonToMoveOn: another host would say the same.
func TestARefusalIsNoReasonToMoveOn(t *testing.T) {
	refusing := serve(t, body(`{"errcode":40125,"errmsg":"invalid appsecret"}`))
	client := wechat.New(wechat.Options{Upstreams: []*url.URL{refusing, {Scheme: "http", Host: "127.0.0.1:1"}}})
	if _, err := client.Token(t.Context(), account); err == nil {
		t.Fatal("accepted")
	}
	if client.Upstream() != refusing.Host {
		t.Errorf("moved on to %s", client.Upstream())
	}
}

func TestCancelledCall(t *testing.T) {
	sim, client := simulated(t)
	if err := sim.Inject(wechatsim.Fault{Kind: wechatsim.FaultHang}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		_, err := client.Token(ctx, account)
		ended <- err
	}()
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}

package wechatsim_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/wxbroker/wxbroker/pkg/wechatsim"
	"github.com/wxbroker/wxbroker/pkg/wechatsim/simtest"
)

const (
	appid  = "wx0123456789abcdef"
	secret = "0123456789abcdef0123456789abcdef"
)

// wechat is a simulator with a client that talks to it.
type wechat struct {
	*wechatsim.Sim
	t      *testing.T
	base   string
	client *http.Client
}

// inMemory starts a simulator with one account over connections in memory.
func inMemory(t *testing.T, settings wechatsim.Settings) *wechat {
	t.Helper()
	return inMemoryWith(t, wechatsim.Config{
		Accounts: []wechatsim.Account{{AppID: appid, Secret: secret}},
		Settings: settings,
	})
}

func inMemoryWith(t *testing.T, config wechatsim.Config) *wechat {
	t.Helper()
	sim := wechatsim.New(config)
	transport := &http.Transport{DialContext: simtest.Serve(t, sim).Dial, DisableKeepAlives: true}
	return &wechat{sim, t, "http://api.weixin.qq.com", &http.Client{Transport: transport}}
}

// reply is any answer of WeChat's.
type reply struct {
	Code      int         `json:"errcode"`
	Message   string      `json:"errmsg"`
	Token     string      `json:"access_token"`
	Ticket    string      `json:"ticket"`
	ExpiresIn json.Number `json:"expires_in"`
	IPs       []string    `json:"ip_list"`
	MessageID int64       `json:"msgid"`
	MediaType string      `json:"type"`
	MediaID   string      `json:"media_id"`
	CreatedAt int64       `json:"created_at"`
	VideoURL  string      `json:"video_url"`
	Refresh   string      `json:"refresh_token"`
	OpenID    string      `json:"openid"`
	Scope     string      `json:"scope"`
	UnionID   string      `json:"unionid"`
	Snapshot  int         `json:"is_snapshotuser"`
	Quota     struct {
		Limit  int `json:"daily_limit"`
		Used   int `json:"used"`
		Remain int `json:"remain"`
	} `json:"quota"`
}

// do sends a request and reads a JSON answer with status 200.
func (w *wechat) do(method, path, body string) reply {
	w.t.Helper()
	res, err := w.send(method, path, body)
	if err != nil {
		w.t.Fatalf("%s %s: %v", method, path, err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		w.t.Fatalf("%s %s: status %d", method, path, res.StatusCode)
	}
	if got, want := res.Header.Get("Content-Type"), "application/json; encoding=utf-8"; got != want {
		w.t.Errorf("%s %s: content type %q, want %q", method, path, got, want)
	}
	var r reply
	if err := json.NewDecoder(res.Body).Decode(&r); err != nil {
		w.t.Fatalf("%s %s: %v", method, path, err)
	}
	return r
}

func (w *wechat) send(method, path, body string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(w.t.Context(), method, w.base+path, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	return w.client.Do(req)
}

// exchange sends a request and reads the whole answer, whatever it is.
func (w *wechat) exchange(method, path, body string) (status int, header http.Header, text string, err error) {
	res, err := w.send(method, path, body)
	if err != nil {
		return 0, nil, "", err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	return res.StatusCode, res.Header, string(b), err
}

// handle calls the simulator without a connection, for tests that call it often.
func (w *wechat) handle(method, path, body string) *httptest.ResponseRecorder {
	answer := httptest.NewRecorder()
	w.ServeHTTP(answer, httptest.NewRequest(method, path, strings.NewReader(body)))
	return answer
}

func classicPath(appid, secret string) string {
	return wechatsim.PathToken + "?" + url.Values{
		"grant_type": {"client_credential"}, "appid": {appid}, "secret": {secret},
	}.Encode()
}

func stableBody(force bool) string {
	b, _ := json.Marshal(map[string]any{
		"grant_type": "client_credential", "appid": appid, "secret": secret, "force_refresh": force,
	})
	return string(b)
}

func (w *wechat) classic() reply {
	w.t.Helper()
	return w.do("GET", classicPath(appid, secret), "")
}

func (w *wechat) stable(force bool) reply {
	w.t.Helper()
	return w.do("POST", wechatsim.PathStableToken, stableBody(force))
}

func (w *wechat) ticket(token, kind string) reply {
	w.t.Helper()
	return w.do("GET", wechatsim.PathTicket+"?type="+kind+"&access_token="+token, "")
}

// probe uses a token as an application does, and returns the code.
func (w *wechat) probe(token string) int {
	w.t.Helper()
	r := w.do("GET", wechatsim.PathDomainIP+"?access_token="+token, "")
	if r.Code == 0 && len(r.IPs) == 0 {
		w.t.Error("no addresses in a good answer")
	}
	if alive := w.TokenAlive(token); alive != (r.Code == 0) {
		w.t.Errorf("TokenAlive says %t, the API %d", alive, r.Code)
	}
	return r.Code
}

// granted fails the test unless the answer is a token or ticket, and returns it.
func (w *wechat) granted(r reply) string {
	w.t.Helper()
	if r.Code != 0 || r.Token+r.Ticket == "" {
		w.t.Fatalf("refused: %d %s", r.Code, r.Message)
	}
	return r.Token + r.Ticket
}

package httpapi_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/wxbroker/wxbroker/edge/internal/apitest"
	"github.com/wxbroker/wxbroker/edge/internal/brokertest"
)

func TestPathsAndMethods(t *testing.T) {
	both := "GET, POST"
	tests := []struct {
		method, path string
		status       int
		allow        string
	}{
		{"GET", "/", 404, ""},
		{"GET", "/getapi", 404, ""},
		{"GET", "/getApi/", 404, ""},
		{"POST", "/v1/jsapi/config/", 404, ""},
		{"GET", "//getApi", 404, ""},
		{"GET", "/v1/jsapi", 404, ""},
		{"GET", "/metrics", 404, ""},
		{"GET", "/readyz", 404, ""},
		{"OPTIONS", "*", 404, ""},
		{"GET", "/v1/jsapi/signature", 405, "POST"},
		{"HEAD", "/v1/jsapi/signature", 405, "POST"},
		{"PUT", "/v1/jsapi/signature", 405, "POST"},
		{"PUT", "/v1/jsapi/config", 405, both},
		{"DELETE", "/getApi", 405, both},
		{"PATCH", "/all", 405, both},
		{"OPTIONS", "/getApi", 405, both},
		{"TRACE", "/nonce", 405, both},
		{"DELETE", "/token", 405, both},
		{"GET", "/v1/report", 405, "POST"},
		{"HEAD", "/v1/report", 405, "POST"},
		{"PUT", "/v1/report", 405, "POST"},
		{"get", "/ticket", 405, both},
		{"GET", "/nonce", 200, ""},
		{"POST", "/nonce", 200, ""},
		{"HEAD", "/nonce", 200, ""},
	}
	for _, test := range tests {
		t.Run(test.method+" "+test.path, func(t *testing.T) {
			w := oneShop(t)
			r := httptest.NewRequest(http.MethodGet, "/", nil)
			r.Method, r.URL.Path = test.method, test.path
			a := w.ask(r)
			if a.status != test.status || a.header.Get("Allow") != test.allow {
				t.Errorf("HTTP %d, Allow %q", a.status, a.header.Get("Allow"))
			}
		})
	}
}

// What the metrics count must not grow with what strangers ask for.
func TestMetricsSeeRoutesNotPaths(t *testing.T) {
	tests := []struct{ path, counted string }{
		{"/all", "/all 400"},
		{"/nonce", "/nonce 200"},
		{"/anything", "other 404"},
		{"/v1/anything/else", "other 404"},
		{"/V1/anything/else", "other 404"},
	}
	for _, test := range tests {
		w := oneShop(t)
		w.ask(apitest.Get(test.path, ""))
		if w.answered[0] != test.counted {
			t.Errorf("%s is counted as %q", test.path, w.answered[0])
		}
	}
}

// Over a real connection, HEAD is GET without the body.
func TestHEAD(t *testing.T) {
	w := oneShop(t)
	server := httptest.NewServer(w.api)
	defer server.Close()
	tests := []struct {
		query  string
		status int
	}{{"?" + pairs{"url", page}.form(), 200}, {"?url=/relative", 400}}
	for _, test := range tests {
		response, err := server.Client().Head(server.URL + "/getApi" + test.query)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(response.Body)
		response.Body.Close()
		if err != nil || len(body) != 0 || response.StatusCode != test.status {
			t.Errorf("HEAD %s: HTTP %d, body %q, %v", test.query, response.StatusCode, body, err)
		}
		if response.Header.Get("Cache-Control") != "no-store" || response.Header.Get("Content-Type") != "application/json; charset=utf-8" {
			t.Errorf("HEAD %s: %v", test.query, response.Header)
		}
	}
}

// One path is one route, however it is written; and one of ours is never
// forwarded.
func TestPathsOfWeChats(t *testing.T) {
	tests := []struct{ path, answers string }{
		{"/cgi-bin/token", "/cgi-bin/token 200"},
		{"/cgi-bin/%74oken", "/cgi-bin/token 200"},
		{"/cgi-bin//token", "/cgi-bin/token 200"},
		{"//cgi-bin/token/", "/cgi-bin/token 200"},
		{"/cgi-bin/./token", "/cgi-bin/token 200"},
		{"/x/../cgi-bin/token", "/cgi-bin/token 200"},
		{"/cgi-bin%2Ftoken", "/cgi-bin/token 200"},
		{"/v1/../cgi-bin/token", "/cgi-bin/token 200"},
		{"/cgi-bin/stable_token/.", "/cgi-bin/stable_token 200"},
		{"/cgi-bin/ticket/%67etticket", "/cgi-bin/ticket/getticket 200"},
		{"/cgi-bin/x/../../card/create", "forwarded 200"},
		{"/cgi-bin/Token", "forwarded 200"},
		{"/cgi-bin/message/custom/send", "forwarded 200"},
		{"/cgi-bin/%2574oken", "other 404"}, // an escaped escape
		{"/cgi-bin/tok%00en", "other 404"},
		{"/cgi-bin/tok%0Aen", "other 404"},
		{"/cgi-bin/a%3Fb", "other 404"},
		{"/cgi-bin/..;/token", "other 404"},
		{"/cgi-bin", "other 404"},
		{"/cgi-bin/..", "other 404"},
		{"/cgi-bin/../token", "other 404"},
		{"/cgi-bin/../v1/template/send", "other 404"},
		{"/x/../v1/report", "other 404"},
		{"/v1/media/abc", "/v1/media/{media_id} 401"},
		{"/v1/media/abc/jssdk", "/v1/media/{media_id}/jssdk 401"},
		{"/v1/unknown/path", "other 404"},
		{"/v1//template/send", "other 404"},
		{"/v1/media/a%2Fb", "other 404"},
		{"/CGI-BIN/token", "other 404"},
		{"/.well-known/x", "other 404"},
		{"/9/x", "other 404"},
	}
	for _, test := range tests {
		t.Run(test.path, func(t *testing.T) {
			w := callsWorld(t, &brokertest.Broker{Answer: brokertest.Echo})
			w.call(httptest.NewRequest(http.MethodGet, test.path, nil))
			if w.answered[0] != test.answers {
				t.Errorf("counted as %q", w.answered[0])
			}
		})
	}
}

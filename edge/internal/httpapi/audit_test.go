package httpapi_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/wxbroker/wxbroker/edge/internal/apitest"
	"github.com/wxbroker/wxbroker/edge/internal/audit"
	"github.com/wxbroker/wxbroker/pkg/credential"
	"github.com/wxbroker/wxbroker/pkg/wechatsim"
)

// That there is one entry, with the status and reason of the answer, the world
// checks after every request.
func TestWhatIsAudited(t *testing.T) {
	const report, value = "/v1/report", "value=" + refusedToken
	tests := []struct {
		name, key, path, query, body string
		broker                       error
		want                         audit.Entry // but for what the world checks
	}{
		{"a token", "k", "/token", "appid=" + shop, "", nil, audit.Entry{LocalKey: "billing", AppID: shop, Kind: credential.AccessToken, Status: 200}},
		{"a ticket of the only account that has one", "k", "/ticket", "", "", nil, audit.Entry{LocalKey: "billing", AppID: shop, Kind: credential.JSAPITicket, Status: 200}},
		{"no key", "", "/token", "appid=" + shop, "", nil, audit.Entry{Kind: credential.AccessToken, Status: 401}},
		{"another key", "x", "/ticket", "", "", nil, audit.Entry{Kind: credential.JSAPITicket, Status: 401}},
		{"a request that is none", "k", "/token", "appid=%zz", "", nil, audit.Entry{LocalKey: "billing", Kind: credential.AccessToken, Status: 400}},
		{"which account", "k", "/token", "", "", nil, audit.Entry{LocalKey: "billing", Kind: credential.AccessToken, Status: 400}},
		{"an unknown account", "k", "/token", "appid=wxunknown", "", nil, audit.Entry{LocalKey: "billing", AppID: "wxunknown", Kind: credential.AccessToken, Status: 400}},
		{"what the broker does not grant", "k", "/ticket", "appid=" + pay, "", nil, audit.Entry{LocalKey: "billing", AppID: pay, Kind: credential.JSAPITicket, Status: 403}},

		{"a report", "k", report, "", "kind=access_token&appid=" + pay + "&" + value, nil, audit.Entry{LocalKey: "billing", AppID: pay, Kind: credential.AccessToken, Status: 200}},
		{"a report without a key", "", report, "", "kind=access_token&" + value, nil, audit.Entry{Status: 401}},
		{"a report that is none", "k", report, value, "", nil, audit.Entry{LocalKey: "billing", Status: 400}},
		{"a report of an unknown account", "k", report, "", "kind=jsapi_ticket&appid=wxunknown&" + value, nil, audit.Entry{LocalKey: "billing", AppID: "wxunknown", Kind: credential.JSAPITicket, Status: 400}},
		{"a report of another value", "k", report, "", "kind=jsapi_ticket&" + value, status.Error(codes.NotFound, "no such value"), audit.Entry{LocalKey: "billing", AppID: shop, Kind: credential.JSAPITicket, Status: 404}},
		{"a report that is not granted", "k", report, "", "kind=jsapi_ticket&" + value, status.Error(codes.PermissionDenied, "not granted"), audit.Entry{LocalKey: "billing", AppID: shop, Kind: credential.JSAPITicket, Status: 403}},
		{"too many reports", "k", report, "", "kind=jsapi_ticket&" + value, status.Error(codes.ResourceExhausted, "too many"), audit.Entry{LocalKey: "billing", AppID: shop, Kind: credential.JSAPITicket, Status: 429}},
		{"no broker", "k", report, "", "kind=jsapi_ticket&" + value, status.Error(codes.Unavailable, "away"), audit.Entry{LocalKey: "billing", AppID: shop, Kind: credential.JSAPITicket, Status: 503}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t, wechatsim.Settings{})
			w.setBroker(&reported{err: test.broker})
			w.state.Apply([]credential.Account{w.account(shop), w.account(pay).Only([]credential.Kind{credential.AccessToken})})
			r := apitest.Get(test.path, test.query)
			if test.path == report {
				r = apitest.Post(test.path, apitest.FormType, test.body)
				r.URL.RawQuery = test.query
			}
			r.RemoteAddr = "192.0.2.7:4711"
			if test.key != "" {
				r.Header.Set("Authorization", "Bearer "+test.key)
			}
			w.ask(r)
			got := w.audited[0]
			test.want.Action, test.want.Address, test.want.Reason = got.Action, r.RemoteAddr, got.Reason
			if got != test.want {
				t.Errorf("audited as %+v, want %+v", got, test.want)
			}
			if said := fmt.Sprint(got); strings.Contains(said, refusedToken) || strings.Contains(said, refusedHash) {
				t.Errorf("a value is in the audit: %s", said)
			}
		})
	}
}

// There are too many, and they are worth nothing elsewhere.
func TestSignaturesAreNotAudited(t *testing.T) {
	w := oneShop(t)
	w.setKeys("k")
	for _, path := range append([]string{"/nonce"}, signs...) {
		r := apitest.Post(path, apitest.FormType, pairs{"url", page}.form())
		r.Header.Set("Authorization", "Bearer k")
		if a := w.ask(r); a.status != http.StatusOK || len(w.audited) > 0 {
			t.Errorf("%s: HTTP %d, audited as %v", path, a.status, w.audited)
		}
	}
}

package httpapi_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/wxbroker/wxbroker/edge/internal/apitest"
	"github.com/wxbroker/wxbroker/edge/internal/broker"
	"github.com/wxbroker/wxbroker/edge/internal/brokertest"
	"github.com/wxbroker/wxbroker/pkg/credential"
	"github.com/wxbroker/wxbroker/pkg/wechatsim"
	wxbrokerv1 "github.com/wxbroker/wxbroker/proto/wxbroker/v1"
)

// refusedToken is what the tests report, and refusedHash its name.
const refusedToken = "57_abcdefghijklmnopqrstuvwxyz-0123456789_ABCDEF"

var (
	refusedSum  = sha256.Sum256([]byte(refusedToken))
	refusedHash = hex.EncodeToString(refusedSum[:])
)

// reported is a broker that takes reports, what it heard and what it says.
type reported struct {
	brokertest.Broker
	reports  []broker.Report
	versions credential.Versions
	err      error
}

// setBroker gives the API a broker and the key k, of the name billing.
func (w *world) setBroker(r *reported) {
	w.t.Helper()
	w.setKeys("billing k")
	r.Report = func(_ context.Context, in *wxbrokerv1.ReportInvalidRequest) (credential.Versions, error) {
		kind, _ := credential.KindFromWire(in.GetKind())
		r.reports = append(r.reports, broker.Report{AppID: in.GetAppid(), Kind: kind, Hash: [sha256.Size]byte(in.GetValueSha256())})
		return r.versions, r.err
	}
	w.api.Broker = r.Client(w.t)
}

// report sends a report with the key k. Whatever the answer, it has neither
// value nor hash.
func (w *world) report(query, contentType, body string) answer {
	w.t.Helper()
	r := apitest.Post("/v1/report", contentType, body)
	r.URL.RawQuery = query
	r.Header.Set("Authorization", "Bearer k")
	a := w.ask(r)
	said := strings.ToLower(a.raw + fmt.Sprint(a.header))
	if strings.Contains(said, strings.ToLower(refusedToken[:8])) || strings.Contains(said, refusedHash[:8]) {
		w.t.Errorf("what was reported is in the answer %s", a.raw)
	}
	return a
}

func TestReport(t *testing.T) {
	w := oneShop(t)
	b := &reported{versions: credential.Versions{Reported: 1757000000000, Current: 1757000000000}}
	w.setBroker(b)
	token := broker.Report{AppID: shop, Kind: credential.AccessToken, Hash: refusedSum}
	card := token
	card.Kind = credential.WXCardTicket
	tests := []struct {
		name, query, contentType, body string
		want                           broker.Report
	}{
		{"value in JSON", "", apitest.JSONType, pairs{"kind", "access_token", "value", refusedToken}.json(), token},
		{"value in a form", "", apitest.FormType, pairs{"kind", "access_token", "value", refusedToken}.form(), token},
		{"hash in JSON", "", apitest.JSONType, pairs{"kind", "access_token", "sha256", refusedHash}.json(), token},
		{"hash in a form", "", apitest.FormType, pairs{"kind", "access_token", "sha256", refusedHash}.form(), token},
		{"hash in capitals", "", apitest.FormType, pairs{"kind", "access_token", "sha256", strings.ToUpper(refusedHash)}.form(), token},
		{"hash in the query", pairs{"kind", "access_token", "sha256", refusedHash}.form(), "", "", token},
		{"value in the body, the rest in the query", "kind=access_token&appid=" + shop, apitest.FormType, "value=" + refusedToken, token},
		{"account by name", "", apitest.JSONType, pairs{"appid", shop, "kind", "access_token", "value", refusedToken}.json(), token},
		{"account without a name", "", apitest.JSONType, pairs{"appid", "", "kind", "access_token", "value", refusedToken}.json(), token},
		{"kind that the edge does not hold", "", apitest.JSONType, pairs{"appid", shop, "kind", "wx_card_ticket", "value", refusedToken}.json(), card},
		{"null for what is absent", "", apitest.JSONType, `{"kind":"access_token","appid":null,"sha256":null,"value":"` + refusedToken + `"}`, token},
		{"what is not ours", "_=1", apitest.FormType, "url=https://a/b?x=1&y=2&kind=access_token&value=" + refusedToken, token},
		{"4 KiB", "", apitest.FormType, "kind=access_token&value=" + strings.Repeat("a", 4<<10), broker.Report{
			AppID: shop, Kind: credential.AccessToken, Hash: sha256.Sum256([]byte(strings.Repeat("a", 4<<10))),
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			w.t = t
			b.reports = nil
			a := w.report(test.query, test.contentType, test.body)
			if a.status != http.StatusOK || a.raw != `{"reported_version":1757000000000,"current_version":1757000000000}` {
				t.Errorf("HTTP %d: %q", a.status, a.raw)
			}
			if len(b.reports) != 1 || b.reports[0] != test.want || b.Keys()[len(b.Keys())-1] != "billing" {
				t.Errorf("%q reported %v", b.Keys(), b.reports)
			}
			if w.answered[0] != "/v1/report 200" {
				t.Errorf("counted as %q", w.answered)
			}
		})
	}
}

func TestReportIsLocked(t *testing.T) {
	tests := []struct {
		name, keys, authorization string
		status                    int
		says                      string
	}{
		{"no keys", "", "Bearer k", 403, "--local-key-file"},
		{"nothing presented", "billing k", "", 401, "Bearer KEY"},
		{"a wrong key", "billing k", "Bearer l", 401, "Bearer KEY"},
		{"a key under another scheme", "billing k", "Basic k", 401, "Bearer KEY"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			w := oneShop(t)
			if test.keys != "" {
				b := new(reported)
				w.setBroker(b)
				defer func() {
					if len(b.reports) > 0 {
						t.Error("reported all the same")
					}
				}()
			}
			// Whoever has no key does not learn what else was wrong.
			for _, body := range []string{"", "kind=access_token&value=" + refusedToken, "%zz"} {
				r := apitest.Post("/v1/report", apitest.FormType, body)
				if test.authorization != "" {
					r.Header.Set("Authorization", test.authorization)
				}
				a := w.ask(r)
				refused(t, a, test.status, test.says)
				if !strings.Contains(a.text("errmsg"), "calls WeChat") {
					t.Errorf("errmsg %q does not say what the key is for", a.text("errmsg"))
				}
				if got := a.header.Get("WWW-Authenticate"); (got == "Bearer") != (a.status == http.StatusUnauthorized) {
					t.Errorf("HTTP %d with WWW-Authenticate %q", a.status, got)
				}
			}
		})
	}
}

func TestReportsThatAreRefused(t *testing.T) {
	const tokenOf = "kind=access_token&"
	both := tokenOf + "value=" + refusedToken + "&sha256=" + refusedHash
	tests := []struct {
		name, query, contentType, body string
		status                         int
		says                           string
	}{
		{"nothing", "", "", "", 400, "kind has to be access_token, jsapi_ticket or wx_card_ticket"},
		{"no kind", "", apitest.FormType, "value=" + refusedToken, 400, "kind has to be access_token"},
		{"empty kind", "", apitest.FormType, "kind=&value=" + refusedToken, 400, "kind has to be access_token"},
		{"the value as the kind", "", apitest.FormType, "kind=" + refusedToken, 400, "kind has to be access_token"},
		{"kind in capitals", "", apitest.FormType, "kind=ACCESS_TOKEN&value=" + refusedToken, 400, "kind has to be access_token"},
		{"kind twice", "kind=access_token", apitest.FormType, both, 400, "kind is given 2 times"},
		{"kind that is a number", "", apitest.JSONType, `{"kind":1,"value":"` + refusedToken + `"}`, 400, "kind has a type"},
		{"neither", "", apitest.FormType, tokenOf, 400, "either value"},
		{"neither but null", "", apitest.JSONType, `{"kind":"access_token","value":null}`, 400, "either value"},
		{"both", "", apitest.FormType, both, 400, "either value"},
		{"both, one is empty", "", apitest.FormType, tokenOf + "value=&sha256=" + refusedHash, 400, "either value"},
		{"value in the query", tokenOf + "value=" + refusedToken, "", "", 400, "value is in the query string, which ends up in logs"},
		{"value in the query under an escape", tokenOf + "%76alue=" + refusedToken, "", "", 400, "value is in the query string"},
		{"value in the query, empty", tokenOf + "value", apitest.FormType, "sha256=" + refusedHash, 400, "value is in the query string"},
		{"value in query and body", "value=" + refusedToken, apitest.FormType, tokenOf + "value=" + refusedToken, 400, "value is in the query string"},
		{"value twice", "", apitest.FormType, tokenOf + "value=" + refusedToken + "&value=" + refusedToken, 400, "value is given 2 times"},
		{"value twice in JSON", "", apitest.JSONType, `{"value":"` + refusedToken + `","value":"` + refusedToken + `"}`, 400, "value is given twice"},
		{"value that is a list", "", apitest.JSONType, `{"kind":"access_token","value":["` + refusedToken + `"]}`, 400, "value has a type"},
		{"value that is a number", "", apitest.JSONType, `{"kind":"access_token","value":57}`, 400, "value has a type"},
		{"empty value", "", apitest.FormType, tokenOf + "value=", 400, "value is empty"},
		{"value with a line feed", "", apitest.FormType, tokenOf + "value=" + refusedToken + "%0A", 400, "no credential has"},
		{"value with a space", "", apitest.FormType, tokenOf + "value=" + refusedToken + "+a", 400, "no credential has"},
		{"value beyond ASCII", "", apitest.JSONType, `{"kind":"access_token","value":"` + refusedToken + `é"}`, 400, "no credential has"},
		{"value of more than 4 KiB", "", apitest.FormType, tokenOf + "value=" + strings.Repeat(refusedToken, 90), 400, "more than 4096 bytes"},
		{"hash twice", "sha256=" + refusedHash, apitest.FormType, tokenOf + "sha256=" + refusedHash, 400, "sha256 is given 2 times"},
		{"empty hash", "", apitest.FormType, tokenOf + "sha256=", 400, "64 hexadecimal digits"},
		{"hash that is short", "", apitest.FormType, tokenOf + "sha256=" + refusedHash[2:], 400, "64 hexadecimal digits"},
		{"hash that is long", "", apitest.FormType, tokenOf + "sha256=" + refusedHash + "00", 400, "64 hexadecimal digits"},
		{"hash with another letter", "", apitest.FormType, tokenOf + "sha256=" + refusedHash[1:] + "g", 400, "64 hexadecimal digits"},
		{"hash in base64", "", apitest.FormType, tokenOf + "sha256=47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=", 400, "64 hexadecimal digits"},
		{"the value as the hash", "", apitest.FormType, tokenOf + "sha256=" + refusedToken, 400, "64 hexadecimal digits"},
		{"the value as the appid", "", apitest.FormType, tokenOf + "appid=" + refusedToken + refusedToken + "&sha256=" + refusedHash, 400, "appid is not one"},
		{"an unknown account", "", apitest.FormType, tokenOf + "appid=" + pay + "&sha256=" + refusedHash, 400, pay},
		{"broken escape", "", apitest.FormType, tokenOf + "value=" + refusedToken + "%z", 400, "escape"},
		{"JSON that is cut off", "", apitest.JSONType, `{"kind":"access_token","value":"` + refusedToken, 400, "not a JSON object"},
		{"another content type", "", "text/plain", refusedToken, 415, "neither"},
		{"no content type", "", "", refusedToken, 415, "content type"},
		{"more than 64 KiB", "", apitest.FormType, both + "&padding=" + strings.Repeat("x", 64<<10), 413, "65536"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			w := oneShop(t)
			b := new(reported)
			w.setBroker(b)
			a := w.report(test.query, test.contentType, test.body)
			refused(t, a, test.status, test.says)
			if len(b.reports) > 0 || len(a.raw) > 512 {
				t.Errorf("%d reports, an answer of %d bytes", len(b.reports), len(a.raw))
			}
		})
	}
}

// The names of a report mean nothing to a page's path: after a url that was
// not escaped they are that URL's own.
func TestNamesOfAReportAreNotAPages(t *testing.T) {
	for _, name := range []string{"kind", "value", "sha256"} {
		w := oneShop(t)
		refused(t, w.ask(apitest.Get("/getApi", "url=https://shop.example.com/b?x=1&"+name+"=2")), http.StatusBadRequest, "encodeURIComponent")
		w.accept(w.ask(apitest.Get("/getApi", name+"=1&"+name+"=2&"+pairs{"url", page}.form())))
	}
}

func TestWhatTheBrokerSaysOfAReport(t *testing.T) {
	tests := []struct {
		name       string
		err        error
		status     int
		says       string
		retryAfter string
	}{
		{"unknown value", status.Error(codes.NotFound, "report: no such value"), 404, "report: no such value", ""},
		{"unknown value, without words", status.Error(codes.NotFound, ""), 404, "the broker answers NotFound", ""},
		{"too often", status.Error(codes.ResourceExhausted, "more than 20 reports"), 429, "more than 20 reports", "1"},
		{"not a report", status.Error(codes.InvalidArgument, "report: the kind"), 400, "report: the kind", ""},
		{"not granted", status.Error(codes.PermissionDenied, "the app web has not been granted report"), 403, "the broker refuses this edge's report: the app web has not been granted report", ""},
		{"away", status.Error(codes.Unavailable, "connection refused"), 503, "the broker cannot be asked: connection refused", "5"},
		{"late", status.FromContextError(context.DeadlineExceeded).Err(), 503, "the broker cannot be asked: context deadline exceeded", "5"},
		{"older than reports", status.Error(codes.Unimplemented, "unknown method"), 503, "unknown method", "5"},
		{"closed", status.Error(codes.Canceled, "the connection is closing"), 503, "closing", "5"},
		{"no status at all", errors.New("something else"), 503, "something else", "5"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			w := oneShop(t)
			w.setBroker(&reported{err: test.err, versions: credential.Versions{Reported: 1, Current: 2}})
			a := w.report("", apitest.FormType, "kind=access_token&value="+refusedToken)
			refused(t, a, test.status, test.says)
			if got := a.header.Get("Retry-After"); got != test.retryAfter {
				t.Errorf("Retry-After %q, want %q", got, test.retryAfter)
			}
		})
	}
}

// The account is chosen as for /token.
func TestReportChoosesTheAccount(t *testing.T) {
	w := newWorld(t, wechatsim.Settings{})
	b := new(reported)
	w.setBroker(b)
	const body = "kind=access_token&value=" + refusedToken
	refused(t, w.report("", apitest.FormType, body), http.StatusServiceUnavailable, "has not sent any account")
	w.state.Apply([]credential.Account{w.account(shop), w.account(pay)})
	refused(t, w.report("", apitest.FormType, body), http.StatusBadRequest, "say which one with appid")
	if a := w.report("appid="+pay, apitest.FormType, body); a.status != http.StatusOK || len(b.reports) != 1 || b.reports[0].AppID != pay {
		t.Errorf("HTTP %d, reported %v", a.status, b.reports)
	}
	// The only one that has such a credential, if it has none just now.
	starting := w.account(shop)
	starting.Credentials = nil
	w.state.Apply([]credential.Account{starting, w.account(pay).Only([]credential.Kind{credential.JSAPITicket})})
	if a := w.report("", apitest.FormType, body); a.status != http.StatusOK || len(b.reports) != 2 || b.reports[1].AppID != shop {
		t.Errorf("HTTP %d, reported %v", a.status, b.reports)
	}
}

// An answer that tells of a newer value comes once this edge holds it, or two
// seconds later.
func TestReportWaitsForTheNewValue(t *testing.T) {
	const held = 1000
	tests := []struct {
		name              string
		kind              credential.Kind
		reported, current int64
		comes             time.Duration // version held+1, 0 for never
		leaves            time.Duration // the caller, 0 for never
		waits             time.Duration
	}{
		{"nothing newer", credential.AccessToken, held, held, 0, 0, 0},
		{"none that WeChat honours", credential.AccessToken, held, 0, 0, 0, 0},
		{"the newest, which has not come here", credential.AccessToken, held + 1, held + 1, 0, 0, 0},
		{"a newer one that is held", credential.AccessToken, held - 1, held, 0, 0, 0},
		{"a newer one that comes", credential.AccessToken, held, held + 1, 1500 * time.Millisecond, 0, 1500 * time.Millisecond},
		{"a newer one that comes too late", credential.AccessToken, held, held + 1, 3 * time.Second, 0, 2 * time.Second},
		{"a newer one that never comes", credential.AccessToken, held, held + 1, 0, 0, 2 * time.Second},
		{"a newer one of a kind that the edge does not get", credential.WXCardTicket, held, held + 1, 0, 0, 0},
		{"the caller leaves", credential.AccessToken, held, held + 1, 0, time.Second, time.Second},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, wechatsim.Settings{})
				w.setBroker(&reported{versions: credential.Versions{Reported: test.reported, Current: test.current}})
				state := func(version int64) []credential.Account {
					account := w.account(shop)
					account.Credentials[0].Version = version
					return []credential.Account{account}
				}
				w.state.Apply(state(held))
				if test.comes > 0 {
					next := state(held + 1)
					defer time.AfterFunc(test.comes, func() { w.state.Apply(next) }).Stop()
				}
				ctx := t.Context()
				if test.leaves > 0 {
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeout(ctx, test.leaves)
					defer cancel()
				}
				r := apitest.Post("/v1/report", apitest.FormType, "appid="+shop+"&kind="+string(test.kind)+"&value="+refusedToken).WithContext(ctx)
				r.Header.Set("Authorization", "Bearer k")
				began := time.Now()
				a := w.ask(r)
				if waited := time.Since(began); waited != test.waits {
					t.Errorf("waited %v, want %v", waited, test.waits)
				}
				want := fmt.Sprintf(`{"reported_version":%d,"current_version":%d}`, test.reported, test.current)
				if a.status != http.StatusOK || strings.TrimSpace(a.raw) != want {
					t.Errorf("HTTP %d: %s", a.status, a.raw)
				}
			})
		})
	}
}

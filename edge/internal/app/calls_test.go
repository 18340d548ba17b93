package app

import (
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/wxbroker/wxbroker/edge/internal/brokertest"
	"github.com/wxbroker/wxbroker/pkg/wxapi"
	wxbrokerv1 "github.com/wxbroker/wxbroker/proto/wxbroker/v1"
)

// aliasKey is the key for aliases that the broker gives to the edges of the app.
var aliasKey = []byte(strings.Repeat("a", 32))

// answer answers any call with what it was, once it is whole. A message and a file
// take longer than the server's own timeouts, the file from its first piece on.
func (b *fakeBroker) answer(head *wxbrokerv1.CallHead, stream brokertest.Stream) error {
	b.noteCaller(stream.Context())
	if _, err := brokertest.Body(stream); err != nil {
		return err
	}
	pieces := []string{head.GetMethod() + " " + head.GetPath() + "?" + head.GetQuery() + " for " + head.GetAppid()}
	between := time.Duration(0)
	switch head.GetPath() {
	case wxapi.PathTemplate:
		<-time.After(25 * time.Second)
		pieces[0] = `{"errcode":0,"errmsg":"ok","msgid":7}`
	case wxapi.PathMedia:
		<-time.After(40 * time.Second)
		pieces, between = slices.Repeat([]string{"piece "}, 6), 10*time.Second
	}
	if err := brokertest.SendHead(stream, http.StatusOK, -1); err != nil {
		return err
	}
	for _, piece := range pieces {
		<-time.After(between)
		if err := brokertest.SendPiece(stream, piece); err != nil {
			return err
		}
	}
	return nil
}

// callsOnly returns an account for which only calls are granted.
func callsOnly(appid string) *wxbrokerv1.Account {
	return &wxbrokerv1.Account{Appid: appid, Policy: new(wxbrokerv1.AccountPolicy), AliasKey: aliasKey, Calls: []wxbrokerv1.CallGrant{
		wxbrokerv1.CallGrant_CALL_GRANT_CALL, wxbrokerv1.CallGrant_CALL_GRANT_MEDIA, wxbrokerv1.CallGrant_CALL_GRANT_TEMPLATE,
	}}
}

// An SDK asks an edge whose app has no grant but calls for a token, and gets an alias.
// The alias lets it in at every edge of the app, also after restarts. At an edge of
// another app it does not.
func TestAliasAcrossEdges(t *testing.T) {
	inBubble(t, func(t *testing.T, b *fakeBroker) {
		one := startEdge(t, b, "billing k")
		b.say(callsOnly(shop))
		one.ready(http.StatusOK, "ready")
		_, body := one.get(one.api, "/cgi-bin/token?grant_type=client_credential&secret=k&appid="+shop, "")
		token := strings.Split(body, `"`)[3]
		if !strings.HasPrefix(token, "wxb_") {
			t.Fatalf("the token is %s", body)
		}
		ask := func(e *runningEdge) string {
			_, answer := e.get(e.api, "/cgi-bin/user/get?next_openid=&access_token="+url.QueryEscape(token), "")
			return answer
		}
		const want = "GET /cgi-bin/user/get?next_openid= for " + shop
		if got := ask(one); got != want || b.called().localKey != "billing" {
			t.Errorf("answered %q, for %q", got, b.called().localKey)
		}
		one.stop()
		if err := <-one.done; err != nil {
			t.Error(err)
		}
		one.done <- nil

		two := startEdge(t, b, "another-key x")
		if got := ask(two); !strings.Contains(got, `"errcode":40001`) {
			t.Errorf("before the broker is heard: %q", got)
		}
		b.say(callsOnly(shop))
		if got := ask(two); got != want || b.called().localKey != "billing" {
			t.Errorf("answered %q, for %q", got, b.called().localKey)
		}
		ofAnotherApp := callsOnly(shop)
		ofAnotherApp.AliasKey = []byte(strings.Repeat("b", 32))
		b.say(ofAnotherApp)
		if got := ask(two); !strings.Contains(got, `"errcode":40001`) {
			t.Errorf("with another app's key: %q", got)
		}
		b.say(callsOnly(shop))
		<-time.After(2 * time.Hour)
		if got := ask(two); !strings.Contains(got, `"errcode":40001`) {
			t.Errorf("two hours later: %q", got)
		}
		_, metrics := two.get(two.ops, "/metrics", "")
		for _, line := range []string{
			`wxedge_http_requests_total{route="forwarded",status="200"} 4`,
			`wxedge_audit_total{action="call",local_key="billing",outcome="granted"} 1`,
			`wxedge_audit_total{action="call",local_key="",outcome="refused"} 3`,
		} {
			if !strings.Contains(metrics, line+"\n") {
				t.Errorf("the metrics do not say %s", line)
			}
		}
		for _, e := range []*runningEdge{one, two} {
			if strings.Contains(e.log.String(), token) {
				t.Error("an alias is in the log")
			}
		}
		if !strings.Contains(one.log.String(), "local_key=billing action=call outcome=granted appid="+shop+` kind="" status=200 address=bufconn path=/cgi-bin/user/get`) {
			t.Errorf("the log is %s", one.log)
		}
	})
}

// On the program's real listener a transfer may take its time, in both directions.
func TestSlowTransfersThroughTheListener(t *testing.T) {
	inBubble(t, func(t *testing.T, b *fakeBroker) {
		e := startEdge(t, b, "k")
		b.say(callsOnly(shop))
		if status, body := e.get(e.api, "/v1/media/abc", "Bearer k"); status != http.StatusOK || body != strings.Repeat("piece ", 6) {
			t.Errorf("HTTP %d: %q", status, body)
		}
		message, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://edge/v1/template/send", strings.NewReader("{}"))
		if err != nil {
			t.Fatal(err)
		}
		message.Header = http.Header{"Authorization": {"Bearer k"}, "Content-Type": {"application/json"}}
		if status, body := e.send(e.api, message); status != http.StatusOK || body != `{"msgid":"7"}` {
			t.Errorf("HTTP %d: %q", status, body)
		}
		body, send := io.Pipe()
		go func() {
			for range 6 {
				<-time.After(10 * time.Second)
				_, _ = io.WriteString(send, strings.Repeat("a", 30_000))
			}
			_ = send.Close()
		}()
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://edge/cgi-bin/media/upload", body)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer k")
		if status, answer := e.send(e.api, r); status != http.StatusOK || !strings.HasPrefix(answer, "POST /cgi-bin/media/upload") {
			t.Errorf("HTTP %d: %q", status, answer)
		}
	})
}

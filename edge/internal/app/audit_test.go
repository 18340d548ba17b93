package app

import (
	"net/http"
	"strings"
	"testing"

	"github.com/wxbroker/wxbroker/pkg/credential"
)

// What is handed out for a local key, or refused, is in the log and in the metrics, by
// the key's name. Signatures are not.
func TestAudit(t *testing.T) {
	inBubble(t, func(t *testing.T, b *fakeBroker) {
		e := startEdge(t, b, "billing k")
		account := b.account(shop)
		b.say(account)
		b.reported.Store(&reportAnswer{versions: credential.Versions{Reported: 1, Current: 1}})
		e.signsWith("", 1)
		for _, key := range []string{"k", "wrong"} {
			for _, path := range []string{"/token", "/ticket"} {
				e.get(e.api, path, "Bearer "+key)
			}
		}
		token := account.GetCredentials()[0].GetValue()
		if code, body := e.report(token); code != http.StatusOK {
			t.Errorf("HTTP %d: %s", code, body)
		}
		if got := b.called().localKey; got != "billing" {
			t.Errorf("the broker heard the local key %q", got)
		}

		var lines []string
		for line := range strings.Lines(e.log.String()) {
			if strings.Contains(line, "msg=audit ") {
				lines = append(lines, line)
			}
		}
		want := []string{
			`local_key=billing action=token outcome=granted appid=` + shop + ` kind=access_token status=200 address=bufconn`,
			`local_key=billing action=ticket outcome=granted appid=` + shop + ` kind=jsapi_ticket status=200 address=bufconn`,
			`local_key="" action=token outcome=refused appid="" kind=access_token status=401 address=bufconn reason=`,
			`local_key="" action=ticket outcome=refused appid="" kind=jsapi_ticket status=401 address=bufconn reason=`,
			`local_key=billing action=report outcome=granted appid=` + shop + ` kind=access_token status=200 address=bufconn`,
		}
		if len(lines) != len(want) {
			t.Fatalf("logged %q", lines)
		}
		_, metrics := e.get(e.ops, "/metrics", "")
		for i, says := range want {
			if !strings.Contains(lines[i], says) {
				t.Errorf("logged %s, want %s", lines[i], says)
			}
		}
		for _, line := range []string{
			`wxedge_audit_total{action="token",local_key="billing",outcome="granted"} 1`,
			`wxedge_audit_total{action="ticket",local_key="",outcome="refused"} 1`,
			`wxedge_audit_total{action="report",local_key="billing",outcome="granted"} 1`,
		} {
			if !strings.Contains(metrics, line+"\n") {
				t.Errorf("the metrics do not say %s", line)
			}
		}
		if log := e.log.String(); strings.Contains(log, "wrong") || strings.Contains(log, token) {
			t.Errorf("a key or a token is in the log:\n%s", log)
		}
	})
}

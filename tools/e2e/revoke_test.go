package e2e

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/wxbroker/wxbroker/pkg/wechatsim"
)

// revocation is how long something may still be served after it was revoked.
const revocation = 5 * time.Second

// becomes asks the edge until it answers with that status, for as long as a revocation may
// take.
func (o *organisation) becomes(t *testing.T, want int, path, key string) (answer string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), revocation)
	defer cancel()
	var status int
	var err error
	if !until(ctx, func() bool {
		status, answer, err = o.ask(ctx, http.MethodGet, path, key, "")
		return err == nil && status == want
	}) {
		t.Errorf("%s still answers %d after %v, want %d: %s", path, status, revocation, want, answer)
	}
	return answer
}

// reload changes the broker's configuration and tells the broker.
func (o *organisation) reload(t *testing.T, change func(string) string) {
	t.Helper()
	text, err := os.ReadFile(o.path("wxbroker.yaml"))
	must(t, err)
	must(t, os.WriteFile(o.path("wxbroker.yaml"), []byte(change(string(text))), 0o600))
	must(t, o.broker.command.Process.Signal(syscall.SIGHUP))
	o.broker.says(t, `msg="the configuration has changed"`)
}

// honoured reports whether WeChat accepts a token.
func (o *organisation) honoured(token string) bool {
	recorder := httptest.NewRecorder()
	o.sim.ServeHTTP(recorder, httptest.NewRequest(http.MethodGet, "/cgi-bin/get_api_domain_ip?access_token="+token, nil))
	return !strings.Contains(recorder.Body.String(), "errcode")
}

// TestRevoked: an app loses its grants one by one, on its open stream, and the edge drops
// what was granted. A copy that somebody has kept is good until it is forced out.
func TestRevoked(t *testing.T) {
	o := startOrganisation(t, wechatsim.Settings{}, 100)
	app := regexp.MustCompile(`(?m)^  - \{name: web, .*\n`)
	const both, signOnly = "grants: [sign, token, report, template, media, oauth, call]", "grants: [sign]"
	answer := o.becomes(t, http.StatusOK, "/token", billingKey)
	kept := regexp.MustCompile(`"token":"([^"]+)"`).FindStringSubmatch(answer)[1]
	o.becomes(t, http.StatusOK, signPath, "")

	o.reload(t, func(s string) string { return strings.Replace(s, both, signOnly, 1) })
	o.becomes(t, http.StatusForbidden, "/token", billingKey)
	o.becomes(t, http.StatusOK, signPath, "")
	o.becomes(t, http.StatusOK, "/ticket", billingKey)

	var line string
	o.reload(t, func(s string) string {
		line = app.FindString(s)
		return app.ReplaceAllString(s, "")
	})
	o.becomes(t, http.StatusServiceUnavailable, signPath, "")
	o.becomes(t, http.StatusServiceUnavailable, "/ticket", billingKey)
	o.edge.says(t, "the broker refuses this edge, dropping every credential")
	if status, page, err := get(t.Context(), "http://"+o.edgeOps+"/readyz"); err != nil || status != http.StatusServiceUnavailable {
		t.Errorf("the edge is ready: %s, %v", page, err)
	}

	if !o.honoured(kept) {
		t.Fatal("WeChat knows of our revocations")
	}
	if said := o.operate(t, "refresh", "--force", "--yes"); !strings.Contains(said, "access_token") {
		t.Errorf("forcing the token out: %s", said)
	}
	if o.honoured(kept) {
		t.Error("WeChat still takes the token that was forced out")
	}

	// And back, without telling the broker.
	text, err := os.ReadFile(o.path("wxbroker.yaml"))
	must(t, err)
	must(t, os.WriteFile(o.path("wxbroker.yaml"), []byte(string(text)+strings.Replace(line, signOnly, both, 1)), 0o600))
	o.broker.says(t, `msg="the configuration has changed"`)
	o.edge.says(t, `holding .*kind=jsapi_ticket`)
	if again := o.becomes(t, http.StatusOK, "/token", billingKey); strings.Contains(again, kept) {
		t.Error("the edge hands out the old token")
	}
}

// TestRemovedWhileWeChatIsAsked: an account is removed, and a grant with it, while a call
// for that account is under way. Both end at once, and what the call brings goes to
// nobody.
func TestRemovedWhileWeChatIsAsked(t *testing.T) {
	const other, otherTicket = "wxfedcba9876543210", "/ticket?appid=wxfedcba9876543210"
	const all, signOnly = "grants: [sign, token, report, template, media, oauth, call]", "grants: [sign]"
	o := startOrganisation(t, wechatsim.Settings{}, 100)
	o.sim.AddAccount(wechatsim.Account{AppID: other, Secret: secret})
	line := fmt.Sprintf("  - {appid: %s, secret_file: %q}\n", other, o.path("appsecret"))
	o.reload(t, func(s string) string {
		s = strings.Replace(s, "apps:\n", line+"apps:\n", 1)
		return strings.Replace(s, "accounts: ["+appid+"], grants", `accounts: ["*"], grants`, 1)
	})
	o.becomes(t, http.StatusOK, "/token?appid="+appid, billingKey)
	o.becomes(t, http.StatusOK, otherTicket, billingKey)

	must(t, o.sim.KillTicket(other, wechatsim.JSAPI))
	issued := len(o.sim.Issued(other))
	held := o.hold(wechatsim.PathTicket)
	refreshed := make(chan string, 1)
	go func() { refreshed <- o.operate(t, "refresh", "--appid", other) }()
	select {
	case <-held.came:
	case said := <-refreshed:
		t.Fatalf("WeChat is not asked: %s", said)
	}
	text, err := os.ReadFile(o.path("wxbroker.yaml"))
	must(t, err)
	less := strings.Replace(strings.Replace(string(text), line, "", 1), all, signOnly, 1)
	must(t, os.WriteFile(o.path("wxbroker.yaml"), []byte(less), 0o600))
	must(t, o.broker.command.Process.Signal(syscall.SIGHUP))
	o.becomes(t, http.StatusForbidden, "/token?appid="+appid, billingKey)
	o.becomes(t, http.StatusBadRequest, otherTicket, billingKey)
	if held.left.Load() {
		t.Error("what was revoked ended only after the call to WeChat")
	}

	close(held.release)
	o.broker.says(t, `msg="the configuration has changed"`)
	<-refreshed
	if len(o.sim.Issued(other)) == issued {
		t.Fatal("WeChat has handed out no new ticket, so this shows nothing")
	}
	// What is published later reaches the edge, so that ticket would have reached it too.
	o.reload(t, func(s string) string {
		return strings.Replace(s, "sign_hosts: [shop.example.com]", "sign_hosts: [other.example.com]", 1)
	})
	o.becomes(t, http.StatusForbidden, signPath, "")
	if status, answer, err := o.ask(t.Context(), http.MethodGet, otherTicket, billingKey, ""); err != nil || status != http.StatusBadRequest {
		t.Errorf("the ticket of an account that was removed: HTTP %d, %s, %v", status, answer, err)
	}
}

package e2e

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/wxbroker/wxbroker/pkg/wechatsim"
)

// forms returns the forms in which a secret may be visible.
func forms(secret string) map[string]string {
	all := map[string]string{
		"as it is":           secret,
		"in hex":             hex.EncodeToString([]byte(secret)),
		"in capital hex":     strings.ToUpper(hex.EncodeToString([]byte(secret))),
		"escaped, query":     url.QueryEscape(secret),
		"escaped, path":      url.PathEscape(secret),
		"quoted by Go":       strings.Trim(fmt.Sprintf("%q", secret), `"`),
		"as a list of bytes": strings.Trim(fmt.Sprintf("%d", []byte(secret)), "[]"),
	}
	if quoted, err := json.Marshal(secret); err == nil {
		all["quoted by JSON"] = strings.Trim(string(quoted), `"`)
	}
	// Inside a longer text, base64 of the secret can begin at one of three offsets.
	for i, encoding := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
		for offset := range 3 {
			encoded := encoding.EncodeToString([]byte(strings.Repeat("\x00", offset) + secret))
			from, to := (offset*8+5)/6, len(encoded)-1 // without the characters that its neighbours have a say in
			all[fmt.Sprintf("in base64, %d, at %d", i, offset)] = encoded[from:to]
		}
	}
	return all
}

// leaks returns where secrets are visible in the outputs of a run.
func leaks(secrets, outputs map[string]string) []string {
	var found []string
	for what, secret := range secrets {
		for form, text := range forms(secret) {
			for where, output := range outputs {
				if strings.Contains(output, text) {
					found = append(found, fmt.Sprintf("%s, %s, is in %s", what, form, where))
				}
			}
		}
	}
	return found
}

// TestTheSearchFindsWhatIsThere: each form of a secret is planted on purpose and found.
func TestTheSearchFindsWhatIsThere(t *testing.T) {
	secret := "a+b/c=d~\x01é\x00\"ee'f g0123456789"
	for form := range forms(secret) {
		planted := `{"before":"` + forms(secret)[form] + `"}`
		if len(leaks(map[string]string{"it": secret}, map[string]string{"there": planted})) == 0 {
			t.Errorf("%s: %s is not found", form, planted)
		}
	}
	for offset := range 4 {
		planted := base64.StdEncoding.EncodeToString([]byte(strings.Repeat("x", offset) + secret + "yz"))
		if len(leaks(map[string]string{"it": secret}, map[string]string{"there": planted})) == 0 {
			t.Errorf("in the middle of base64, at %d: not found", offset)
		}
	}
	if found := leaks(map[string]string{"it": secret}, map[string]string{"there": "a+b/c=d~, but no more"}); len(found) > 0 {
		t.Errorf("found what is not there: %q", found)
	}
}

// call makes calls for the app in every way, while WeChat echoes what it is sent: the
// token, and once the AppSecret. tellsASecret says that an answer has a secret on purpose.
func (o *organisation) call(t *testing.T, round int, ask func(method, path, key, body string, tellsASecret bool)) {
	t.Helper()
	if round%2 == 1 {
		for path, code := range map[string]int{
			wechatsim.PathUserInfo: 40003, wechatsim.PathTemplateSend: 40003, wechatsim.PathMedia: 40007, wechatsim.PathOAuthToken: 40029, wechatsim.PathMediaUpload: 40005,
		} {
			must(t, o.sim.Inject(wechatsim.Fault{Kind: wechatsim.FaultEcho, Path: path, Code: code, Count: 1}))
		}
	}
	user := wechatsim.User{OpenID: "o1", Nickname: "Ann", Privilege: []string{}}
	code := func() string {
		code, err := o.sim.Authorize(appid, user, wechatsim.ScopeUserInfo)
		must(t, err)
		return code
	}
	media, err := o.sim.AddMedia(appid, wechatsim.Media{Type: wechatsim.Image, Size: 100_000})
	must(t, err)
	const message, post, get = `{"touser":"o1","template_id":"t1","data":{"a":{"value":"b"}}}`, http.MethodPost, http.MethodGet
	secret := "&secret=" + url.QueryEscape(billingKey)
	for range 2 { // of which the first may meet an echo
		ask(post, "/v1/template/send", billingKey, message, false)
		ask(post, "/v1/template/send", "", message, false)
		ask(get, "/v1/media/"+media, billingKey, "", false)
		ask(get, "/v1/media/unknown", billingKey, "", false)
		ask(get, "/v1/oauth/openid?code="+code(), billingKey, "", false)
		ask(get, "/v1/oauth/openid?code=guess", billingKey, "", false)
		ask(get, "/v1/oauth/url?redirect_uri=https%3A%2F%2Fshop.example.com%2F", billingKey, "", false)
		ask(get, "/cgi-bin/user/info?openid=o1", billingKey, "", false)
		ask(get, "/cgi-bin/user/info?openid=o1&access_token="+o.newest("token"), "", "", false)
		ask(post, "/cgi-bin/message/template/send?access_token="+o.newest("token"), "", message, false)
		ask(get, "/cgi-bin/media/get?media_id="+media+"&access_token="+o.newest("token"), "", "", false)
		ask(post, "/cgi-bin/media/upload?type=image", billingKey, "what=ever", false)
		ask(get, "/cgi-bin/clear_quota?access_token="+o.newest("token"), "", "", false)
		ask(get, "/cgi-bin/token?grant_type=client_credential&appid="+appid+secret, "", "", true)
		ask(get, "/cgi-bin/token?grant_type=client_credential&appid="+appid+secret+"x", "", "", false)
		ask(post, "/cgi-bin/stable_token", "", `{"grant_type":"client_credential","appid":"`+appid+`","secret":"`+billingKey[1:]+`"}`, false)
		ask(get, "/cgi-bin/ticket/getticket?type=jsapi&access_token=x", "", "", false)
		ask(get, "/sns/oauth2/access_token?code="+code()+"&grant_type=authorization_code&appid="+appid+secret, "", "", true)
		ask(get, "/sns/userinfo?openid=o1&access_token="+o.newest("user's token"), "", "", false)
	}
}

// TestNoSecretIsSeen: all output of a run under faults, with values that live for seconds,
// is searched for every secret of that run. That is: logs at debug level, metrics,
// answers, what operators are told, and the files of the sealed database.
func TestNoSecretIsSeen(t *testing.T) {
	o := startOrganisation(t, wechatsim.Settings{
		TokenLifetime: 2 * time.Second, TicketLifetime: 2 * time.Second,
	}, 100)
	outputs := make(map[string]string)
	note := func(where, output string) { outputs[where] += output + "\n" }
	ask := func(method, path, key, body string, tellsASecret bool) {
		t.Helper()
		status, answer, err := o.ask(t.Context(), method, path, key, body)
		if err != nil {
			note("errors of requests", err.Error())
			return
		}
		if status == http.StatusOK && tellsASecret {
			return // as it should
		}
		note("the edge's answers", answer)
	}
	faults := []wechatsim.Fault{
		{Kind: wechatsim.FaultCode, Code: 45009, Count: 1},
		{Kind: wechatsim.FaultCode, Code: 40164, Count: 1},
		{Kind: wechatsim.FaultCode, Code: -1, Count: 2},
		{Kind: wechatsim.FaultCode, Code: 40001, Count: 1},
	}
	rotations := func() int { return len(o.known()) }
	for round := range 10 {
		before := rotations()
		if round < len(faults) {
			must(t, o.sim.Inject(faults[round]))
		}
		for _, path := range []string{signPath, "/getApi?url=https%3A%2F%2Fshop.example.com%2F", "/all?url=https%3A%2F%2Fevil.example%2F", "/nonce", "/nothing"} {
			ask(http.MethodGet, path, "", "", false)
		}
		for _, path := range []string{"/token", "/ticket"} {
			ask(http.MethodGet, path, billingKey, "", true)
			ask(http.MethodGet, path, "", "", false)
			ask(http.MethodGet, path, o.newest("token"), "", false) // a credential where a key belongs
			ask(http.MethodPost, path, billingKey[1:], "appid="+billingKey, false)
		}
		token := o.newest("token")
		ask(http.MethodPost, "/v1/report", billingKey, url.Values{"kind": {"access_token"}, "value": {token}}.Encode(), false)
		ask(http.MethodPost, "/v1/report", billingKey, url.Values{"kind": {token}, "value": {o.newest("ticket")}}.Encode(), false)
		ask(http.MethodGet, "/v1/jsapi/config?url=https%3A%2F%2Fshop.example.com%2F&noncestr=a&timestamp="+url.QueryEscape(o.newest("ticket")), "", "", false)
		o.call(t, round, ask)
		for _, command := range [][]string{{"status"}, {"status", "--json"}, {"quota"}, {"quota", "--json"}, {"refresh"}, {"refresh", "--force", "--yes"}} {
			note("what operators are told", o.operate(t, command...))
		}
		for where, address := range map[string]string{"the broker's": o.brokerOps, "the edge's": o.edgeOps} {
			for _, path := range []string{"/metrics", "/healthz", "/readyz", "/nothing"} {
				_, page, err := get(t.Context(), "http://"+address+path)
				must(t, err)
				note(where+" "+path, string(page))
			}
		}
		switch round {
		case 1: // a configuration with secrets where they do not belong
			good, err := os.ReadFile(o.path("wxbroker.yaml"))
			must(t, err)
			bad := strings.Replace(string(good), "secret_file: ", "token_api: "+secret+", secret_file: ", 1)
			bad = strings.Replace(bad, "token:sha256:", operatorToken+":", 1)
			must(t, os.WriteFile(o.path("wxbroker.yaml"), []byte(bad), 0o600))
			must(t, o.broker.command.Process.Signal(syscall.SIGHUP))
			o.broker.says(t, "msg=SIGHUP")
			note("what operators are told", o.operate(t, "status"))
			must(t, os.WriteFile(o.path("wxbroker.yaml"), []byte(strings.Replace(string(good), "data: ", secret+": x\ndata: ", 1)), 0o600))
			must(t, o.broker.command.Process.Signal(syscall.SIGHUP))
			o.broker.says(t, "msg=SIGHUP")
			must(t, os.WriteFile(o.path("wxbroker.yaml"), good, 0o600))
		case 2: // files with secrets where they do not belong, which no program starts with
			config, err := os.ReadFile(o.path("wxbroker.yaml"))
			must(t, err)
			elsewhere := strings.Replace(string(config), o.path("wxbroker.db"), o.path("another.db"), 1)
			for name, content := range map[string]string{
				"three-words":       "billing " + billingKey + " " + operatorToken,
				"same-keys":         "billing " + billingKey + "\nshop " + billingKey,
				"two-tokens":        edgeToken + "\n" + operatorToken,
				"long-key":          databaseKey + "00",
				"other-key":         operatorToken,
				"with-long-key":     strings.Replace(elsewhere, o.path("database-key"), o.path("long-key"), 1),
				"with-other-key":    strings.Replace(elsewhere, o.path("database-key"), o.path("other-key"), 1),
				"with-a-token":      strings.Replace(elsewhere, "token:sha256:", "token:"+operatorToken+":", 1),
				"with-only-a-token": regexp.MustCompile(`token:sha256:[0-9a-f]+`).ReplaceAllString(elsewhere, operatorToken),
			} {
				must(t, os.WriteFile(o.path(name), []byte(content+"\n"), 0o600))
			}
			for _, args := range [][]string{o.edgeArgs("edge-token", "three-words"), o.edgeArgs("edge-token", "same-keys"), o.edgeArgs("two-tokens", "local-keys")} {
				note("what programs say that do not start", refuses(t, "wxedge", args...))
			}
			for _, name := range []string{"with-long-key", "with-other-key", "with-a-token", "with-only-a-token"} {
				note("what programs say that do not start", refuses(t, "wxbroker", "serve", "--config", o.path(name)))
			}
		case 3:
			o.broker.end(os.Kill)
			o.ended = append(o.ended, o.broker)
			o.startBroker(t, o.grpc)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second)
		until(ctx, func() bool {
			ask(http.MethodGet, signPath, "", "", false)
			return rotations() > before
		})
		cancel()
	}
	o.edge.end(os.Interrupt)
	o.broker.end(os.Interrupt)
	for _, p := range append(o.ended, o.edge, o.broker) {
		note("the log of "+filepath.Base(p.command.Path), strings.Join(p.said, "\n"))
	}
	databases, err := filepath.Glob(o.path("wxbroker.db*"))
	must(t, err)
	for _, path := range databases {
		raw, err := os.ReadFile(path)
		must(t, err)
		note("the file "+filepath.Base(path), string(raw))
	}
	secrets := o.known()
	for _, line := range []string{"action=template outcome=granted", "action=media outcome=granted", "action=oauth outcome=granted", "action=call outcome=granted"} {
		if !strings.Contains(outputs["the log of wxbroker"], line) {
			t.Errorf("no call was made with %s", line)
		}
	}
	if len(secrets) < 18 || len(outputs["the file wxbroker.db"]) < 1000 || len(outputs["the log of wxbroker"]) < 10_000 || !strings.Contains(outputs["the log of wxedge"], "msg=audit") {
		t.Errorf("not much of a run: %d secrets", len(secrets))
	}
	for _, leak := range leaks(secrets, outputs) {
		t.Error(leak)
	}
	t.Logf("%d secrets, each in %d forms, in %d outputs", len(secrets), len(forms("x")), len(outputs))
	// The same search finds something that is in the outputs.
	if len(leaks(map[string]string{"the appid": appid}, outputs)) == 0 {
		t.Error("the search finds nothing at all")
	}
}

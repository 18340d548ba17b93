package sdk

import (
	"fmt"
	"maps"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// forceNothing: asking an edge for another token changes none.
func (w *world) forceNothing(t *testing.T, drivers []*driver) {
	t.Helper()
	token := w.token(t)
	for _, d := range drivers {
		if !d.force {
			continue
		}
		before := d.about(t, "token")
		if got := d.about(t, "force"); got.Alias != before.Alias || !got.Alias && got != before {
			t.Errorf("%s forced another token out: %+v after %+v", d.name, got, before)
		}
		w.works(t, d)
	}
	if w.forced(t) != 0 || w.token(t) != token {
		t.Error("forcing a token replaced WeChat's")
	}
}

// killToken: WeChat suddenly refuses the account's token, and no SDK notices.
func (w *world) killToken(t *testing.T, drivers []*driver) {
	t.Helper()
	before := make([]about, len(drivers))
	for i, d := range drivers {
		before[i] = d.about(t, "token")
	}
	asked := w.calls(t, "/cgi-bin/stable_token")
	w.sim(t, http.MethodPost, "/sim/kill-token", args{"appid": appid, "api": "stable"}, new(any))
	for i, d := range drivers {
		w.works(t, d)
		if got := d.about(t, "token"); got != before[i] {
			t.Errorf("%s noticed that the token was killed: it asked for another", d.name)
		}
	}
	if n := w.calls(t, "/cgi-bin/stable_token") - asked; n != 1 {
		t.Errorf("WeChat was asked for %d tokens after it killed one, want 1", n)
	}
}

// restart: what SDKs hold is still good after broker and edge were restarted, and WeChat
// is not called.
func (w *world) restart(t *testing.T, drivers []*driver, again func()) {
	t.Helper()
	asked := w.calls(t, "/cgi-bin/stable_token") + w.calls(t, "/cgi-bin/ticket/getticket")
	again()
	w.broker.says(t, `"edge connected"`)
	for _, d := range drivers {
		before := d.about(t, "token")
		w.works(t, d)
		if got := d.about(t, "token"); got != before {
			t.Errorf("%s noticed the restart: it asked for another token", d.name)
		}
	}
	if n := w.calls(t, "/cgi-bin/stable_token") + w.calls(t, "/cgi-bin/ticket/getticket") - asked; n != 0 {
		t.Errorf("WeChat was asked for tokens and tickets %d times after a restart", n)
	}
}

// leaksNothing ends everything. No secret may be in the output of programs and drivers.
// leaksNothing returns where drivers keep a token of the account's; killed is the token
// that WeChat killed.
func (w *world) leaksNothing(t *testing.T, drivers []*driver, killed string) (kept []string) {
	t.Helper()
	said := make(map[string]string)
	for name, ops := range map[string]string{"the broker's metrics": w.ops, "the edge's metrics": w.edgeOps} {
		_, metrics := exchange(t, http.MethodGet, "http://"+ops+"/metrics", "")
		said[name] = string(metrics)
	}
	tokens := map[string]string{"the token that was killed": killed, "the token": w.token(t)}
	secrets := map[string]string{"the AppSecret": secret, "the local key": localKey}
	maps.Copy(secrets, tokens)
	for _, d := range drivers {
		for i, value := range d.finish(t) {
			secrets[fmt.Sprintf("value %d that %s had", i, d.name)] = value
		}
		said["the output of "+d.name] = d.out.String() + d.log.String()
		kept = append(kept, seen(tokens, d.files(t))...)
	}
	w.stop(t, w.edge)
	w.stop(t, w.broker)
	for i, p := range w.ended {
		said[fmt.Sprintf("log %d, of %s", i, filepath.Base(p.command.Path))] = p.log.String()
	}
	for _, leak := range seen(secrets, said) {
		t.Error(leak)
	}
	return kept
}

// seen returns which secrets are in which texts.
func seen(secrets, texts map[string]string) (found []string) {
	for what, value := range secrets {
		for where, text := range texts {
			if strings.Contains(text, value) {
				found = append(found, what+" is in "+where)
			}
		}
	}
	slices.Sort(found)
	return found
}

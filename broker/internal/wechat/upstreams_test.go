package wechat_test

import (
	"fmt"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/wxbroker/wxbroker/broker/internal/wechat"
)

// TestUpstreamsAreShown: which is in use, and how each that failed did.
func TestUpstreamsAreShown(t *testing.T) {
	var broken, refusing bool
	first := serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		switch {
		case broken:
			w.WriteHeader(http.StatusBadGateway)
		case refusing:
			fmt.Fprint(w, `{"errcode":40013,"errmsg":"invalid appid"}`)
		default:
			fmt.Fprint(w, `{"access_token":"tok","expires_in":7200}`)
		}
	}))
	second := serve(t, body(`{"access_token":"tok","expires_in":7200}`))
	client := wechat.New(wechat.Options{Upstreams: []*url.URL{first, second}})
	check := func(when string, inUse *url.URL, failed bool) {
		t.Helper()
		list := client.Upstreams()
		if len(list) != 2 || list[0].Host != first.Host || list[1].Host != second.Host {
			t.Fatalf("%s: %+v", when, list)
		}
		for _, u := range list {
			if u.InUse != (u.Host == inUse.Host) || client.Upstream() != inUse.Host {
				t.Errorf("%s: %s is in use: %v", when, u.Host, u.InUse)
			}
		}
		if u := list[0]; (u.Failure != nil) != failed || u.Failed.IsZero() == failed || failed && (u.Failure.HTTPStatus != 502 || time.Since(u.Failed) > time.Minute) {
			t.Errorf("%s: the first failed %v: %v", when, u.Failed, u.Failure)
		}
		if list[1].Failure != nil || !list[1].Failed.IsZero() {
			t.Errorf("%s: the second failed: %v", when, list[1].Failure)
		}
	}
	check("before any call", first, false)
	refusing = true
	_, _ = client.Token(t.Context(), account)
	check("a refusal", first, false)
	refusing, broken = false, true
	_, _ = client.Token(t.Context(), account)
	check("a failure", second, true)
	_, _ = client.Token(t.Context(), account)
	check("the other answers", second, true)
}

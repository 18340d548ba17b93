package wechat

import (
	"net/url"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wxbroker/wxbroker/pkg/wxapi"
)

// FuzzDecode: no answer of WeChat's, or of whatever is in between, makes a
// grant that the rest could not live with.
func FuzzDecode(f *testing.F) {
	for _, seed := range []string{
		`{"access_token":"tok","expires_in":7200}`, `{"errcode":0,"ticket":"t","expires_in":"7200"}`,
		`{"errcode":40001,"errmsg":"x"}`, `{"errcode":"-1"}`, `{"expires_in":-1,"ticket":"t"}`, ``, `null`, `[]`, `<html>`, `{`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		a, err := decode(raw)
		if err != nil {
			return
		}
		for _, value := range []string{a.AccessToken, a.Ticket} {
			grant, err := a.grant(value)
			if err != nil {
				continue
			}
			if grant.Value.IsZero() || len(grant.Value.Reveal()) > maxValue || grant.Lifetime < 0 || grant.Lifetime > maxLifetime {
				t.Fatalf("%q became a grant of %d bytes for %v", raw, len(grant.Value.Reveal()), grant.Lifetime)
			}
		}
		_ = quote(a.ErrMsg, nil)
		_ = addressIn(a.ErrMsg)
	})
}

func TestTheFirstUpstreamIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first, second := &url.URL{Host: "first"}, &url.URL{Host: "second"}
		u := newUpstreams([]*url.URL{first, second})
		down := &Error{Class: wxapi.Transient}
		u.called(first, down, time.Now())
		u.called(first, down, time.Now()) // by another account that asked at the same time
		if seen := u.list(time.Now()); seen[0].Failure != down || seen[0].InUse || !seen[1].InUse {
			t.Fatalf("an operator sees %+v", seen)
		}
		u.called(second, &Error{Class: wxapi.Configuration}, time.Now()) // a refusal is no failure of the host
		if got := u.pick(time.Now()); got != second {
			t.Fatalf("after the first failed: %s", got.Host)
		}
		time.Sleep(preferAfter - time.Second)
		if got := u.pick(time.Now()); got != second {
			t.Errorf("too early: %s", got.Host)
		}
		time.Sleep(time.Second)
		if got := u.pick(time.Now()); got != first {
			t.Errorf("after %v: %s", preferAfter, got.Host)
		}
	})
}

func TestQuoteIsFitForALogLine(t *testing.T) {
	long := make([]byte, 1000)
	for i := range long {
		long[i] = 'x'
	}
	for in, want := range map[string]string{
		"a\nb\tc\x00":       "a b c ",
		"the s3cret is out": "the [redacted] is out",
		"broken \xff utf-8": "broken ? utf-8",
	} {
		if got := quote(in, []string{"s3cret", ""}); got != want {
			t.Errorf("quote(%q) = %q, want %q", in, got, want)
		}
	}
	if got := quote(string(long), nil); len(got) > 200+len("…") {
		t.Errorf("%d bytes are quoted", len(got))
	}
}

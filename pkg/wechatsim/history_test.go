package wechatsim_test

import (
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wxbroker/wxbroker/pkg/wechatsim"
)

func TestCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told []wechatsim.Call
		w := inMemoryWith(t, wechatsim.Config{
			Accounts: []wechatsim.Account{{AppID: appid, Secret: secret}},
			OnCall:   func(c wechatsim.Call) { told = append(told, c) },
		})
		w.classic()
		w.classic()
		w.stable(false)
		w.ticket("x", "jsapi")
		w.do("GET", classicPath(appid, "x"), "")
		w.do("GET", classicPath("wx1", "x"), "")
		w.do("POST", wechatsim.PathClearQuota, clearBody(appid, "x"))
		w.do("POST", wechatsim.PathClearQuota+"?appid="+appid, "no JSON")
		w.do("POST", wechatsim.PathClearQuota, clearBody(secret, secret)) // somebody swapped the two
		w.quota(w.granted(w.classic()), "token")
		synctest.Wait()
		tests := []struct {
			match wechatsim.Call
			want  int
		}{
			{wechatsim.Call{}, 11},
			{wechatsim.Call{API: wechatsim.PathToken}, 5},
			{wechatsim.Call{Outcome: "ok"}, 4},
			{wechatsim.Call{AppID: appid}, 8},
			{wechatsim.Call{AppID: wechatsim.UnknownApp}, 3},
			{wechatsim.Call{AppID: appid, API: wechatsim.PathClearQuota, Outcome: "40125"}, 1},
			{wechatsim.Call{AppID: appid, API: wechatsim.PathClearQuota, Outcome: "47001"}, 1},
			{wechatsim.Call{AppID: wechatsim.UnknownApp, API: wechatsim.PathClearQuota, Outcome: "40013"}, 1},
			{wechatsim.Call{AppID: appid, API: wechatsim.PathQuota, Outcome: "76003"}, 1},
			{wechatsim.Call{AppID: appid, API: wechatsim.PathToken, Outcome: "40125"}, 1},
			{wechatsim.Call{AppID: wechatsim.UnknownApp, API: wechatsim.PathTicket, Outcome: "40014"}, 1},
		}
		for _, tt := range tests {
			if got := w.Count(tt.match); got != tt.want {
				t.Errorf("%+v: %d, want %d", tt.match, got, tt.want)
			}
		}
		if len(told) != 11 || told[0] != (wechatsim.Call{AppID: appid, API: wechatsim.PathToken, Outcome: "ok"}) {
			t.Errorf("told of %v", told)
		}
	})
}

func TestEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := inMemory(t, wechatsim.Settings{})
		w.granted(w.classic())
		w.granted(w.classic())
		if err := w.KillToken(appid, wechatsim.Classic); err != nil {
			t.Fatal(err)
		}
		if err := w.Inject(wechatsim.Fault{Kind: wechatsim.FaultEmpty}); err != nil {
			t.Fatal(err)
		}
		w.exchange("GET", classicPath(appid, secret), "")
		var got []string
		for _, e := range w.Events() {
			if e.AppID != appid || !e.At.Equal(time.Now()) {
				t.Errorf("event %+v", e)
			}
			got = append(got, fmt.Sprintf("%s %s %d", e.Kind, e.Detail, e.Number))
		}
		want := "[mint classic token 1 replace classic token 1 mint classic token 2 kill classic token 2 fault empty on /cgi-bin/token 0]"
		if fmt.Sprint(got) != want {
			t.Errorf("got %v, want %s", got, want)
		}
		w.ClearFaults()
		w.Change(func(s *wechatsim.Settings) { s.ClassicQuota = wechatsim.None })
		for range 600 {
			w.granted(w.classic())
		}
		if n := len(w.Events()); n != 1000 {
			t.Errorf("%d events kept, want 1000", n)
		}
	})
}

func TestMemoryIsBoundedButNoLiveTokenIsForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := inMemory(t, wechatsim.Settings{TokenOverlap: time.Hour})
		first := w.granted(w.classic())
		for range 400 {
			w.granted(w.classic())
		}
		if code := w.probe(first); code != 0 {
			t.Errorf("a live token was forgotten: %d", code)
		}
		time.Sleep(time.Hour)
		w.granted(w.classic())
		if n := len(w.Issued(appid)); n != 200 {
			t.Errorf("%d values kept, want 200", n)
		}
		if code := w.probe(first); code != 40001 {
			t.Errorf("a forgotten token: %d, want 40001", code)
		}
	})
}

func TestConcurrentUse(t *testing.T) {
	w := overTCP(t, func(wechatsim.Call) {})
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			for range 10 {
				if r := w.stable(false); r.Token != "" {
					w.ticket(r.Token, "jsapi")
				}
				w.classic()
				w.Change(func(s *wechatsim.Settings) { s.FreshTicketExpiry = !s.FreshTicketExpiry })
				w.RotateToken(appid)
				w.KillTicket(appid, wechatsim.JSAPI)
				w.Inject(wechatsim.Fault{Kind: wechatsim.FaultCode, Code: -1, Count: 1})
				w.Verify(appid, "n", "1", "https://a/", "s")
				w.Faults()
				w.Events()
				if _, err := w.State(appid); err != nil {
					t.Error(err)
				}
				w.Issued(appid)
				w.ClearFaults()
			}
		})
	}
	group.Wait()
	if n := w.Count(wechatsim.Call{API: wechatsim.PathToken}); n != 80 {
		t.Errorf("%d classic calls counted, want 80", n)
	}
}

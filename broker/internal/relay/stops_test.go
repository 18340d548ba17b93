package relay_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/wxbroker/wxbroker/broker/internal/relay"
	"github.com/wxbroker/wxbroker/broker/internal/wechat"
	"github.com/wxbroker/wxbroker/pkg/wechatsim"
	"github.com/wxbroker/wxbroker/pkg/wxapi"
)

// TestStops: what WeChat says that nobody should call, nobody does, until it
// makes sense again.
func TestStops(t *testing.T) {
	const path = "/cgi-bin/user/info"
	for _, tt := range []struct {
		code int
		wait time.Duration
	}{{45009, time.Hour}, {45011, time.Minute}} {
		t.Run(fmt.Sprint(tt.code), func(t *testing.T) {
			inBubble(t, func(t *testing.T, w *world) {
				inject := func() {
					if err := w.sim.Inject(wechatsim.Fault{Kind: wechatsim.FaultCode, Path: path, Code: tt.code, Count: 1}); err != nil {
						t.Fatal(err)
					}
				}
				inject()
				if body, err := w.get(path, "openid=o1"); err != nil || !strings.Contains(body, fmt.Sprint(tt.code)) {
					t.Errorf("the first is told %s, %v", body, err)
				}
				stopped := func(left time.Duration) {
					t.Helper()
					before := w.count(path, "")
					_, err := w.get(path, "openid=o1")
					code, said := refusal(t, err)
					if code != codes.ResourceExhausted || int(said.GetErrcode()) != tt.code || time.Until(said.GetRetryTime().AsTime()) != left {
						t.Errorf("%v %v", code, said)
					}
					if n := w.count(path, ""); n != before {
						t.Error("WeChat was asked")
					}
				}
				stopped(tt.wait)
				if _, err := w.send(shop); err != nil {
					t.Errorf("another API: %v", err)
				}
				if got := w.Stops(appid); len(got) != 1 || got[0].API != path || int(got[0].Code) != tt.code {
					t.Errorf("stops %v", got)
				}
				time.Sleep(tt.wait - time.Second)
				stopped(time.Second)
				time.Sleep(time.Second)
				inject()
				if body, err := w.get(path, "openid=o1"); err != nil || !strings.Contains(body, fmt.Sprint(tt.code)) {
					t.Errorf("the one that tries is told %s, %v", body, err)
				}
				stopped(tt.wait)
				time.Sleep(tt.wait)
				for range 2 {
					if body, err := w.get(path, "openid=o1"); err != nil || strings.Contains(body, "errcode\":4") {
						t.Errorf("afterwards: %s, %v", body, err)
					}
				}
				inject()
				_, _ = w.get(path, "openid=o1")
				w.Resume(appid)
				if _, err := w.get(path, "openid=o1"); err != nil {
					t.Errorf("once the quota was cleared: %v", err)
				}
			})
		})
	}
}

// TestOneTries after a stop, and the others wait for what comes of it.
func TestOneTries(t *testing.T) {
	const path = "/cgi-bin/user/info"
	inBubble(t, func(t *testing.T, w *world) {
		if err := w.sim.Inject(wechatsim.Fault{Kind: wechatsim.FaultCode, Path: path, Code: 45011}); err != nil {
			t.Fatal(err)
		}
		_, _ = w.get(path, "openid=o1")
		time.Sleep(time.Minute)
		if err := w.sim.Inject(wechatsim.Fault{Kind: wechatsim.FaultDelay, Path: path, Duration: time.Second}); err != nil {
			t.Fatal(err)
		}
		before := w.count(path, "")
		for range 10 {
			go func() { _, _ = w.get(path, "openid=o1") }()
		}
		time.Sleep(2 * time.Second)
		if n := w.count(path, "") - before; n != 1 {
			t.Errorf("%d tried", n)
		}
		if got, want := fmt.Sprint(w.Today(appid)), "[{shop "+path+" 2}]"; got != want {
			t.Errorf("today %s, want %s: those that did not try are not counted", got, want)
		}
	})
}

// TestStopEndsWithTheDay: at midnight in China the quota is a new one.
func TestStopEndsWithTheDay(t *testing.T) {
	const path = "/cgi-bin/user/info"
	inBubble(t, func(t *testing.T, w *world) {
		time.Sleep(15*time.Hour + 50*time.Minute)
		if err := w.sim.Inject(wechatsim.Fault{Kind: wechatsim.FaultCode, Path: path, Code: 45009, Count: 1}); err != nil {
			t.Fatal(err)
		}
		_, _ = w.get(path, "openid=o1")
		_, err := w.get(path, "openid=o1")
		if _, said := refusal(t, err); time.Until(said.GetRetryTime().AsTime()) != 10*time.Minute {
			t.Errorf("until %v", said.GetRetryTime().AsTime())
		}
	})
}

// TestSpentAppsHoldNoStop: an app that has made its calls keeps nobody else from
// finding out how an API is after a stop, and what is not called is not counted.
func TestSpentAppsHoldNoStop(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		spent := limited(0, 0)
		spent.Name = "spent"
		if err := w.sim.Inject(wechatsim.Fault{Kind: wechatsim.FaultCode, Path: wxapi.PathTemplate, Code: 45011, Count: 1}); err != nil {
			t.Fatal(err)
		}
		_, _ = w.send(shop)
		time.Sleep(time.Minute)
		for range 3 {
			_, err := w.send(spent)
			if _, said := refusal(t, err); said.GetErrcode() != 45009 {
				t.Errorf("the app that has made its calls is told %v", err)
			}
		}
		if _, err := w.send(shop); err != nil {
			t.Errorf("another app: %v", err)
		}
		if got, want := fmt.Sprint(w.Today(appid)), "[{shop "+wxapi.PathTemplate+" 2}]"; got != want {
			t.Errorf("today %s, want %s", got, want)
		}
	})
}

// TestTrialThatComesToNothing does not keep the others waiting.
func TestTrialThatComesToNothing(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		for _, f := range []wechatsim.Fault{
			{Kind: wechatsim.FaultCode, Code: 45011, Count: 1}, {Kind: wechatsim.FaultReset, Count: 1},
		} {
			f.Path = wxapi.PathTemplate
			if err := w.sim.Inject(f); err != nil {
				t.Fatal(err)
			}
		}
		_, _ = w.send(shop)
		time.Sleep(time.Minute)
		if _, err := w.send(shop); err == nil {
			t.Fatal("the trial is answered")
		}
		if _, err := w.send(shop); err != nil {
			t.Errorf("the next one: %v", err)
		}
	})
}

// TestStopAndWhatBeganBefore: an answer to a call that began before a stop says
// nothing about it.
func TestStopAndWhatBeganBefore(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		var calls atomic.Int64
		w.wechat.Answer(func(rw http.ResponseWriter, _ *http.Request) {
			if calls.Add(1) == 1 {
				time.Sleep(3 * time.Second)
				_, _ = io.WriteString(rw, `{"errcode":0,"msgid":1}`)
				return
			}
			_, _ = io.WriteString(rw, `{"errcode":45009,"errmsg":"reach max api daily quota limit"}`)
		})
		slow := make(chan error, 1)
		go func() { _, err := w.send(shop); slow <- err }()
		synctest.Wait()
		if _, err := w.send(shop); err == nil {
			t.Fatal("no quota is spent")
		}
		if err := <-slow; err != nil {
			t.Fatal(err)
		}
		if len(w.Stops(appid)) != 1 {
			t.Error("the API is not stopped any more")
		}
	})
}

// TestARefusedTokenEndsNoStop: WeChat may not have looked further than the token,
// so the trial has shown nothing and the next one is made in its time.
func TestARefusedTokenEndsNoStop(t *testing.T) {
	const path = "/cgi-bin/user/info"
	inBubble(t, func(t *testing.T, w *world) {
		if err := w.sim.Inject(wechatsim.Fault{Kind: wechatsim.FaultCode, Path: path, Code: 45011, Count: 1}); err != nil {
			t.Fatal(err)
		}
		_, _ = w.get(path, "openid=o1")
		time.Sleep(time.Minute)
		if err := w.sim.Inject(wechatsim.Fault{Kind: wechatsim.FaultCode, Path: path, Code: 40001}); err != nil {
			t.Fatal(err)
		}
		if body, err := w.get(path, "openid=o1"); err != nil || !strings.Contains(body, "40001") {
			t.Fatalf("the one that tries is told %s, %v", body, err)
		}
		before := w.count(path, "")
		_, err := w.get(path, "openid=o1")
		if code, said := refusal(t, err); code != codes.ResourceExhausted || said.GetErrcode() != 45011 || w.count(path, "") != before {
			t.Errorf("the next one is told %v, and WeChat was asked %d times", err, w.count(path, "")-before)
		}
		if len(w.Stops(appid)) != 1 {
			t.Error("the API is not stopped any more")
		}
		w.sim.ClearFaults()
		time.Sleep(15 * time.Second)
		for range 2 {
			if _, err := w.get(path, "openid=o1"); err != nil {
				t.Errorf("after the trial: %v", err)
			}
		}
	})
}

// unread is a body that notes whether anybody has begun to read it.
type unread struct{ begun bool }

func (u *unread) Read([]byte) (int, error) {
	u.begun = true
	return 0, io.EOF
}

// TestAStoppedAPIWaitsForNoBody: whoever sends slowly hears at once that the call
// is not made.
func TestAStoppedAPIWaitsForNoBody(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		if err := w.sim.Inject(wechatsim.Fault{Kind: wechatsim.FaultCode, Path: wxapi.PathTemplate, Code: 45009}); err != nil {
			t.Fatal(err)
		}
		_, _ = w.send(shop)
		for _, length := range []int64{-1, 1000, 10 << 20} {
			body := new(unread)
			_, err := w.Do(t.Context(), shop, relay.Call{
				AppID: appid, Kind: wechat.CallAPI, Method: http.MethodPost, Path: wxapi.PathTemplate, Body: body, Length: length,
			})
			if code, said := refusal(t, err); code != codes.ResourceExhausted || said.GetErrcode() != 45009 || body.begun {
				t.Errorf("a body of %d bytes, begun: %v: %v", length, body.begun, err)
			}
		}
	})
}

// TestTooManyRequests: HTTP's way to say it stops an API too.
func TestTooManyRequests(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		if err := w.sim.Inject(wechatsim.Fault{Kind: wechatsim.FaultStatus, Path: wxapi.PathTemplate, Status: 429, Count: 1}); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			_, err := w.send(shop)
			if code, said := refusal(t, err); code != codes.ResourceExhausted || said.GetErrcode() != 45011 || time.Until(said.GetRetryTime().AsTime()) != time.Minute {
				t.Errorf("%v %v", code, said)
			}
		}
		if n := w.count(wxapi.PathTemplate, ""); n != 1 {
			t.Errorf("WeChat was asked %d times", n)
		}
	})
}

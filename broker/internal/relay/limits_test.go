package relay_test

import (
	"fmt"
	"maps"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/wxbroker/wxbroker/broker/internal/access"
	"github.com/wxbroker/wxbroker/broker/internal/relay"
	"github.com/wxbroker/wxbroker/pkg/wechatsim"
)

// limited is shop with so many template messages a day, and so many calls of
// any other API.
func limited(messages, others int) *access.App {
	app := *shop
	app.PerDay = map[string]int{access.TemplateAPI: messages, access.EachAPI: others}
	return &app
}

// TestCallsOfADay are counted for each app and API, across restarts, until
// midnight in China.
func TestCallsOfADay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // it is midnight UTC: eight in the morning there
		store := &memory{all: map[string][]byte{}}
		w := newWorld(t, store)
		synctest.Wait()
		app := limited(2, 1)
		for i, want := range []bool{true, true, false, false} {
			_, err := w.send(app)
			if (err == nil) != want {
				t.Errorf("message %d: %v", i+1, err)
			}
			if want {
				continue
			}
			code, said := refusal(t, err)
			if code != codes.ResourceExhausted || said.GetErrcode() != 45009 || time.Until(said.GetRetryTime().AsTime()) != 16*time.Hour ||
				!strings.Contains(said.GetErrmsg(), "the app shop has made its 2 calls of "+access.TemplateAPI) {
				t.Errorf("%v %v", code, said)
			}
		}
		if n := len(w.sim.Messages(appid)); n != 2 {
			t.Errorf("%d messages arrived", n)
		}
		other := limited(2, 1)
		other.Name = "other"
		if _, err := w.send(other); err != nil {
			t.Errorf("another app: %v", err)
		}
		if _, err := w.send(shop); err != nil {
			t.Errorf("without a limit: %v", err)
		}
		time.Sleep(10 * time.Second)
		if raw := string(store.all["calls/shop"]); raw != `{"day":"2000-01-01","calls":{"/cgi-bin/message/template/send":3}}` {
			t.Errorf("the store has %s", raw)
		}
		again := newWorld(t, &memory{all: maps.Clone(store.all)})
		synctest.Wait()
		if _, err := again.send(app); err == nil {
			t.Error("a restart forgets what was spent")
		}
		if got, want := fmt.Sprint(w.Today(appid)), "[{other /cgi-bin/message/template/send 1} {shop /cgi-bin/message/template/send 3}]"; got != want {
			t.Errorf("today %s, want %s", got, want)
		}
		time.Sleep(16 * time.Hour)
		if _, err := again.send(app); err != nil {
			t.Errorf("the day after: %v", err)
		}
	})
}

// TestCountsAreWrittenInBatches, and again when the disk takes them again.
func TestCountsAreWrittenInBatches(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		time.Sleep(time.Second)
		written := func() int {
			w.store.mu.Lock()
			defer w.store.mu.Unlock()
			return w.store.puts
		}
		before := written()
		for range 100 {
			if _, err := w.send(shop); err != nil {
				t.Fatal(err)
			}
		}
		if n := written() - before; n != 0 {
			t.Errorf("written %d times while calls were made", n)
		}
		time.Sleep(time.Minute)
		if n := written() - before; n != 1 {
			t.Errorf("written %d times in the minute after 100 calls", n)
		}
		w.store.mu.Lock()
		w.store.full = true
		w.store.mu.Unlock()
		if _, err := w.send(limited(200, 0)); err != nil {
			t.Errorf("a full disk keeps calls from being made: %v", err)
		}
		time.Sleep(time.Minute)
		w.store.mu.Lock()
		w.store.full = false
		w.store.mu.Unlock()
		time.Sleep(time.Minute)
		if raw := string(w.store.all["calls/shop"]); !strings.Contains(raw, "101") {
			t.Errorf("the store has %s", raw)
		}
		if n := strings.Count(string(w.log.out), "how many calls were made for apps"); n != 2 {
			t.Errorf("the log says %d times that counts cannot be written or can again", n)
		}
	})
}

// TestSoManyAPIs: what an app invents fills no memory.
func TestSoManyAPIs(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		for i := range 600 {
			_, _ = w.get(fmt.Sprint("/cgi-bin/invented/", i), "")
		}
		today := w.Today(appid)
		if len(today) != 501 {
			t.Errorf("%d APIs are counted", len(today))
		}
		for _, c := range today {
			if want := map[bool]int{true: 100, false: 1}[c.API == relay.OtherAPIs]; c.Used != want {
				t.Errorf("%v, want %d", c, want)
			}
		}
	})
}

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
				if got := w.Stops(appid); len(got) != 1 || got[0].API != path || got[0].Code != tt.code {
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

package relay_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/wxbroker/wxbroker/broker/internal/access"
	"github.com/wxbroker/wxbroker/broker/internal/relay"
	"github.com/wxbroker/wxbroker/broker/internal/store/storetest"
	"github.com/wxbroker/wxbroker/broker/internal/wechat"
	"github.com/wxbroker/wxbroker/pkg/wechatsim"
	"github.com/wxbroker/wxbroker/pkg/wxapi"
)

// limited is shop with so many template messages a day, and so many calls of
// any other API.
func limited(messages, others int) *access.App {
	app := *shop
	app.PerDay = map[string]int{wxapi.PathTemplate: messages, access.EachAPI: others}
	return &app
}

// TestCallsOfADay are counted for each app and API, across restarts, until
// midnight in China.
func TestCallsOfADay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // it is midnight UTC: eight in the morning there
		disk := new(storetest.Disk)
		w := newWorld(t, disk)
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
				!strings.Contains(said.GetErrmsg(), "the app shop has made its 2 calls of "+wxapi.PathTemplate) {
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
		if raw := disk.Get(appid, "calls/shop"); raw != `{"day":"2000-01-01","calls":{"/cgi-bin/message/template/send":3}}` {
			t.Errorf("the store has %s", raw)
		}
		copied := new(storetest.Disk) // of now: the broker that has it goes on
		copied.Replace(disk.Values())
		again := newWorld(t, copied)
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
		written := func() int { return len(w.disk.Writes()) }
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
		w.disk.Fill(true)
		if _, err := w.send(limited(200, 0)); err != nil {
			t.Errorf("a full disk keeps calls from being made: %v", err)
		}
		time.Sleep(time.Minute)
		w.disk.Fill(false)
		time.Sleep(time.Minute)
		if raw := w.disk.Get(appid, "calls/shop"); !strings.Contains(raw, "101") {
			t.Errorf("the store has %s", raw)
		}
		if n := strings.Count(w.log.String(), "how many calls were made for apps"); n != 2 {
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

// TestNothingIsCounted of what is never called: without a token, and of accounts
// that are not kept.
func TestNothingIsCounted(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		everywhere := *shop
		everywhere.Accounts = []string{access.EveryAccount}
		for _, of := range []string{"", "wx-invented"} {
			_, template := w.sendFor(&everywhere, of)
			_, oauth := w.OAuth(t.Context(), &everywhere, of, wxapi.PathUserInfo, "access_token=x&openid=y", true)
			_, openid := w.pageOf(t.Context(), &everywhere, of, "code")
			for _, err := range []error{template, oauth, openid} {
				if code, _ := refusal(t, err); code != codes.NotFound && code != codes.InvalidArgument {
					t.Errorf("%q: %v", of, err)
				}
			}
			if len(w.Today(of)) != 0 {
				t.Errorf("%q is counted", of)
			}
		}
		if err := w.sim.KillToken(appid, wechatsim.Stable); err != nil {
			t.Fatal(err)
		}
		if err := w.sim.Inject(wechatsim.Fault{Kind: wechatsim.FaultCode, Path: wechatsim.PathStableToken, Code: 40125}); err != nil {
			t.Fatal(err)
		}
		for range 5 {
			_, _ = w.send(shop)
		}
		if got, want := fmt.Sprint(w.Today(appid)), "[{shop "+wxapi.PathTemplate+" 1}]"; got != want {
			t.Errorf("today %s, want %s: the first found out", got, want)
		}
	})
}

// TestWhatIsLeftAtTheEnd: counts are written, and a stop is one account's.
func TestWhatIsLeftAtTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := new(storetest.Disk)
		w := newWorld(t, disk)
		synctest.Wait()
		if err := w.sim.Inject(wechatsim.Fault{Kind: wechatsim.FaultCode, Path: wxapi.PathTemplate, Code: 45009, Count: 1}); err != nil {
			t.Fatal(err)
		}
		_, _ = w.send(shop)
		w.Resume("wx2")
		if len(w.Stops(appid)) != 1 {
			t.Error("the stop ended with another account's")
		}
		w.stop()
		if raw := disk.Get(appid, "calls/shop"); !strings.Contains(raw, `":1`) {
			t.Errorf("the store has %q", raw)
		}
		again := newWorld(t, disk)
		synctest.Wait()
		if len(again.Today(appid)) != 1 {
			t.Errorf("after a restart it is not known who has called: %v", again.Today(appid))
		}
	})
}

// TestUnreadableCounts are not overwritten.
func TestUnreadableCounts(t *testing.T) {
	for name, unreadable := range map[string]bool{"garbage": false, "an unreadable one": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				disk := new(storetest.Disk)
				disk.Set(appid, "calls/shop", "{")
				disk.Spoil(unreadable)
				w := newWorld(t, disk)
				synctest.Wait()
				if _, err := w.send(shop); err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Minute)
				w.stop()
				if raw := disk.Get(appid, "calls/shop"); raw != "{" {
					t.Errorf("the store has %q", raw)
				}
			})
		})
	}
}

// TestLimitsWhateverTheCase: how an API is written changes nothing about it.
func TestLimitsWhateverTheCase(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.wechat.Answer(func(rw http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(rw, "{}") })
		app := limited(1, 9)
		for i, path := range []string{wxapi.PathTemplate, "/cgi-bin/message/template/Send"} {
			answer, err := w.Do(t.Context(), app, relay.Call{AppID: appid, Kind: wechat.CallAPI, Method: http.MethodGet, Path: path})
			if (err == nil) != (i == 0) {
				t.Errorf("%s: %v", path, err)
			}
			if answer != nil {
				_ = answer.Body.Close()
			}
		}
	})
}

package relay_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/wxbroker/wxbroker/broker/internal/relay"
	"github.com/wxbroker/wxbroker/broker/internal/wechat"
	"github.com/wxbroker/wxbroker/pkg/wechatsim"
	"github.com/wxbroker/wxbroker/pkg/wxapi"
)

// TestManyMessagesOverADeadToken: all are sent, and the token is renewed once.
func TestManyMessagesOverADeadToken(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		if err := w.sim.KillToken(appid, wechatsim.Stable); err != nil {
			t.Fatal(err)
		}
		before := w.count(wechatsim.PathStableToken, "")
		var sending sync.WaitGroup
		for range 200 {
			sending.Go(func() {
				if _, err := w.send(shop); err != nil {
					t.Error(err)
				}
			})
		}
		sending.Wait()
		if n := len(w.sim.Messages(appid)); n != 200 {
			t.Errorf("%d messages arrived", n)
		}
		if m := w.sim.Messages(appid)[0]; m.Data["a"].Value != "<b> & c" {
			t.Errorf("%+v arrived", m)
		}
		if n := w.count(wechatsim.PathStableToken, "") - before; n != 1 {
			t.Errorf("%d calls for a token", n)
		}
		if n := w.count(wechatsim.PathDomainIP, ""); n != 1 {
			t.Errorf("the token was probed %d times", n)
		}
	})
}

// TestRefusedForReasonsOfItsOwn: an API that always answers 40001 rotates
// nothing, is called once for each call, and its answer is the app's.
func TestRefusedForReasonsOfItsOwn(t *testing.T) {
	for _, code := range []int{40001, 40014, 42001} {
		t.Run(fmt.Sprint(code), func(t *testing.T) {
			inBubble(t, func(t *testing.T, w *world) {
				const path = "/cgi-bin/user/info"
				if err := w.sim.Inject(wechatsim.Fault{Kind: wechatsim.FaultCode, Path: path, Code: code}); err != nil {
					t.Fatal(err)
				}
				before := w.count(wechatsim.PathStableToken, "")
				for range 3 {
					body, err := w.get(path, "openid=o1")
					if err != nil || !strings.Contains(body, fmt.Sprint(code)) {
						t.Errorf("%s, %v", body, err)
					}
				}
				if n := w.count(path, ""); n != 3 {
					t.Errorf("called %d times", n)
				}
				if n := w.count(wechatsim.PathDomainIP, ""); n != 1 {
					t.Errorf("the token was probed %d times", n)
				}
				if n := w.count(wechatsim.PathStableToken, ""); n != before {
					t.Errorf("the token was renewed %d times", n-before)
				}
			})
		})
	}
}

// TestACallMadeAgainIsCountedOnce: what the broker repeats over a dead token is
// one call of the app's.
func TestACallMadeAgainIsCountedOnce(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		app := limited(1, 0)
		if err := w.sim.KillToken(appid, wechatsim.Stable); err != nil {
			t.Fatal(err)
		}
		if _, err := w.send(app); err != nil {
			t.Errorf("the only call of the day: %v", err)
		}
		if n := w.count(wxapi.PathTemplate, ""); n != 2 {
			t.Fatalf("called %d times: this test shows nothing", n)
		}
		if got, want := fmt.Sprint(w.Today(appid)), "[{shop "+wxapi.PathTemplate+" 1}]"; got != want {
			t.Errorf("today %s, want %s", got, want)
		}
	})
}

// TestRetriedAtMostOnce: with a new token that is refused too, the app is told.
func TestRetriedAtMostOnce(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		const path = "/cgi-bin/user/info"
		if err := w.sim.KillToken(appid, wechatsim.Stable); err != nil {
			t.Fatal(err)
		}
		if err := w.sim.Inject(wechatsim.Fault{Kind: wechatsim.FaultCode, Path: path, Code: 40001}); err != nil {
			t.Fatal(err)
		}
		if body, err := w.get(path, "openid=o1"); err != nil || !strings.Contains(body, "40001") {
			t.Errorf("%s, %v", body, err)
		}
		if n := w.count(path, ""); n != 2 {
			t.Errorf("called %d times", n)
		}
	})
}

// TestBodiesThatCanBeSentAgain are those that are kept; of a larger one the app
// hears that the token was refused, and the next call has the new one.
func TestBodiesThatCanBeSentAgain(t *testing.T) {
	const small, large = 256 << 10, 256<<10 + 1
	for _, tt := range []struct {
		name         string
		size         int
		length       int64
		calls, taken int
	}{
		{"small", small, small, 2, 1},
		{"small, of unknown length", small, -1, 2, 1},
		{"large", large, large, 1, 0},
		{"large, of unknown length", large, -1, 1, 0},
		{"larger than was said", large, 0, 0, 0},
		{"as large as nothing is", large, 5, 0, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, w *world) {
				if err := w.sim.KillToken(appid, wechatsim.Stable); err != nil {
					t.Fatal(err)
				}
				body := append([]byte(`{"touser":"o1","template_id":"t1","data":{}}`), bytes.Repeat([]byte(" "), tt.size)...)[:tt.size]
				if tt.calls == 0 {
					_, err := w.Do(t.Context(), shop, relay.Call{AppID: appid, Method: http.MethodPost, Path: wxapi.PathTemplate, Body: bytes.NewReader(body), Length: tt.length})
					if code, _ := refusal(t, err); code != codes.InvalidArgument || w.count(wxapi.PathTemplate, "") != 0 {
						t.Errorf("%v", err)
					}
					return
				}
				call := func() string {
					answer, err := w.Do(t.Context(), shop, relay.Call{
						AppID: appid, Kind: wechat.CallAPI, Method: http.MethodPost, Path: wxapi.PathTemplate,
						Body: io.MultiReader(bytes.NewReader(body)), Length: tt.length,
					})
					if err != nil {
						t.Fatal(err)
					}
					defer answer.Body.Close()
					raw, err := io.ReadAll(answer.Body)
					if err != nil {
						t.Fatal(err)
					}
					return string(raw)
				}
				first := call()
				if n := w.count(wxapi.PathTemplate, ""); n != tt.calls || len(w.sim.Messages(appid)) != tt.taken {
					t.Errorf("called %d times, and %d messages: %s", n, len(w.sim.Messages(appid)), first)
				}
				if refused := strings.Contains(first, "40001"); refused != (tt.taken == 0) {
					t.Errorf("the app is told %s", first)
				}
				if again := call(); !strings.Contains(again, `"msgid"`) {
					t.Errorf("and then %s", again)
				}
			})
		})
	}
}

// TestNoToken: whoever calls while the first token is on its way waits for it,
// and is told when there is none to be had.
func TestNoToken(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		if err := w.sim.KillToken(appid, wechatsim.Stable); err != nil {
			t.Fatal(err)
		}
		if err := w.sim.Inject(wechatsim.Fault{Kind: wechatsim.FaultCode, Path: wechatsim.PathStableToken, Code: 40125}); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			_, err := w.send(shop)
			if code, said := refusal(t, err); code != codes.Unavailable && code != codes.FailedPrecondition || said.GetErrcode() == 0 {
				t.Errorf("%v %v", code, said)
			}
		}
		_, err := w.send(shop)
		if code, said := refusal(t, err); code != codes.Unavailable || said.GetErrcode() != -1 || !strings.Contains(said.GetErrmsg(), "wxbroker status") {
			t.Errorf("%v %v", code, said)
		}
		w.sim.ClearFaults()
		time.Sleep(10 * time.Minute)
		synctest.Wait() // the keeper tries again
		if _, err := w.send(shop); err != nil {
			t.Error(err)
		}
		_, err = w.sendFor(shop, "wx2")
		if code, _ := refusal(t, err); code != codes.NotFound {
			t.Errorf("of an account that is not kept: %v", err)
		}
	})
}

// TestSlowRefresh: calls wait for the token that is on its way.
func TestSlowRefresh(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		if err := w.sim.KillToken(appid, wechatsim.Stable); err != nil {
			t.Fatal(err)
		}
		if err := w.sim.Inject(wechatsim.Fault{Kind: wechatsim.FaultDelay, Path: wechatsim.PathStableToken, Duration: 3 * time.Second}); err != nil {
			t.Fatal(err)
		}
		var sending sync.WaitGroup
		for i := range 10 {
			sending.Go(func() {
				time.Sleep(time.Duration(i) * 400 * time.Millisecond) // before, while and after it is refreshed
				if _, err := w.send(shop); err != nil {
					t.Error(err)
				}
			})
		}
		sending.Wait()
	})
}

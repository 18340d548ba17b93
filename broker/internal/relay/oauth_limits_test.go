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
	"google.golang.org/grpc/status"

	"github.com/wxbroker/wxbroker/broker/internal/access"
	"github.com/wxbroker/wxbroker/broker/internal/relay"
	"github.com/wxbroker/wxbroker/pkg/credential"
	"github.com/wxbroker/wxbroker/pkg/wechatsim"
	"github.com/wxbroker/wxbroker/pkg/wxapi"
)

// oauthCalls are one of each kind about a page's user, who has agreed to it.
var oauthCalls = []struct {
	name, api string
	call      func(*testing.T, *world, *access.App, page) error
}{
	{"a code", wxapi.PathCode, func(t *testing.T, w *world, app *access.App, _ page) error {
		t.Helper()
		return refusedIn(w.OAuth(t.Context(), app, appid, wxapi.PathCode, "code="+w.code("snsapi_base"), true))
	}},
	{"what WeChat shows of a user", wxapi.PathUserInfo, func(t *testing.T, w *world, app *access.App, p page) error {
		t.Helper()
		return refusedIn(w.OAuth(t.Context(), app, "", wxapi.PathUserInfo, "access_token="+p.AccessToken+"&openid="+p.OpenID, false))
	}},
	{"a renewal", wxapi.PathRenewal, func(t *testing.T, w *world, app *access.App, p page) error {
		t.Helper()
		return refusedIn(w.OAuth(t.Context(), app, "", wxapi.PathRenewal, "refresh_token="+p.RefreshToken, false))
	}},
	{"whether a token is good", wxapi.PathAuth, func(t *testing.T, w *world, app *access.App, p page) error {
		t.Helper()
		return refusedIn(w.OAuth(t.Context(), app, "", wxapi.PathAuth, "access_token="+p.AccessToken+"&openid="+p.OpenID, false))
	}},
}

// refusedIn returns what WeChat refused in an answer that is passed on, or err.
func refusedIn(said *relay.WholeAnswer, err error) error {
	if err == nil && said.Refusal != nil {
		return said.Refusal
	}
	return err
}

// TestOAuthCallsOfADay are counted and limited as all others.
func TestOAuthCallsOfADay(t *testing.T) {
	for _, tt := range oauthCalls {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, w *world) {
				page := w.user()
				const limit = 3
				app := *shop
				app.PerDay = map[string]int{strings.ToLower(tt.api): limit}
				used := w.count(tt.api, "")
				for range limit - used {
					if err := tt.call(t, w, &app, page); err != nil {
						t.Errorf("within the limit: %v", err)
					}
				}
				err := tt.call(t, w, &app, page)
				if err == nil {
					t.Fatal("beyond the limit it is made")
				}
				if code, said := refusal(t, err); code != codes.ResourceExhausted || said.GetErrcode() != 45009 {
					t.Errorf("beyond the limit: %v", err)
				}
				if n := w.count(tt.api, ""); n != limit {
					t.Errorf("WeChat was asked %d times, want %d", n, limit)
				}
				if got, want := fmt.Sprint(w.Today(appid)), fmt.Sprintf("{shop %s %d}", tt.api, limit); !strings.Contains(got, want) {
					t.Errorf("today %s, want %s among it", got, want)
				}
			})
		})
	}
}

// TestOAuthStops: what WeChat says that nobody should call is called for nobody,
// with a code neither, which would be used up for nothing.
func TestOAuthStops(t *testing.T) {
	for _, tt := range oauthCalls {
		for _, code := range []int32{45009, 45011} {
			t.Run(fmt.Sprint(tt.name, " ", code), func(t *testing.T) {
				inBubble(t, func(t *testing.T, w *world) {
					page := w.user()
					if err := w.sim.Inject(wechatsim.Fault{Kind: wechatsim.FaultCode, Path: tt.api, Code: int(code), Count: 1}); err != nil {
						t.Fatal(err)
					}
					if err := tt.call(t, w, shop, page); err == nil {
						t.Error("the first is not told")
					}
					before := w.count(tt.api, "")
					err := tt.call(t, w, shop, page)
					if err == nil {
						t.Fatal("the next call is made")
					}
					if is, said := refusal(t, err); is != codes.ResourceExhausted || said.GetErrcode() != code || said.GetRetryTime() == nil {
						t.Errorf("the next one is told %v", err)
					}
					if n := w.count(tt.api, "") - before; n != 0 {
						t.Errorf("WeChat was asked %d times", n)
					}
					if stops := w.Stops(appid); len(stops) != 1 || stops[0].API != tt.api {
						t.Errorf("stops %v", stops)
					}
				})
			})
		}
	}
}

// TestUnprovenOAuthCallsAreRated: whoever shows nothing but a user's token makes
// no more calls a second than the app may, and guesses cost the app nothing.
func TestUnprovenOAuthCallsAreRated(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		_, id := access.NewToken()
		rated := *shop
		rated.Identities, rated.PerSecond = []access.Identity{id}, 1
		policy, err := access.NewPolicy([]access.App{rated}, nil)
		if err != nil {
			t.Fatal(err)
		}
		app := access.NewControl(policy, credential.WallClock).Named("shop")
		page := w.user()
		guess := page
		guess.AccessToken, guess.RefreshToken = "guess", "guess"
		// made makes calls of each kind in turn until one is refused for the rate.
		made := func() (n int) {
			for n < 100 {
				call := oauthCalls[1+n%3] // those that are made with a user's token alone
				for range 3 {
					if err := call.call(t, w, app, guess); status.Code(err) != codes.PermissionDenied {
						t.Fatalf("%s with a guess: %v", call.name, err)
					}
				}
				if err := call.call(t, w, app, page); status.Code(err) == codes.ResourceExhausted {
					return n
				} else if err != nil {
					t.Fatalf("%s: %v", call.name, err)
				}
				n++
			}
			return n
		}
		if n := made(); n != 10 {
			t.Errorf("%d calls at once, want ten seconds' worth", n)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if n := made(); n != 1 {
			t.Errorf("%d calls a second later, want one", n)
		}
	})
}

// TestAnswersWithoutAnEnd are read to a limit, whatever was asked.
func TestAnswersWithoutAnEnd(t *testing.T) {
	const much, most = 16 << 20, 1 << 20 // a buffer at each end is on the way
	for _, tt := range oauthCalls {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, w *world) {
				page := w.user()
				sent := make(chan int, 1)
				w.wechat.Answer(func(rw http.ResponseWriter, _ *http.Request) {
					n, _ := io.WriteString(rw, `{"openid":"`)
					chunk := strings.Repeat("o", 32<<10)
					for n < much {
						wrote, err := io.WriteString(rw, chunk)
						if n += wrote; err != nil {
							break
						}
					}
					sent <- n
				})
				if err := tt.call(t, w, shop, page); err == nil {
					t.Error("it is taken")
				}
				if n := <-sent; n > most {
					t.Errorf("%d bytes were read", n)
				}
			})
		})
	}
}

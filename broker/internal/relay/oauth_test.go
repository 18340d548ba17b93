package relay_test

import (
	"context"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/wxbroker/wxbroker/broker/internal/access"
	"github.com/wxbroker/wxbroker/pkg/wechatsim"
	"github.com/wxbroker/wxbroker/pkg/wxapi"
)

var ann = wechatsim.User{OpenID: "o-ann", UnionID: "u-ann", Nickname: "安", Sex: 2, Privilege: []string{}}

func (w *world) code(scope string) string {
	w.t.Helper()
	code, err := w.sim.Authorize(appid, ann, scope)
	if err != nil {
		w.t.Fatal(err)
	}
	return code
}

func TestOpenID(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		page, err := w.OpenID(t.Context(), shop, appid, w.code("snsapi_userinfo"))
		if err != nil || page.OpenID != "o-ann" || page.UnionID != "u-ann" || !page.HasUserInfo() {
			t.Errorf("%+v, %v", page, err)
		}
		info, err := w.UserInfo(t.Context(), shop, appid, page, "en")
		if err != nil || info.Nickname != "安" || info.Sex != 2 {
			t.Errorf("%+v, %v", info, err)
		}
		if page, err := w.OpenID(t.Context(), shop, appid, w.code("snsapi_base")); err != nil || page.HasUserInfo() {
			t.Errorf("%+v, %v", page, err)
		}
		for code, want := range map[string]int32{"guessed": 40029} {
			_, err := w.OpenID(t.Context(), shop, appid, code)
			if is, said := refusal(t, err); is != codes.InvalidArgument || said.GetErrcode() != want {
				t.Errorf("%s: %v", code, err)
			}
		}
	})
}

// TestOneCallForACode: whoever asks at the same time shares it, it goes on when
// the first has left, and it is over when it is.
func TestOneCallForACode(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		if err := w.sim.Inject(wechatsim.Fault{Kind: wechatsim.FaultDelay, Path: wxapi.PathCode, Duration: 2 * time.Second, Count: 1}); err != nil {
			t.Fatal(err)
		}
		code := w.code("snsapi_base")
		impatient, leave := context.WithCancel(t.Context())
		var asking sync.WaitGroup
		asking.Go(func() {
			if _, err := w.OpenID(impatient, shop, appid, code); status.Code(err) != codes.Canceled {
				t.Errorf("who left is told %v", err)
			}
		})
		synctest.Wait()
		other := *shop
		other.Name = "other"
		for _, app := range []*access.App{shop, shop, &other} {
			asking.Go(func() {
				if page, err := w.OpenID(t.Context(), app, appid, code); err != nil || page.OpenID != "o-ann" {
					t.Errorf("%+v, %v", page, err)
				}
			})
		}
		synctest.Wait()
		leave()
		asking.Wait()
		if n := w.count(wxapi.PathCode, ""); n != 1 {
			t.Errorf("%d calls", n)
		}
		_, err := w.OpenID(t.Context(), shop, appid, code)
		if _, said := refusal(t, err); said.GetErrcode() != 40163 {
			t.Errorf("afterwards: %v", err)
		}
	})
}

// TestACodeIsSentOnce, whatever becomes of it.
func TestACodeIsSentOnce(t *testing.T) {
	for _, fault := range []wechatsim.Fault{
		{Kind: wechatsim.FaultLost},
		{Kind: wechatsim.FaultReset},
		{Kind: wechatsim.FaultStatus, Status: 502},
		{Kind: wechatsim.FaultEmpty},
		{Kind: wechatsim.FaultTruncate},
		{Kind: wechatsim.FaultCode, Code: 40001},
		{Kind: wechatsim.FaultCode, Code: -1},
		{Kind: wechatsim.FaultHTML},
	} {
		t.Run(string(fault.Kind), func(t *testing.T) {
			inBubble(t, func(t *testing.T, w *world) {
				// net/http repeats a GET by itself where it is sent on a
				// connection from before.
				if _, err := w.get("/cgi-bin/user/info", "openid=o1"); err != nil {
					t.Fatal(err)
				}
				fault.Path = wxapi.PathCode
				if err := w.sim.Inject(fault); err != nil {
					t.Fatal(err)
				}
				if _, err := w.OpenID(t.Context(), shop, appid, w.code("snsapi_base")); err == nil {
					t.Error("no error")
				} else if strings.Contains(err.Error(), appSecret) {
					t.Errorf("the error has the AppSecret: %v", err)
				}
				if n := w.count(wxapi.PathCode, ""); n != 1 {
					t.Errorf("sent %d times", n)
				}
			})
		})
	}
}

// TestUnsentCodesGoElsewhere: a host that cannot be connected to has seen
// nothing.
func TestUnsentCodesGoElsewhere(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.mu.Lock()
		w.dead = "127.0.0.1:1"
		w.mu.Unlock()
		if _, err := w.OpenID(t.Context(), shop, appid, w.code("snsapi_base")); err != nil {
			t.Error(err)
		}
		if _, err := w.send(shop); err != nil {
			t.Error(err)
		}
	})
}

// TestUsersTokens: who was given one may ask about its user with nothing else.
func TestUsersTokens(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		_, page, err := w.Code(t.Context(), shop, appid, w.code("snsapi_userinfo"))
		if err != nil {
			t.Fatal(err)
		}
		other := *shop
		other.Name = "other"
		query := "access_token=" + page.AccessToken + "&openid=o-ann"
		for _, tt := range []struct {
			name              string
			app               *access.App
			appid, api, query string
			proven            bool
			want              int32 // errcode, 0 for an answer
		}{
			{"userinfo", shop, "", wxapi.PathUserInfo, query, false, 0},
			{"userinfo, of an account", shop, appid, wxapi.PathUserInfo, query, false, 0},
			{"userinfo, of another account", shop, "wx2", wxapi.PathUserInfo, query, false, 40001},
			{"auth", shop, "", wxapi.PathAuth, query, false, 0},
			{"renewal", shop, "", wxapi.PathRenewal, "refresh_token=" + page.RefreshToken, false, 0},
			{"renewal with the wrong one", shop, "", wxapi.PathRenewal, "refresh_token=" + page.AccessToken, false, 0}, // WeChat refuses it
			{"a guess", shop, "", wxapi.PathUserInfo, "access_token=guess&openid=o-ann", false, 40001},
			{"a guess by who has a key", shop, appid, wxapi.PathUserInfo, "access_token=guess&openid=o-ann", true, 0}, // WeChat refuses it
			{"another app", &other, "", wxapi.PathUserInfo, query, false, 40001},
			{"another app's renewal", &other, "", wxapi.PathRenewal, "refresh_token=" + page.RefreshToken, false, 40030},
			{"a code by who has no key", shop, appid, wxapi.PathCode, "code=" + w.code("snsapi_base"), false, 40001},
			{"a code", shop, appid, wxapi.PathCode, "code=" + w.code("snsapi_base"), true, 0},
			{"a code of an account that is not served", shop, "wx2", wxapi.PathCode, "code=c", true, 48001},
		} {
			said, err := w.OAuth(t.Context(), tt.app, tt.appid, tt.api, tt.query, tt.proven)
			if tt.want == 0 {
				if err != nil || len(said.Raw) == 0 || strings.Contains(string(said.Raw), appSecret) {
					t.Errorf("%s: %v", tt.name, err)
				}
				continue
			}
			if err == nil {
				t.Errorf("%s: it is taken", tt.name)
				continue
			}
			if code, refused := refusal(t, err); code != codes.PermissionDenied || refused.GetErrcode() != tt.want {
				t.Errorf("%s: %v", tt.name, err)
			}
		}
		time.Sleep(31 * 24 * time.Hour)
		if _, err := w.OAuth(t.Context(), shop, "", wxapi.PathUserInfo, query, false); err == nil {
			t.Error("it is known for ever")
		}
	})
}

// TestFlightsOfAccounts: each is one account's, and ends.
func TestFlightsOfAccounts(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		if err := w.sim.Inject(wechatsim.Fault{Kind: wechatsim.FaultDelay, Path: wxapi.PathCode, Duration: 20 * time.Second}); err != nil {
			t.Fatal(err)
		}
		code := w.code("snsapi_base")
		start := time.Now()
		_, err := w.OpenID(t.Context(), shop, appid, code)
		if is, said := refusal(t, err); is != codes.Unavailable || said.GetErrcode() != -1 || time.Since(start) != 15*time.Second {
			t.Errorf("%v after %v", err, time.Since(start))
		}
		everywhere := *shop
		everywhere.Accounts = []string{access.EveryAccount}
		first := make(chan error, 1)
		go func() { _, err := w.OpenID(t.Context(), shop, appid, code); first <- err }()
		synctest.Wait()
		if _, err := w.OpenID(t.Context(), &everywhere, "wx2", code); status.Code(err) != codes.NotFound {
			t.Errorf("another account's: %v", err)
		}
		<-first
	})
}

// TestSnapshotFlag: however it is written, the code is not lost.
func TestSnapshotFlag(t *testing.T) {
	for raw, want := range map[string]bool{"1": true, `"1"`: true, "true": true, "0": false, `""`: false, "null": false, "{}": false} {
		inBubble(t, func(t *testing.T, w *world) {
			w.answer(func(rw http.ResponseWriter, _ *http.Request) {
				_, _ = io.WriteString(rw, `{"openid":"o","scope":"snsapi_base","is_snapshotuser":`+raw+`}`)
			})
			page, err := w.OpenID(t.Context(), shop, appid, "c")
			if err != nil || bool(page.Snapshot) != want || page.OpenID != "o" {
				t.Errorf("%s: %+v, %v", raw, page, err)
			}
		})
	}
}

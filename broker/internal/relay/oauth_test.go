package relay_test

import (
	"context"
	"encoding/json"
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

// page is what an app learns of a page's user. Its tokens are sealed.
type page struct {
	OpenID       string `json:"openid"`
	Scope        string `json:"scope"`
	AccessToken  string `json:"access_token"`
	RefreshToken string `json:"refresh_token"`
}

// user lets a user agree to everything, and gives shop what WeChat says of that.
func (w *world) user() page {
	w.t.Helper()
	p, err := w.pageOf(w.t.Context(), shop, appid, w.code("snsapi_userinfo"))
	if err != nil {
		w.t.Fatal(err)
	}
	return p
}

// pageOf turns a code into who its user is. What WeChat refuses is an error.
func (w *world) pageOf(ctx context.Context, app *access.App, appid, code string) (page, error) {
	var p page
	said, err := w.OAuth(ctx, app, appid, wxapi.PathCode, "code="+code, true)
	switch {
	case err != nil:
		return page{}, err
	case said.Refusal != nil:
		return page{}, wxapi.Refusal{Code: said.Refusal.Code, Message: said.Refusal.Detail}.Status(said.Refusal.Code.Status(said.Refusal.Class))
	}
	err = json.Unmarshal(said.Raw, &p)
	return p, err
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
			if _, err := w.pageOf(impatient, shop, appid, code); status.Code(err) != codes.Canceled {
				t.Errorf("who left is told %v", err)
			}
		})
		synctest.Wait()
		other := *shop
		other.Name = "other"
		for _, app := range []*access.App{shop, shop, &other} {
			asking.Go(func() {
				if page, err := w.pageOf(t.Context(), app, appid, code); err != nil || page.OpenID != "o-ann" {
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
		_, err := w.pageOf(t.Context(), shop, appid, code)
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
				if _, err := w.pageOf(t.Context(), shop, appid, w.code("snsapi_base")); err == nil {
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
		first := "127.0.0.1:1"
		w.dead.Store(&first)
		if _, err := w.pageOf(t.Context(), shop, appid, w.code("snsapi_base")); err != nil {
			t.Error(err)
		}
		if _, err := w.send(shop); err != nil {
			t.Error(err)
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
		_, err := w.pageOf(t.Context(), shop, appid, code)
		if is, said := refusal(t, err); is != codes.Unavailable || said.GetErrcode() != -1 || time.Since(start) != 15*time.Second {
			t.Errorf("%v after %v", err, time.Since(start))
		}
		everywhere := *shop
		everywhere.Accounts = []string{access.EveryAccount}
		first := make(chan error, 1)
		go func() { _, err := w.pageOf(t.Context(), shop, appid, code); first <- err }()
		synctest.Wait()
		if _, err := w.pageOf(t.Context(), &everywhere, "wx2", code); status.Code(err) != codes.NotFound {
			t.Errorf("another account's: %v", err)
		}
		<-first
	})
}

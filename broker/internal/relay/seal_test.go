package relay_test

import (
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/wxbroker/wxbroker/broker/internal/access"
	"github.com/wxbroker/wxbroker/pkg/wechatsim"
	"github.com/wxbroker/wxbroker/pkg/wxapi"
)

// TestUsersTokens: an app that was given a sealed one may ask about its user with
// nothing else, and nobody else may.
func TestUsersTokens(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		p := w.user()
		for _, secret := range w.sim.IssuedOAuth(appid) {
			if strings.Contains(p.AccessToken+p.RefreshToken, secret) {
				t.Error("the app has the user's token itself")
			}
		}
		if len(p.AccessToken) >= 255 || len(p.RefreshToken) >= 255 {
			t.Errorf("sealed tokens of %d and %d characters", len(p.AccessToken), len(p.RefreshToken))
		}
		other := *shop
		other.Name = "other"
		query := "access_token=" + p.AccessToken + "&openid=o-ann"
		for _, tt := range []struct {
			name              string
			app               *access.App
			appid, api, query string
			proven            bool
			want              int32  // errcode of the broker's, 0 for an answer
			says              string // in WeChat's answer
		}{
			{"userinfo", shop, "", wxapi.PathUserInfo, query, false, 0, `"nickname":"安"`},
			{"userinfo, of an account", shop, appid, wxapi.PathUserInfo, query, false, 0, `"nickname":"安"`},
			{"userinfo, by who has a key", shop, "", wxapi.PathUserInfo, query, true, 0, `"nickname":"安"`},
			{"userinfo, of another account", shop, "wx2", wxapi.PathUserInfo, query, false, 40001, ""},
			{"userinfo, of another account, by who has a key", shop, "wx2", wxapi.PathUserInfo, query, true, 40001, ""},
			{"auth", shop, "", wxapi.PathAuth, query, false, 0, `"errcode":0`},
			{"auth of another user", shop, "", wxapi.PathAuth, "access_token=" + p.AccessToken + "&openid=o-bob", false, 0, `"errcode":40003`},
			{"renewal", shop, "", wxapi.PathRenewal, "refresh_token=" + p.RefreshToken, false, 0, `"openid":"o-ann"`},
			{"renewal with the other one", shop, "", wxapi.PathRenewal, "refresh_token=" + p.AccessToken, false, 40030, ""},
			{"userinfo with the other one", shop, "", wxapi.PathUserInfo, "access_token=" + p.RefreshToken + "&openid=o-ann", false, 40001, ""},
			{"a guess", shop, "", wxapi.PathUserInfo, "access_token=guess&openid=o-ann", false, 40001, ""},
			{"a guess that looks sealed", shop, "", wxapi.PathUserInfo, "access_token=wxo_guess&openid=o-ann", false, 40001, ""},
			{"a guess that looks sealed, by who has a key", shop, appid, wxapi.PathUserInfo, "access_token=wxo_guess&openid=o-ann", true, 40001, ""},
			{"a token that is not sealed, by who has a key", shop, appid, wxapi.PathUserInfo, "access_token=guess&openid=o-ann", true, 0, `"errcode":40014`},
			{"another app", &other, "", wxapi.PathUserInfo, query, false, 40001, ""},
			{"another app, with a key", &other, appid, wxapi.PathUserInfo, query, true, 40001, ""},
			{"another app's renewal", &other, "", wxapi.PathRenewal, "refresh_token=" + p.RefreshToken, false, 40030, ""},
			{"a code by who has no key", shop, appid, wxapi.PathCode, "code=" + w.code("snsapi_base"), false, 40001, ""},
			{"a code by who has a user's token alone", shop, appid, wxapi.PathCode, query + "&code=" + w.code("snsapi_base"), false, 40001, ""},
			{"a code", shop, appid, wxapi.PathCode, "code=" + w.code("snsapi_base"), true, 0, `"openid":"o-ann"`},
			{"a code of an account that is not served", shop, "wx2", wxapi.PathCode, "code=c", true, 48001, ""},
		} {
			said, err := w.OAuth(t.Context(), tt.app, tt.appid, tt.api, tt.query, tt.proven)
			if tt.want == 0 {
				if err != nil || !strings.Contains(string(said.Raw), tt.says) || int64(len(said.Raw)) != said.Length {
					t.Errorf("%s: %v, %s", tt.name, err, said.Raw)
					continue
				}
				for _, secret := range append(w.sim.IssuedOAuth(appid), appSecret) {
					if strings.Contains(string(said.Raw), secret) {
						t.Errorf("%s: a secret is in the answer", tt.name)
					}
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
	})
}

// TestSealedTokensEnd with what is in them: two hours, and thirty days.
func TestSealedTokensEnd(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		p := w.user()
		ask := func(api, query string) error { _, err := w.OAuth(t.Context(), shop, "", api, query, false); return err }
		user := func() error { return ask(wxapi.PathUserInfo, "access_token="+p.AccessToken+"&openid=o-ann") }
		renew := func() error { return ask(wxapi.PathRenewal, "refresh_token="+p.RefreshToken) }
		time.Sleep(2*time.Hour - time.Second)
		if err := user(); err != nil {
			t.Errorf("just before two hours: %v", err)
		}
		time.Sleep(time.Second)
		if err := user(); err == nil {
			t.Error("two hours later it is taken")
		}
		time.Sleep(30*24*time.Hour - 2*time.Hour - time.Second)
		if err := renew(); err != nil {
			t.Errorf("just before thirty days: %v", err)
		}
		time.Sleep(time.Second)
		if err := renew(); err == nil {
			t.Error("thirty days later it is taken")
		}
	})
}

// TestSealedTokensOutliveABroker: any broker that has the same database serves
// them, and none that has another.
func TestSealedTokensOutliveABroker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first := newWorld(t, nil)
		synctest.Wait()
		p := first.user()
		first.stop()
		ask := func(w *world) error {
			_, err := w.OAuth(t.Context(), shop, "", wxapi.PathUserInfo, "access_token="+p.AccessToken+"&openid=o-ann", false)
			return err
		}
		second := newWorld(t, first.disk)
		synctest.Wait()
		if err := ask(second); err != nil {
			t.Errorf("at the next broker: %v", err)
		}
		foreign := newWorld(t, nil)
		synctest.Wait()
		if err := ask(foreign); err == nil {
			t.Error("a broker with another database takes it")
		}
	})
}

// TestSealedTokensAreOneText: what was changed at all is none.
func TestSealedTokensAreOneText(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		p := w.user()
		raw, err := base64.RawURLEncoding.DecodeString(strings.TrimPrefix(p.AccessToken, "wxo_"))
		if err != nil {
			t.Fatal(err)
		}
		changed := []string{
			p.AccessToken + "\n", p.AccessToken + "A", p.AccessToken[:len(p.AccessToken)-1], strings.ToUpper(p.AccessToken), "wxo_",
			strings.TrimPrefix(p.AccessToken, "wxo_"), p.AccessToken + strings.Repeat("A", 2000),
		}
		for i := range raw {
			other := append([]byte{}, raw...)
			other[i] ^= 1
			changed = append(changed, "wxo_"+base64.RawURLEncoding.EncodeToString(other))
		}
		for _, token := range changed {
			if _, err := w.OAuth(t.Context(), shop, "", wxapi.PathUserInfo, "openid=o-ann&access_token="+url.QueryEscape(token), false); err == nil {
				t.Errorf("%q is taken", token)
			}
		}
	})
}

// TestStrangersMakeNoKeys: anybody can write a sealed token that names an account. The
// broker makes no key for it unless it keeps that account and the app may have it.
func TestStrangersMakeNoKeys(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		keys := func() (of []string) {
			for at := range w.disk.Values() {
				if at.Key == "alias_key" {
					of = append(of, at.AppID)
				}
			}
			return of
		}
		every, other := *shop, *shop
		every.Accounts, other.Accounts = []string{access.EveryAccount}, []string{"wx2"}
		for _, tt := range []struct {
			name  string
			app   *access.App
			owner string
		}{
			{"an account that nobody has", &every, "wx-invented"},
			{"an account that is not kept", &other, "wx2"},
			{"an account that the app may not have", &other, appid},
		} {
			for _, api := range []string{wxapi.PathUserInfo, wxapi.PathRenewal} {
				sealed := "wxo_" + base64.RawURLEncoding.EncodeToString([]byte(string(rune(len(tt.owner)))+tt.owner+strings.Repeat("x", 64)))
				query := url.Values{"access_token": {sealed}, "refresh_token": {sealed}, "openid": {"o"}}.Encode()
				if _, err := w.OAuth(t.Context(), tt.app, "", api, query, false); err == nil {
					t.Errorf("%s: it is taken", tt.name)
				}
			}
			if of := keys(); len(of) > 0 {
				t.Fatalf("%s: there are keys of %q", tt.name, of)
			}
		}
		w.user()
		if of := keys(); len(of) != 1 || of[0] != appid {
			t.Errorf("a user's token is sealed with the keys of %q, so this shows nothing", of)
		}
	})
}

// TestTokensOfEveryForm are sealed and opened: WeChat says no more of a token than
// that it is a string.
func TestTokensOfEveryForm(t *testing.T) {
	long := strings.Repeat("OezXcEiiBSKSxW0eoylIeAsR0msYd1awCffdHgb4fhS_KKf2CotGj2cBNUKQQvj-", 3)
	for _, token := range []string{"a", "ab", "abc", "abcd", long[:150], long[:153], long[:181], "77_with.dot", "with space", "汉字", "=&%", "\r\n", strings.Repeat("x", 512)} {
		inBubble(t, func(t *testing.T, w *world) {
			var got string
			w.wechat.Answer(func(rw http.ResponseWriter, r *http.Request) {
				if r.URL.Path == wxapi.PathCode {
					_, _ = fmt.Fprintf(rw, `{"access_token":%q,"refresh_token":"r","openid":"o-ann","scope":"s"}`, token)
					return
				}
				got = r.URL.Query().Get("access_token")
				_, _ = io.WriteString(rw, `{"errcode":0}`)
			})
			p, err := w.pageOf(t.Context(), shop, appid, "c")
			if err != nil {
				t.Fatal(err)
			}
			if len(token) <= 185 && len(p.AccessToken) >= 255 {
				t.Errorf("%d characters become %d", len(token), len(p.AccessToken))
			}
			if _, err := w.OAuth(t.Context(), shop, "", wxapi.PathAuth, "openid=o-ann&access_token="+p.AccessToken, false); err != nil || got != token {
				t.Errorf("%q arrives as %q, %v", token, got, err)
			}
		})
	}
}

// TestAnswersAboutUsers: what an app gets is what WeChat says, but for tokens.
func TestAnswersAboutUsers(t *testing.T) {
	for _, tt := range []struct {
		name   string
		api    string
		status int
		says   string
		want   string // with T for what is sealed; "" for an error
	}{
		{
			"a code's", wxapi.PathCode, 200, ` {"access_token":"real-1","expires_in":7200,"refresh_token":"real-2","openid":"o","scope":"snsapi_base","is_snapshotuser":1,"unionid":"u","x":{"y":"<&>"},"big":9007199254740993}`,
			`{"access_token":"T","big":9007199254740993,"expires_in":7200,"is_snapshotuser":1,"openid":"o","refresh_token":"T","scope":"snsapi_base","unionid":"u","x":{"y":"<&>"}}`,
		},
		{"without a token", wxapi.PathCode, 200, `{"openid":"o"}`, `{"openid":"o"}`},
		{"an empty token", wxapi.PathCode, 200, `{"access_token":"","openid":"o"}`, `{"access_token":"","openid":"o"}`},
		{"a token in another place, too", wxapi.PathCode, 200, `{"access_token":"real-1","Access_Token":"real-1","note":"is real-1"}`, `{"Access_Token":"******","access_token":"T","note":"is ******"}`},
		{"a renewal with the same token", wxapi.PathRenewal, 200, `{"access_token":"real-3","refresh_token":"presented"}`, `{"access_token":"T","refresh_token":"T"}`},
		{"a refusal that says the token back", wxapi.PathRenewal, 200, `{"errcode":40030,"errmsg":"invalid presented"}`, `{"errcode":40030,"errmsg":"invalid *********"}`},
		{"userinfo that says the token back", wxapi.PathUserInfo, 200, `{"nickname":"presented","unionid":"u","x":1}`, `{"nickname":"*********","unionid":"u","x":1}`},
		{"userinfo that is no JSON", wxapi.PathUserInfo, 200, "{\"nickname\":\"a\x01\"}", "{\"nickname\":\"a\x01\"}"},
		{"a token that is no text", wxapi.PathCode, 200, `{"access_token":1,"openid":"o"}`, ""},
		{"no JSON", wxapi.PathCode, 200, `<html>`, ""},
		{"nothing", wxapi.PathCode, 200, ``, ""},
		{"another status", wxapi.PathCode, 404, `{"access_token":"real-1","openid":"o"}`, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, w *world) {
				w.wechat.Answer(func(rw http.ResponseWriter, _ *http.Request) {
					rw.WriteHeader(tt.status)
					_, _ = io.WriteString(rw, tt.says)
				})
				query := map[string]string{wxapi.PathCode: "code=c", wxapi.PathRenewal: "refresh_token=presented", wxapi.PathUserInfo: "access_token=presented&openid=o"}[tt.api]
				said, err := w.OAuth(t.Context(), shop, appid, tt.api, query, true)
				if tt.want == "" {
					if err == nil {
						t.Fatalf("it is taken: %s", said.Raw)
					}
					if code, refused := refusal(t, err); code != codes.Unavailable || refused.GetErrcode() != -1 {
						t.Errorf("%v", err)
					}
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				var out strings.Builder
				for i, part := range strings.Split(string(said.Raw), `"wxo_`) {
					if i > 0 {
						_, after, _ := strings.Cut(part, `"`)
						part = `"T"` + after
					}
					out.WriteString(part)
				}
				if out.String() != tt.want {
					t.Errorf("%s\nwant %s", out.String(), tt.want)
				}
			})
		})
	}
}

// TestAFlightOfTwoApps: each gets the tokens sealed for itself.
func TestAFlightOfTwoApps(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		if err := w.sim.Inject(wechatsim.Fault{Kind: wechatsim.FaultDelay, Path: wxapi.PathCode, Duration: 2 * time.Second, Count: 1}); err != nil {
			t.Fatal(err)
		}
		code := w.code("snsapi_userinfo")
		other := *shop
		other.Name = "other"
		apps := []*access.App{shop, &other}
		pages := make(chan page, len(apps))
		for _, app := range apps {
			go func() {
				p, err := w.pageOf(t.Context(), app, appid, code)
				if err != nil {
					t.Error(err)
				}
				if _, err := w.OAuth(t.Context(), app, "", wxapi.PathUserInfo, "access_token="+p.AccessToken+"&openid=o-ann", false); err != nil {
					t.Errorf("%s: %v", app.Name, err)
				}
				pages <- p
			}()
		}
		if one, two := <-pages, <-pages; one.AccessToken == two.AccessToken {
			t.Error("two apps have the same token")
		}
	})
}

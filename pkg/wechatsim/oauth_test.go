package wechatsim_test

import (
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wxbroker/wxbroker/pkg/wechatsim"
)

// authorize lets a user agree to a page.
func (w *wechat) authorize(u wechatsim.User, scope string) string {
	w.t.Helper()
	code, err := w.Authorize(appid, u, scope)
	if err != nil {
		w.t.Fatal(err)
	}
	return code
}

func exchangePath(appid, secret, code string) string {
	return wechatsim.PathOAuthToken + "?" + url.Values{
		"grant_type": {"authorization_code"}, "appid": {appid}, "secret": {secret}, "code": {code},
	}.Encode()
}

// exchange turns a code into tokens, as a program does.
func (w *wechat) exchangeCode(code string) reply {
	w.t.Helper()
	return w.do("GET", exchangePath(appid, secret, code), "")
}

func (w *wechat) refresh(token string) reply {
	w.t.Helper()
	return w.do("GET", wechatsim.PathOAuthRefresh+"?grant_type=refresh_token&appid="+appid+"&refresh_token="+token, "")
}

// check asks whether a token is good for an openid, and returns the code.
func (w *wechat) check(token, openid string) int {
	w.t.Helper()
	return w.do("GET", wechatsim.PathOAuthCheck+"?access_token="+token+"&openid="+openid, "").Code
}

var somebody = wechatsim.User{
	OpenID: "o6_bmjrPTlm6_2sgVt7hMZOPfL2M", UnionID: "o6_bmasdasdsad6_2sgVt7hMZOPfL", Nickname: "小<明>", Sex: 1,
	Province: "广东", City: "广州", Country: "CN", HeadImgURL: "https://thirdwx.qlogo.cn/mmopen/x/46", Privilege: []string{"chinaunicom"},
}

func TestCodeIsExchanged(t *testing.T) {
	snapshot := somebody
	snapshot.Snapshot = true
	tests := []struct {
		name, scope string
		user        wechatsim.User
		unionid     string
		snapshot    int
	}{
		{"all of a user", wechatsim.ScopeUserInfo, somebody, somebody.UnionID, 0},
		{"an openid alone", wechatsim.ScopeBase, somebody, "", 0},
		{"a snapshot", wechatsim.ScopeUserInfo, snapshot, somebody.UnionID, 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := inMemory(t, wechatsim.Settings{})
				r := w.exchangeCode(w.authorize(tt.user, tt.scope))
				if r.Code != 0 || r.Token == "" || r.Refresh == "" || r.Token == r.Refresh || r.ExpiresIn != "7200" ||
					r.OpenID != somebody.OpenID || r.Scope != tt.scope || r.UnionID != tt.unionid || r.Snapshot != tt.snapshot {
					t.Errorf("%+v", r)
				}
				if got, want := w.IssuedOAuth(appid), []string{r.Token, r.Refresh}; !slices.Equal(got, want) {
					t.Errorf("issued %q, want %q", got, want)
				}
				if len(w.Issued(appid)) != 0 || w.IssuedOAuth("wx1") != nil {
					t.Error("they are among the account's own, or nobody's")
				}
			})
		})
	}
}

func TestUserInfoIsWhatTheUserAllowed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := inMemory(t, wechatsim.Settings{})
		info := func(u wechatsim.User, scope string) string {
			t.Helper()
			token := w.exchangeCode(w.authorize(u, scope)).Token
			_, _, text, err := w.exchange("GET", wechatsim.PathOAuthUserInfo+"?lang=zh_CN&access_token="+token+"&openid="+u.OpenID, "")
			if err != nil {
				t.Fatal(err)
			}
			return text
		}
		want := `{"openid":"o6_bmjrPTlm6_2sgVt7hMZOPfL2M","unionid":"o6_bmasdasdsad6_2sgVt7hMZOPfL","nickname":"小<明>","sex":1,` +
			`"province":"广东","city":"广州","country":"CN","headimgurl":"https://thirdwx.qlogo.cn/mmopen/x/46","privilege":["chinaunicom"]}`
		if got := info(somebody, wechatsim.ScopeUserInfo); got != want {
			t.Errorf("%s, want %s", got, want)
		}
		want = `{"openid":"o2","nickname":"","sex":0,"province":"","city":"","country":"","headimgurl":"","privilege":[]}`
		if got := info(wechatsim.User{OpenID: "o2", Snapshot: true}, wechatsim.ScopeUserInfo); got != want {
			t.Errorf("%s, want %s", got, want)
		}
		if got := info(somebody, wechatsim.ScopeBase); !strings.HasPrefix(got, `{"errcode":48001,"errmsg":"api unauthorized, rid: `) {
			t.Errorf("by %s: %s", wechatsim.ScopeBase, got)
		}
	})
}

func TestCodeWorksOnceAndForFiveMinutes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := inMemory(t, wechatsim.Settings{})
		w.AddAccount(wechatsim.Account{AppID: "wxother", Secret: secret})
		refused := func(r reply, code int, message string) {
			t.Helper()
			if r.Code != code || !strings.HasPrefix(r.Message, message+", rid: ") {
				t.Errorf("%d %q, want %d %q", r.Code, r.Message, code, message)
			}
		}
		used, late, late2 := w.authorize(somebody, wechatsim.ScopeBase), w.authorize(somebody, wechatsim.ScopeBase), w.authorize(somebody, wechatsim.ScopeBase)
		refused(w.do("GET", exchangePath("wxother", secret, used), ""), 40029, "invalid code")
		refused(w.do("GET", exchangePath(appid, "x", used), ""), 40125, "invalid appsecret")
		if r := w.exchangeCode(used); r.Code != 0 {
			t.Errorf("a code that failed for others: %d %s", r.Code, r.Message)
		}
		refused(w.exchangeCode(used), 40163, "code been used")
		time.Sleep(5*time.Minute - time.Second)
		if r := w.exchangeCode(late); r.Code != 0 {
			t.Errorf("a second before its end: %d %s", r.Code, r.Message)
		}
		time.Sleep(time.Second)
		refused(w.exchangeCode(late2), 42003, "code expired")
		refused(w.exchangeCode(used), 40163, "code been used")
		if n := len(w.IssuedOAuth(appid)); n != 4 {
			t.Errorf("%d values issued, want those of two codes", n)
		}
	})
}

func TestOAuthTokenExpiresAndIsRefreshed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := inMemory(t, wechatsim.Settings{})
		first := w.exchangeCode(w.authorize(somebody, wechatsim.ScopeUserInfo))
		good := func(token string, want int) {
			t.Helper()
			if code := w.check(token, somebody.OpenID); code != want {
				t.Errorf("the token: %d, want %d", code, want)
			}
		}
		time.Sleep(7200*time.Second - time.Second)
		good(first.Token, 0)
		// A refresh of a live token gives it a new life.
		again := w.refresh(first.Refresh)
		if again.Token != first.Token || again.Refresh != first.Refresh || again.ExpiresIn != "7200" || again.OpenID != first.OpenID || again.Scope != first.Scope {
			t.Errorf("refreshed while it lives: %+v, want %+v", again, first)
		}
		time.Sleep(7200*time.Second - time.Second)
		good(first.Token, 0)
		time.Sleep(time.Second)
		good(first.Token, 42001)
		second := w.refresh(first.Refresh)
		if second.Token == first.Token || second.Refresh != first.Refresh {
			t.Errorf("refreshed after its end: %+v", second)
		}
		good(first.Token, 42001)
		good(second.Token, 0)
		if want := []string{first.Token, second.Token, first.Refresh}; !slices.Equal(w.IssuedOAuth(appid), want) {
			t.Errorf("issued %q, want %q", w.IssuedOAuth(appid), want)
		}
		// 30 days from the exchange, of which four hours less a second are over.
		time.Sleep(30*24*time.Hour - 4*time.Hour)
		if r := w.refresh(first.Refresh); r.Code != 0 {
			t.Errorf("a second before the refresh token's end: %d", r.Code)
		}
		time.Sleep(time.Second)
		if r := w.refresh(first.Refresh); r.Code != 42002 {
			t.Errorf("after the refresh token's end: %d, want 42002", r.Code)
		}
	})
}

func TestOAuthTokensAreNotTheAccounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := inMemory(t, wechatsim.Settings{})
		own := w.granted(w.stable(false))
		users := w.exchangeCode(w.authorize(somebody, wechatsim.ScopeUserInfo))
		if code := w.probe(users.Token); code != 40001 {
			t.Errorf("a user's token as the account's: %d, want 40001", code)
		}
		for name, token := range map[string]string{"the account's token": own, "the refresh token": users.Refresh} {
			if code := w.check(token, somebody.OpenID); code != 40001 {
				t.Errorf("%s as a user's: %d, want 40001", name, code)
			}
		}
		if code := w.check(users.Token, "o2"); code != 40003 {
			t.Errorf("another's openid: %d, want 40003", code)
		}
		if r := w.refresh(users.Token); r.Code != 40030 {
			t.Errorf("an access token as a refresh token: %d, want 40030", r.Code)
		}
	})
}

func TestTheAllowListDoesNotApplyToOAuth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := inMemory(t, wechatsim.Settings{})
		if err := w.SetAllowList(appid, netip.MustParsePrefix("203.0.113.7/32")); err != nil {
			t.Fatal(err)
		}
		if r := w.exchangeCode(w.authorize(somebody, wechatsim.ScopeBase)); r.Code != 0 {
			t.Errorf("%d %s", r.Code, r.Message)
		}
		if r := w.classic(); r.Code != 40164 {
			t.Errorf("the account's own token: %d, want 40164", r.Code)
		}
	})
}

func TestOAuthRefusals(t *testing.T) {
	const (
		exchange = wechatsim.PathOAuthToken
		refresh  = wechatsim.PathOAuthRefresh
		info     = wechatsim.PathOAuthUserInfo
		check    = wechatsim.PathOAuthCheck
		byCode   = "?grant_type=authorization_code"
		byToken  = "?grant_type=refresh_token"
	)
	unknown := "?openid=o1&access_token=80_" + strings.Repeat("A", 147)
	tests := []struct {
		name, method, path string
		code               int
		message            string
		account            string
	}{
		{"exchange by POST", "POST", exchange + byCode, 43001, "require GET method", "unknown"},
		{"exchange without grant_type", "GET", exchange, 40002, "invalid grant_type", "unknown"},
		{"exchange with another grant_type", "GET", exchange + "?grant_type=client_credential", 40002, "invalid grant_type", "unknown"},
		{"exchange without appid", "GET", exchange + byCode, 41002, "appid missing", "unknown"},
		{"exchange without secret", "GET", exchange + byCode + "&appid=" + appid, 41004, "appsecret missing", appid},
		{"exchange with an unknown appid", "GET", exchangePath("wx1", secret, "x"), 40013, "invalid appid", "unknown"},
		{"exchange with a wrong secret", "GET", exchangePath(appid, "x", "x"), 40125, "invalid appsecret", appid},
		{"exchange without code", "GET", exchangePath(appid, secret, ""), 41008, "missing code", appid},
		{"exchange with an unknown code", "GET", exchangePath(appid, secret, "x"), 40029, "invalid code", appid},
		{"refresh by POST", "POST", refresh + byToken, 43001, "require GET method", "unknown"},
		{"refresh without grant_type", "GET", refresh, 40002, "invalid grant_type", "unknown"},
		{"refresh without appid", "GET", refresh + byToken, 41002, "appid missing", "unknown"},
		{"refresh without token", "GET", refresh + byToken + "&appid=" + appid, 41003, "refresh_token missing", appid},
		{"refresh with an unknown appid", "GET", refresh + byToken + "&appid=wx1&refresh_token=x", 40013, "invalid appid", "unknown"},
		{"refresh with an unknown token", "GET", refresh + byToken + "&appid=" + appid + "&refresh_token=x", 40030, "invalid refresh_token", appid},
		{"user by POST", "POST", info, 43001, "require GET method", "unknown"},
		{"user without token", "GET", info + "?openid=o1", 41001, "access_token missing", "unknown"},
		{"user with a malformed token", "GET", info + "?openid=o1&access_token=x", 40014, "invalid access_token", "unknown"},
		{"user with an unknown token", "GET", info + unknown, 40001, "invalid credential, access_token is invalid or not latest", "unknown"},
		{"check without token", "GET", check, 41001, "access_token missing", "unknown"},
		{"check with an unknown token", "GET", check + unknown, 40001, "invalid credential, access_token is invalid or not latest", "unknown"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := inMemory(t, wechatsim.Settings{})
				w.authorize(somebody, wechatsim.ScopeBase) // its refresh token is "" still, and must not be found by that
				r := w.do(tt.method, tt.path, "")
				if r.Code != tt.code || !strings.HasPrefix(r.Message, tt.message+", rid: ") {
					t.Errorf("%d %q, want %d %q", r.Code, r.Message, tt.code, tt.message)
				}
				if n := w.Count(wechatsim.Call{AppID: tt.account}); n != 1 {
					t.Errorf("%s has %d calls, want one", tt.account, n)
				}
				if len(w.IssuedOAuth(appid)) != 0 {
					t.Error("a refused call issued something")
				}
			})
		})
	}
}

func TestOAuthWithoutOpenID(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := inMemory(t, wechatsim.Settings{})
		token := w.exchangeCode(w.authorize(somebody, wechatsim.ScopeUserInfo)).Token
		for _, path := range []string{wechatsim.PathOAuthUserInfo, wechatsim.PathOAuthCheck} {
			if r := w.do("GET", path+"?access_token="+token, ""); r.Code != 41009 {
				t.Errorf("%s: %d, want 41009", path, r.Code)
			}
			if n := w.Count(wechatsim.Call{AppID: appid, API: path}); n != 1 {
				t.Errorf("%s: the account has %d calls, want one", path, n)
			}
		}
	})
}

func TestAuthorizeThatMakesNoSense(t *testing.T) {
	sim := wechatsim.New(wechatsim.Config{Accounts: []wechatsim.Account{{AppID: appid, Secret: secret}}})
	for _, tt := range []struct {
		name, appid, scope, openid, want string
	}{
		{"no scope", appid, "", "o1", "no scope"},
		{"a scope of another kind", appid, "snsapi_login", "o1", "no scope"},
		{"no openid", appid, wechatsim.ScopeBase, "", "no openid"},
		{"an unknown openid", appid, wechatsim.ScopeBase, "unknown1", "no openid"},
		{"nobody's", "wx1", wechatsim.ScopeBase, "o1", "no account"},
	} {
		code, err := sim.Authorize(tt.appid, wechatsim.User{OpenID: tt.openid}, tt.scope)
		if err == nil || code != "" || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: code %q, error %v, want %q", tt.name, code, err, tt.want)
		}
	}
}

func TestOldAuthorizationsAreForgotten(t *testing.T) {
	w := overTCP(t, nil)
	first := w.authorize(somebody, wechatsim.ScopeBase)
	for range 19999 {
		w.authorize(somebody, wechatsim.ScopeBase)
	}
	kept := w.authorize(somebody, wechatsim.ScopeBase)
	if r := w.exchangeCode(first); r.Code != 40029 {
		t.Errorf("the first of 20001: %d, want 40029", r.Code)
	}
	if r := w.exchangeCode(kept); r.Code != 0 {
		t.Errorf("the last: %d %s", r.Code, r.Message)
	}
}

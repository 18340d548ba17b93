package admit_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/wxbroker/wxbroker/edge/internal/admit"
	"github.com/wxbroker/wxbroker/edge/internal/apitest"
	"github.com/wxbroker/wxbroker/edge/internal/audit"
	"github.com/wxbroker/wxbroker/edge/internal/signing"
	"github.com/wxbroker/wxbroker/pkg/credential"
	"github.com/wxbroker/wxbroker/pkg/wxapi"
)

const (
	shop  = "wx0123456789abcdef"
	pay   = "wxfedcba9876543210"
	token = "57_token"
)

// newDoor is that of an edge that may make calls for shop, and has the token of pay.
// Its local key is k, of the name billing.
func newDoor(t *testing.T) admit.Door {
	t.Helper()
	state := signing.New(nil, credential.WallClock)
	state.Apply([]credential.Account{
		apitest.CallsOnly(shop),
		apitest.Holding(pay, []credential.Kind{credential.AccessToken}, apitest.Live(credential.AccessToken, token, time.Hour, 0)),
	})
	return admit.Door{State: state, Keys: apitest.Keys(t, "billing k\n")}
}

func presenting(authorization string) *http.Request {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	if authorization != "" {
		r.Header.Set("Authorization", authorization)
	}
	return r
}

// refusal returns WeChat's code of an error, 0 for none.
func refusal(t *testing.T, err error) wxapi.Code {
	t.Helper()
	var said wxapi.Refusal
	if err != nil && !errors.As(err, &said) {
		t.Fatalf("no refusal of WeChat's: %v", err)
	}
	return said.Code
}

func TestKey(t *testing.T) {
	for _, test := range []struct {
		authorization, name string
		err                 error
	}{
		{"Bearer k", "billing", nil},
		{"bearer   k", "billing", nil},
		{"Bearer x", "", admit.ErrNoKey},
		{"Bearer", "", admit.ErrNoKey},
		{"Basic k", "", admit.ErrNoKey},
		{"k", "", admit.ErrNoKey},
		{"Bearer " + token, "", admit.ErrNoKey},
		{"", "", admit.ErrNoKey},
	} {
		if name, err := newDoor(t).Key(presenting(test.authorization)); name != test.name || !errors.Is(err, test.err) {
			t.Errorf("%q: %q, %v", test.authorization, name, err)
		}
	}
}

func TestToken(t *testing.T) {
	byKey := admit.Caller{Name: "billing", Key: "billing", Proven: true}
	withAccount := byKey
	withAccount.AppID = pay
	for _, test := range []struct {
		name, authorization, token string
		want                       admit.Caller
		code                       wxapi.Code
	}{
		{"a local key", "Bearer k", "", byKey, 0},
		{"a local key, and the token of an account", "Bearer k", token, withAccount, 0},
		{"a local key, and what is no token", "Bearer k", "input", byKey, 0},
		{"a token", "", token, admit.Caller{Name: audit.SharedToken, AppID: pay, Proven: true}, 0},
		{"a token, and another key", "Bearer x", token, admit.Caller{Name: audit.SharedToken, AppID: pay, Proven: true}, 0},
		{"an alias", "", apitest.Alias(t, shop, "other"), admit.Caller{Name: "other", Key: "other", AppID: shop, Proven: true}, 0},
		{"an alias of an account that is not served", "", apitest.Alias(t, "wx1", "other"), admit.Caller{}, wxapi.InvalidCredential},
		{"another token", "", "57_other", admit.Caller{}, wxapi.InvalidCredential},
		{"the local key as token", "", "k", admit.Caller{}, wxapi.InvalidCredential},
		{"another key", "Bearer x", "", admit.Caller{}, wxapi.InvalidCredential},
		{"nothing", "", "", admit.Caller{}, wxapi.MissingToken},
	} {
		got, err := newDoor(t).Token(presenting(test.authorization), test.token)
		if got != test.want || refusal(t, err) != test.code {
			t.Errorf("%s: %+v, %v", test.name, got, err)
		}
	}
}

// Who presents no key learns nothing of which accounts there are.
func TestSecret(t *testing.T) {
	byKey := admit.Caller{Name: "billing", Key: "billing", AppID: shop, Proven: true}
	for _, test := range []struct {
		name, appid, secret string
		want                admit.Caller
		code                wxapi.Code
	}{
		{"a local key", shop, "k", byKey, 0},
		{"another key", shop, "x", admit.Caller{}, wxapi.InvalidSecret},
		{"another key, and an account that is not served", "wxunknown", "x", admit.Caller{}, wxapi.InvalidSecret},
		{"another key, and what is no account", "a b", "x", admit.Caller{}, wxapi.InvalidSecret},
		{"what is no account", "a b", "k", admit.Caller{Name: "billing", Key: "billing", Proven: true}, wxapi.InvalidAppID},
	} {
		got, account, err := newDoor(t).Secret(test.appid, test.secret)
		if got != test.want || refusal(t, err) != test.code || (account.AppID == shop) != (test.code == 0) {
			t.Errorf("%s: %+v, %s, %v", test.name, got, account.AppID, err)
		}
	}
	if got, _, err := newDoor(t).Secret("wxunknown", "k"); got.AppID != "wxunknown" || err == nil {
		t.Errorf("an account that is not served: %+v, %v", got, err)
	}
}

func TestUser(t *testing.T) {
	byKey := admit.Caller{Name: "billing", Key: "billing", Proven: true}
	ofShop := byKey
	ofShop.AppID = shop
	for _, test := range []struct {
		name, authorization string
		asked               admit.UserRequest
		want                admit.Caller
		code                wxapi.Code
	}{
		{"a local key", "Bearer k", admit.UserRequest{Path: wxapi.PathCode}, byKey, 0},
		{"a local key as secret", "", admit.UserRequest{Path: wxapi.PathCode, AppID: shop, Secret: "k"}, ofShop, 0},
		{"another secret", "", admit.UserRequest{Path: wxapi.PathCode, AppID: shop, Secret: "x"}, admit.Caller{}, wxapi.InvalidSecret},
		{"no secret for a code", "", admit.UserRequest{Path: wxapi.PathCode, AppID: shop}, admit.Caller{}, wxapi.MissingSecret},
		{"no account for a code", "", admit.UserRequest{Path: wxapi.PathCode, Secret: "k"}, admit.Caller{}, wxapi.MissingAppID},
		{"a secret of no account", "", admit.UserRequest{Path: wxapi.PathUserInfo, Secret: "k"}, admit.Caller{}, wxapi.MissingAppID},
		{"a user's token, which the broker judges", "", admit.UserRequest{Path: wxapi.PathUserInfo, AppID: shop, Token: "u"}, admit.Caller{AppID: shop}, 0},
		{"a user's token, and what is no account", "", admit.UserRequest{Path: wxapi.PathUserInfo, AppID: "a b", Token: "u"}, admit.Caller{}, 0},
		{"a refresh token", "", admit.UserRequest{Path: wxapi.PathUserInfo, Refreshes: true}, admit.Caller{}, 0},
		{"nothing", "", admit.UserRequest{Path: wxapi.PathUserInfo}, admit.Caller{}, wxapi.MissingToken},
	} {
		got, err := newDoor(t).User(presenting(test.authorization), test.asked)
		if got != test.want || refusal(t, err) != test.code {
			t.Errorf("%s: %+v, %v", test.name, got, err)
		}
	}
}

// An edge without local keys lets nobody in, whatever is presented.
func TestWithoutLocalKeys(t *testing.T) {
	d := newDoor(t)
	d.Keys = nil
	if _, err := d.Key(presenting("Bearer k")); !errors.Is(err, admit.ErrNoKeys) {
		t.Errorf("a key: %v", err)
	}
	for name, ask := range map[string]func() error{
		"a key for a token": func() error { _, err := d.Token(presenting("Bearer k"), ""); return err },
		"a token":           func() error { _, err := d.Token(presenting(""), token); return err },
		"an alias":          func() error { _, err := d.Token(presenting(""), apitest.Alias(t, shop, "a")); return err },
		"a secret":          func() error { _, _, err := d.Secret(shop, "k"); return err },
		"a user's token":    func() error { _, err := d.User(presenting(""), admit.UserRequest{Token: "u"}); return err },
		"a secret for a user": func() error {
			_, err := d.User(presenting(""), admit.UserRequest{AppID: shop, Secret: "k"})
			return err
		},
	} {
		if code := refusal(t, ask()); code != wxapi.InvalidCredential && code != wxapi.InvalidSecret {
			t.Errorf("%s: %d", name, code)
		}
	}
}

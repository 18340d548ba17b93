package signing_test

import (
	"strconv"
	"testing"
	"time"

	"github.com/wxbroker/wxbroker/edge/internal/apitest"
	"github.com/wxbroker/wxbroker/edge/internal/signing"
	"github.com/wxbroker/wxbroker/pkg/credential"
	"github.com/wxbroker/wxbroker/pkg/jsapi"
	"github.com/wxbroker/wxbroker/pkg/wechatsim"
)

const (
	shop = "wx0123456789abcdef"
	pay  = "wxfedcba9876543210"
)

// wechat is a simulated WeChat with the accounts shop and pay.
type wechat struct {
	*wechatsim.Sim
	t *testing.T
}

func newWeChat(t *testing.T, lifetime time.Duration) wechat {
	t.Helper()
	return wechat{wechatsim.New(wechatsim.Config{
		Accounts: []wechatsim.Account{{AppID: shop, Secret: "s"}, {AppID: pay, Secret: "s"}},
		Settings: wechatsim.Settings{TicketLifetime: lifetime},
	}), t}
}

// account returns an account with a ticket that WeChat just handed out, as the
// broker would grant it at now.
func (w wechat) account(appid string, now credential.Instant, hosts ...string) credential.Account {
	w.t.Helper()
	a := apitest.Account(w.t, w, appid, now, hosts...)
	a.Kinds, a.Credentials = a.Kinds[1:], a.Credentials[1:]
	return a
}

// accepts reports whether WeChat would accept c now.
func (w wechat) accepts(c jsapi.Config) bool {
	return w.Verify(c.AppID, c.NonceStr, strconv.FormatInt(c.Timestamp, 10), c.URL, c.Signature).Accepted
}

func request(t *testing.T, appid, address string) signing.Request {
	t.Helper()
	page, err := jsapi.ParseURL(address)
	if err != nil {
		t.Fatal(err)
	}
	return signing.Request{AppID: appid, Page: page}
}

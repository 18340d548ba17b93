package apitest

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/wxbroker/wxbroker/pkg/credential"
	"github.com/wxbroker/wxbroker/pkg/wxapi"
)

// Account returns an account as the broker grants it at now, with a token and a
// ticket for pages that wechat, where its AppSecret is s, just handed out. It may
// sign for hosts, or for any where there are none.
func Account(t testing.TB, wechat http.Handler, appid string, now credential.Instant, hosts ...string) credential.Account {
	t.Helper()
	rules, err := credential.ParseHostRules(hosts)
	if err != nil {
		t.Fatal(err)
	}
	fetch := func(kind credential.Kind, member, call string) credential.Credential {
		rec := httptest.NewRecorder()
		wechat.ServeHTTP(rec, httptest.NewRequestWithContext(context.Background(), http.MethodGet, call, nil))
		var body map[string]any
		if err := json.Unmarshal(rec.Body.Bytes(), &body); err != nil {
			t.Fatal(err)
		}
		value, _ := body[member].(string)
		life, _ := body["expires_in"].(float64)
		if value == "" || life <= 0 {
			t.Fatalf("WeChat answered %s with %s", call, rec.Body)
		}
		return credential.Credential{
			Kind: kind, Value: credential.NewSecret(value), Version: now.Wall().UnixMilli(),
			Expiry: now.Add(time.Duration(life) * time.Second),
		}
	}
	token := fetch(credential.AccessToken, "access_token", wxapi.PathToken+"?grant_type=client_credential&secret=s&appid="+appid)
	ticket := fetch(credential.JSAPITicket, "ticket", wxapi.PathTicket+"?type=jsapi&access_token="+token.Value.Reveal())
	return credential.Account{
		AppID: appid, SignHosts: rules,
		Kinds:       []credential.Kind{credential.AccessToken, credential.JSAPITicket},
		Credentials: []credential.Credential{token, ticket},
	}
}

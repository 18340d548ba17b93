package deploy

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"

	"github.com/wxbroker/wxbroker/pkg/wechatsim"
	"github.com/wxbroker/wxbroker/tools/internal/page"
)

// What WeChat knows of the examples' account.
const (
	appid     = "wx0123456789abcdef"
	appSecret = "0123456789abcdef0123456789abcdef"
)

// wechat is a simulated WeChat.
type wechat struct {
	sim *wechatsim.Sim
	url string
}

func newWeChat(t *testing.T) wechat {
	t.Helper()
	sim := wechatsim.New(wechatsim.Config{})
	sim.AddAccount(wechatsim.Account{AppID: appid, Secret: appSecret})
	server := httptest.NewServer(sim)
	t.Cleanup(server.Close)
	return wechat{sim, server.URL}
}

// upstreams is the line of a broker's configuration that leads to this WeChat.
func (w wechat) upstreams() string { return fmt.Sprintf("upstreams: [%q]\n", w.url) }

// accepts fails unless the edge at a port signs a page and WeChat accepts the signature.
func (w wechat) accepts(t *testing.T, port string) {
	t.Helper()
	address := "http://127.0.0.1:" + port + "/v1/jsapi/config?url=" + url.QueryEscape(page.URL)
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var signature page.Signature
	if err := json.NewDecoder(response.Body).Decode(&signature); err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("the edge answers %d %s (%v)", response.StatusCode, signature.ErrMsg, err)
	}
	if verdict := signature.Judge(w.sim); !verdict.Accepted {
		t.Errorf("WeChat refuses the edge's signature: %+v", verdict)
	}
}

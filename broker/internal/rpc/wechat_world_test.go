package rpc_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
	"time"

	"github.com/wxbroker/wxbroker/broker/internal/fanout"
	"github.com/wxbroker/wxbroker/broker/internal/keeper"
	"github.com/wxbroker/wxbroker/broker/internal/relay"
	"github.com/wxbroker/wxbroker/broker/internal/store/storetest"
	"github.com/wxbroker/wxbroker/broker/internal/wechat"
	"github.com/wxbroker/wxbroker/pkg/credential"
	"github.com/wxbroker/wxbroker/pkg/wxapi"
)

// answers is a WeChat that takes everything.
func answers(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case wxapi.PathTemplate:
		fmt.Fprint(w, `{"errcode":0,"errmsg":"ok","msgid":1}`)
	case wxapi.PathMedia:
		w.Header().Set("Content-Disposition", `attachment; filename="m.jpg"`)
		switch r.FormValue("media_id") {
		case "half":
			w.Header().Set("Content-Length", "100000")
			_, _ = w.Write(make([]byte, 50_000))
		case "gbk":
			w.Header().Set("Content-Type", "image/jpeg;\xff")
			w.Header().Set("Content-Disposition", "attachment; filename=\"\xcd\xff.jpg\"")
		default:
			fmt.Fprint(w, "a picture")
		}
	case wxapi.PathCode:
		fmt.Fprint(w, `{"access_token":"the-users-token","expires_in":7200,"refresh_token":"r","openid":"o","scope":"snsapi_base"}`)
	default:
		echo(w, r)
	}
}

// echo answers with what it got.
func echo(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	w.Header().Set("Content-Type", "text/x-answer")
	w.WriteHeader(http.StatusCreated)
	fmt.Fprintf(w, "%s %s %s %d %s", r.Method, r.RequestURI, r.Header.Get("Content-Type"), r.ContentLength, body)
}

// endless answers until its client leaves.
func endless(w http.ResponseWriter, _ *http.Request) {
	for {
		if _, err := w.Write(make([]byte, 10_000)); err != nil {
			return
		}
	}
}

// trickle answers a call for a file with a piece a second until its client
// leaves, and echoes others. In a bubble time stands still while endless writes.
func trickle(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path != wxapi.PathMedia {
		echo(w, r)
		return
	}
	for {
		_, _ = w.Write(make([]byte, 10_000))
		select {
		case <-r.Context().Done():
			return
		case <-time.After(time.Second):
		}
	}
}

// relayed returns a relay to a WeChat that takes everything.
func relayed(t *testing.T, states *fanout.Fanout) *relay.Relay {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(answers))
	t.Cleanup(server.Close)
	upstream, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	return relayOver(wechat.New(wechat.Options{Upstreams: []*url.URL{upstream}}), states)
}

// relayOver returns a relay over a client.
func relayOver(client *wechat.Client, states *fanout.Fanout) *relay.Relay {
	log := slog.New(slog.DiscardHandler)
	return relay.New(relay.Options{
		WeChat: client, Account: states.Account, Store: new(storetest.Disk).Writer(), Clock: credential.WallClock, Log: log,
		Keys: &relay.Keys{Store: new(storetest.Disk).Writer(), Log: log},
		Keeper: func(appid string) *keeper.Keeper { // which never runs: its AppSecret is what counts
			if !states.Has(appid) {
				return nil
			}
			return keeper.New(context.Background(), keeper.Options{
				Account: wechat.Account{AppID: appid, Secret: credential.NewSecret("an AppSecret")}, WeChat: client,
				Store: new(storetest.Disk).Writer(), Publish: func(credential.Account) {}, Clock: credential.WallClock, Log: log,
			})
		},
	})
}

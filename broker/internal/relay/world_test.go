package relay_test

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/wxbroker/wxbroker/broker/internal/access"
	"github.com/wxbroker/wxbroker/broker/internal/fanout"
	"github.com/wxbroker/wxbroker/broker/internal/keeper"
	"github.com/wxbroker/wxbroker/broker/internal/relay"
	"github.com/wxbroker/wxbroker/broker/internal/store/storetest"
	"github.com/wxbroker/wxbroker/broker/internal/wechat"
	"github.com/wxbroker/wxbroker/pkg/credential"
	"github.com/wxbroker/wxbroker/pkg/logtest"
	"github.com/wxbroker/wxbroker/pkg/wechatsim"
	"github.com/wxbroker/wxbroker/pkg/wechatsim/simtest"
	"github.com/wxbroker/wxbroker/pkg/wxapi"
	wxbrokerv1 "github.com/wxbroker/wxbroker/proto/wxbroker/v1"
)

const (
	appid     = "wx1"
	appSecret = "0123456789abcdef0123456789abcdef"
)

// shop may do everything.
var shop = &access.App{Name: "shop", Accounts: []string{appid}, Grants: credential.Grants()}

// world is a relay, its keeper, and a WeChat in fake time.
type world struct {
	*relay.Relay
	t      *testing.T
	sim    *wechatsim.Sim
	disk   *storetest.Disk
	keeper *keeper.Keeper
	states fanout.Fanout
	log    logtest.Log
	stop   func() // ends the keeper and the relay
	wechat *simtest.Server
	dead   atomic.Pointer[string] // the upstream that cannot be connected to
}

// newWorld starts a keeper, stable or classic, and a relay over what a disk has,
// nil for an empty one.
func newWorld(t *testing.T, disk *storetest.Disk) *world {
	t.Helper()
	if disk == nil {
		disk = new(storetest.Disk)
	}
	store := disk.Writer()
	w := &world{t: t, disk: disk}
	w.sim = wechatsim.New(wechatsim.Config{Accounts: []wechatsim.Account{{AppID: appid, Secret: appSecret}}})
	w.wechat = simtest.Serve(t, w.sim)
	client := wechat.New(wechat.Options{
		Upstreams: []*url.URL{{Scheme: "http", Host: "127.0.0.1:1"}, {Scheme: "http", Host: "127.0.0.1:2"}},
		Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
			if dead := w.dead.Load(); dead != nil && address == *dead {
				return nil, &net.OpError{Op: "dial", Err: io.ErrUnexpectedEOF}
			}
			return w.wechat.Dial(ctx, network, address)
		},
	})
	log := w.log.Logger()
	w.keeper = keeper.New(t.Context(), keeper.Options{
		Account: wechat.Account{AppID: appid, Secret: credential.NewSecret(appSecret)}, Stable: true,
		Tickets: []credential.Kind{credential.JSAPITicket}, WeChat: client, Store: store, Publish: w.states.Publish,
		Clock: credential.WallClock, Log: log,
	})
	w.Relay = relay.New(relay.Options{
		WeChat: client, Account: w.states.Account, Store: store, Keys: &relay.Keys{Store: store, Log: log}, Clock: credential.WallClock, Log: log,
		Keeper: func(of string) *keeper.Keeper {
			if of != appid {
				return nil
			}
			return w.keeper
		},
	})
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { w.keeper.Run(ctx) })
	running.Go(func() { w.Run(ctx) })
	w.stop = func() { cancel(); running.Wait() }
	t.Cleanup(w.stop)
	return w
}

// inBubble runs a test in fake time.
func inBubble(t *testing.T, test func(*testing.T, *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		synctest.Wait()
		test(t, w)
	})
}

// send sends a message. What WeChat refuses is a status, as an edge makes it.
func (w *world) send(app *access.App) (int64, error) { return w.sendFor(app, appid) }

func (w *world) sendFor(app *access.App, appid string) (int64, error) {
	const message = `{"touser":"o1","template_id":"t1","data":{"a":{"value":"<b> & c"}}}`
	answer, err := w.Do(w.t.Context(), app, relay.Call{
		AppID: appid, Kind: wechat.TemplateAPI, Method: http.MethodPost, Path: wxapi.PathTemplate,
		ContentType: "application/json", Body: strings.NewReader(message), Length: int64(len(message)),
	})
	if err != nil {
		return 0, err
	}
	defer answer.Body.Close()
	if said := answer.Refusal; said != nil {
		return 0, wxapi.Refusal{Code: said.Code, Message: said.Detail}.Status(said.Code.Status(said.Class))
	}
	var sent struct {
		ID int64 `json:"msgid"`
	}
	return sent.ID, json.NewDecoder(answer.Body).Decode(&sent)
}

// get makes a call and returns its answer's body.
func (w *world) get(path, query string) (string, error) {
	answer, err := w.Do(w.t.Context(), shop, relay.Call{AppID: appid, Kind: wechat.CallAPI, Method: http.MethodGet, Path: path, Query: query})
	if err != nil {
		return "", err
	}
	defer answer.Body.Close()
	raw, err := io.ReadAll(answer.Body)
	return string(raw), err
}

// count returns how many calls of an API had that outcome, "ok" or an errcode.
func (w *world) count(path, outcome string) int {
	return w.sim.Count(wechatsim.Call{API: path, Outcome: outcome})
}

// refusal returns a status's code and the refusal in its details.
func refusal(t *testing.T, err error) (codes.Code, *wxbrokerv1.Refusal) {
	t.Helper()
	for _, detail := range status.Convert(err).Details() {
		if r, ok := detail.(*wxbrokerv1.Refusal); ok {
			return status.Code(err), r
		}
	}
	t.Fatalf("%v has no refusal in it", err)
	return codes.OK, nil
}

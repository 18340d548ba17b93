package wechatapi_test

import (
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"google.golang.org/grpc"

	"github.com/wxbroker/wxbroker/edge/internal/admit"
	"github.com/wxbroker/wxbroker/edge/internal/apitest"
	"github.com/wxbroker/wxbroker/edge/internal/audit"
	"github.com/wxbroker/wxbroker/edge/internal/brokertest"
	"github.com/wxbroker/wxbroker/edge/internal/signing"
	"github.com/wxbroker/wxbroker/edge/internal/wechatapi"
	"github.com/wxbroker/wxbroker/pkg/credential"
)

const (
	shop = "wx0123456789abcdef"
	pay  = "wxfedcba9876543210"
)

// world is WeChat's part of an edge's API.
type world struct {
	t     testing.TB
	state *signing.State
	api   *wechatapi.API
	// counted is the name of the path that was asked last, for the metrics, and
	// audited what the API told its audit since.
	mu      sync.Mutex
	counted string
	audited []audit.Entry
}

// newWorld returns a world whose edge may have calls made for the account shop by
// a broker, with the key k, of the name billing.
func newWorld(t testing.TB, b *brokertest.Broker, options ...grpc.ServerOption) *world {
	t.Helper()
	w := &world{t: t, state: signing.New(nil, credential.WallClock)}
	w.state.Apply([]credential.Account{apitest.CallsOnly(shop)})
	w.api = &wechatapi.API{
		Door:   admit.Door{State: w.state, Keys: apitest.Keys(t, "billing k\n")},
		Broker: b.Client(t, options...),
		Audit: func(e audit.Entry) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.audited = append(w.audited, e)
		},
	}
	return w
}

// ServeHTTP answers as the edge does.
func (w *world) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	name, serve, ok := w.api.Find(r.URL.Path)
	if !ok {
		w.t.Errorf("%s is none of WeChat's paths", r.URL.Path)
		return
	}
	w.mu.Lock()
	w.counted = name
	w.mu.Unlock()
	if _, whole := serve(rw, r); !whole {
		panic(http.ErrAbortHandler)
	}
}

// call sends a request and checks what has to be right about every answer.
func (w *world) call(r *http.Request) *httptest.ResponseRecorder {
	w.t.Helper()
	return apitest.Call(w.t, w, r, &w.audited)
}

// overBoth runs a test with a client of either protocol, each in a bubble of its
// own with a broker that takes no more ahead than the real one does.
func overBoth(t *testing.T, b *brokertest.Broker, test func(*testing.T, *http.Client), options ...grpc.ServerOption) {
	t.Helper()
	const window = 256 << 10
	options = append(options, grpc.StaticStreamWindowSize(window), grpc.StaticConnWindowSize(16*window))
	apitest.OverBoth(t, func(t *testing.T) http.Handler { return newWorld(t, b, options...) }, test)
}

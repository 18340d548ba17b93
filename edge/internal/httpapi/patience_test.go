package httpapi_test

import (
	"errors"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wxbroker/wxbroker/edge/internal/apitest"
	"github.com/wxbroker/wxbroker/edge/internal/broker"
	"github.com/wxbroker/wxbroker/edge/internal/brokertest"
	"github.com/wxbroker/wxbroker/pkg/wxapi"
	wxbrokerv1 "github.com/wxbroker/wxbroker/proto/wxbroker/v1"
)

// A broker may take its time in the middle of a file.
func TestPauses(t *testing.T) {
	const pause = 50 * time.Second
	b := &brokertest.Broker{Answer: func(_ *wxbrokerv1.CallHead, stream brokertest.Stream) error {
		time.Sleep(pause)
		err := brokertest.SendHead(stream, http.StatusOK, 10)
		for range 2 {
			time.Sleep(pause)
			err = errors.Join(err, brokertest.SendPiece(stream, "piece"))
		}
		return err
	}}
	api := func(t *testing.T) http.Handler {
		w := callsWorld(t, b)
		w.quiet()
		return w.api
	}
	apitest.OverBoth(t, api, func(t *testing.T, client *http.Client) {
		if answer, err := apitest.Ask(client, http.MethodGet, "/v1/media/abc", nil); answer != "piecepiece" || err != nil {
			t.Errorf("answered %q, %v", answer, err)
		}
	})
}

// Who asks for more files than may be under way is told to ask again.
func TestTooManyFiles(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := make(chan struct{})
		w := callsWorld(t, &brokertest.Broker{Answer: func(*wxbrokerv1.CallHead, brokertest.Stream) error { <-slow; return nil }})
		var transfers sync.WaitGroup
		for range 200 {
			transfers.Go(func() {
				_ = w.api.Broker.Download(t.Context(), "", &wxbrokerv1.CallHead{Path: wxapi.PathMedia}, broker.Sink{})
			})
		}
		synctest.Wait()
		rec := w.call(apitest.WithKey(apitest.Get("/v1/media/abc", "")))
		if rec.Code != http.StatusTooManyRequests || rec.Header().Get("Retry-After") != "1" {
			t.Errorf("HTTP %d after %q: %s", rec.Code, rec.Header().Get("Retry-After"), rec.Body)
		}
		close(slow)
		transfers.Wait()
	})
}

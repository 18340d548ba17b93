package simulation

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing/synctest"
	"time"

	"github.com/wxbroker/wxbroker/pkg/credential"
)

// stopping is how long a broker may take to stop: its calls and then its keepers have five
// seconds each.
const stopping = 10 * time.Second

// brokerRestart: the broker is stopped as by SIGTERM, and started anew. Before it ends it
// answers what it was asked before: the keepers go on until calls and streams have ended.
func brokerRestart(r *rand.Rand) (string, func(*world)) {
	down := time.Duration(r.Int64N(int64(20 * time.Second)))
	return fmt.Sprintf("the broker is restarted, and away for %v", down), func(w *world) {
		w.mu.Lock()
		b := w.broker
		w.mu.Unlock()
		if b == nil {
			return
		}
		calm := w.calm()
		over := w.disturb(reach)
		// The first report makes the keeper ask WeChat, which takes a moment. The others
		// wait for it when the broker is told to stop.
		reports := w.reportFromAll()
		synctest.Wait()
		w.expectNoToken(b)
		began := time.Now()
		b.Stop()
		if took := time.Since(began); took > stopping {
			w.failf("the broker took %v to stop", took)
		}
		for e, answer := range reports() {
			if calm && answer.Code != http.StatusOK {
				w.failf("a broker that stops leaves a report by %s without an answer: %d %s", e.name, answer.Code, answer.Body)
			}
		}
		w.mu.Lock()
		w.broker = nil
		w.mu.Unlock()
		w.link()
		w.after(down, "the broker starts", func(w *world) {
			w.startBroker()
			over()
		})
	}
}

// reportFromAll makes every edge that can reach the broker report its token. answers waits
// for the answers.
func (w *world) reportFromAll() (answers func() map[*edge]*httptest.ResponseRecorder) {
	var mu sync.Mutex
	all := map[*edge]*httptest.ResponseRecorder{}
	var asking sync.WaitGroup
	for _, e := range w.edges {
		for _, a := range e.Held() {
			token, ok := a.Credential(credential.AccessToken)
			if !ok || e.deaf {
				continue
			}
			asking.Go(func() {
				answer := w.post(e, credential.AccessToken, token.Value.Reveal())
				mu.Lock()
				defer mu.Unlock()
				all[e] = answer
			})
		}
	}
	return func() map[*edge]*httptest.ResponseRecorder {
		asking.Wait()
		return all
	}
}

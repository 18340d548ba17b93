package simulation

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"time"

	"github.com/wxbroker/wxbroker/pkg/credential"
)

// report: apps of one edge report its token or ticket, all at once; or one that
// they made up.
func report(r *rand.Rand) (string, func(*world)) {
	which, apps := r.IntN(numEdges), 1+r.IntN(50)
	kind := []credential.Kind{credential.AccessToken, credential.JSAPITicket}[r.IntN(2)]
	invented := r.IntN(4) == 0
	return fmt.Sprintf("%d apps of edge-%d report the %s, invented: %v", apps, which, kind, invented), func(w *world) {
		e := w.edges[which]
		for _, a := range e.Held() {
			c, ok := a.Credential(kind)
			if !ok {
				continue
			}
			value := c.Value.Reveal()
			if invented {
				value = "invented"
			}
			for range 3 { // as apps do that try again
				w.reported(e, kind, value, apps)
			}
		}
	}
}

// reported posts the reports, and looks at what came of them.
func (w *world) reported(e *edge, kind credential.Kind, value string, apps int) {
	sum := sha256.Sum256([]byte(value))
	body := fmt.Sprintf(`{"kind":%q,"sha256":%q}`, kind, hex.EncodeToString(sum[:]))
	// A report leads to a question to WeChat, and whatever that brings has to
	// reach the edges.
	over := w.disturb(reach)
	answers := make(chan *httptest.ResponseRecorder, apps)
	var asking sync.WaitGroup
	for range apps {
		asking.Go(func() {
			r := httptest.NewRequestWithContext(w.t.Context(), http.MethodPost, "/v1/report", strings.NewReader(body))
			r.Header.Set("Content-Type", "application/json")
			r.Header.Set("Authorization", "Bearer "+localKey)
			answer := httptest.NewRecorder()
			e.Handler().ServeHTTP(answer, r)
			answers <- answer
		})
	}
	began := time.Now()
	asking.Wait()
	close(answers)
	over()
	if took := time.Since(began); took > 20*time.Second {
		w.failf("a report took %v", took)
	}
	for answer := range answers {
		switch answer.Code {
		case http.StatusOK, http.StatusServiceUnavailable, http.StatusTooManyRequests:
		case http.StatusNotFound:
			// The broker may have lost its database; otherwise it knows what it
			// handed out.
			if value != "invented" && !w.disk.File {
				w.failf("the broker does not know the %s of %s: %s", kind, e.name, answer.Body)
			}
		default:
			w.failf("a report was answered %d %s", answer.Code, answer.Body)
		}
	}
}

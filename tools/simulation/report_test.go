package simulation

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/wxbroker/wxbroker/pkg/credential"
)

// report: apps of one edge report its token or ticket, all at once. Or they report an older
// value, or one that they made up.
func report(r *rand.Rand) (string, func(*world)) {
	which, apps := r.IntN(numEdges), 1+r.IntN(50)
	kind := []credential.Kind{credential.AccessToken, credential.JSAPITicket}[r.IntN(2)]
	what := []string{"current", "current", "older", "invented"}[r.IntN(4)]
	return fmt.Sprintf("%d apps of edge-%d report the %s %s", apps, which, what, kind), func(w *world) {
		e := w.edges[which]
		for _, a := range e.Held() {
			c, ok := a.Credential(kind)
			if !ok {
				continue
			}
			r := reportedValue{kind: kind, what: what, value: c.Value.Reveal(), apps: apps}
			switch what {
			case "older":
				if r.value = w.olderThan(c); r.value == "" {
					continue
				}
			case "invented":
				r.value = "invented"
			}
			for range 3 { // some apps try again
				w.report(e, r)
			}
		}
	}
}

// reportedValue is what apps report.
type reportedValue struct {
	kind  credential.Kind
	what  string // current, older or invented
	value string
	apps  int
}

// olderThan returns the value before c, "" where there was none.
func (w *world) olderThan(c credential.Credential) string {
	seen := w.values[c.Kind]
	for i := len(seen) - 1; i > 0; i-- {
		if seen[i] == c.Value.Reveal() {
			return seen[i-1]
		}
	}
	return ""
}

// remember notes a value that an edge holds.
func (w *world) remember(c credential.Credential) {
	seen := w.values[c.Kind]
	if n := len(seen); n == 0 || !slices.Contains(seen, c.Value.Reveal()) {
		w.values[c.Kind] = append(seen, c.Value.Reveal())
	}
}

// report posts the reports and checks the answers.
func (w *world) report(e *edge, r reportedValue) {
	calm := w.calm()
	// A report leads to a call to WeChat. What the call brings has to reach the edges.
	over := w.disturb(reach)
	answers := make(chan *httptest.ResponseRecorder, r.apps)
	var asking sync.WaitGroup
	for range r.apps {
		asking.Go(func() { answers <- w.post(e, r.kind, r.value) })
	}
	began := time.Now()
	asking.Wait()
	close(answers)
	over()
	took := time.Since(began)
	for answer := range answers {
		if calm {
			w.checkAnswer(e, r, answer, took)
		}
		switch answer.Code {
		case http.StatusOK, http.StatusNotFound, http.StatusServiceUnavailable:
		default:
			w.failf("a report was answered %d %s", answer.Code, answer.Body)
		}
	}
}

// post reports a value to an edge.
func (w *world) post(e *edge, kind credential.Kind, value string) *httptest.ResponseRecorder {
	sum := sha256.Sum256([]byte(value))
	body := fmt.Sprintf(`{"kind":%q,"sha256":%q}`, kind, hex.EncodeToString(sum[:]))
	request := httptest.NewRequestWithContext(w.t.Context(), http.MethodPost, "/v1/report", strings.NewReader(body))
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Authorization", "Bearer "+localKey)
	answer := httptest.NewRecorder()
	e.Handler().ServeHTTP(answer, request)
	return answer
}

// checkAnswer: when nothing is wrong, every report gets the right answer, and soon. The
// longest takes a probe, a token call and 2 s of patience.
func (w *world) checkAnswer(e *edge, r reportedValue, answer *httptest.ResponseRecorder, took time.Duration) {
	var versions struct {
		Reported int64 `json:"reported_version"`
		Current  int64 `json:"current_version"`
	}
	if answer.Code == http.StatusOK {
		w.must(json.Unmarshal(answer.Body.Bytes(), &versions))
	}
	switch {
	case took > 5*time.Second:
		w.failf("a report of the %s %s took %v", r.what, r.kind, took)
	case r.what == "invented" && answer.Code != http.StatusNotFound:
		w.failf("a report of an invented %s was answered %d %s", r.kind, answer.Code, answer.Body)
	case r.what == "invented", answer.Code == http.StatusNotFound && w.disk.File:
		// a database that was lost may have had it
	case answer.Code != http.StatusOK:
		w.failf("%s answers a report of the %s %s with %d %s", e.name, r.what, r.kind, answer.Code, answer.Body)
	case r.what == "older" && versions.Current <= versions.Reported:
		w.failf("%s answers a report of an older %s with %s", e.name, r.kind, answer.Body)
	}
}

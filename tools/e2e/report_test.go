package e2e

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wxbroker/wxbroker/broker/brokertest"
	"github.com/wxbroker/wxbroker/edge/edgetest"
	"github.com/wxbroker/wxbroker/pkg/wechatsim"
)

const localKey = "9d1e"

// versions is what an edge answers to a report.
type versions struct {
	Status   int
	Reported int64  `json:"reported_version"`
	Current  int64  `json:"current_version"`
	ErrMsg   string `json:"errmsg"`
}

// lateConn is a connection on which everything arrives late.
type lateConn struct{ net.Conn }

func (l lateConn) Read(b []byte) (int, error) {
	n, err := l.Conn.Read(b)
	time.Sleep(200 * time.Millisecond)
	return n, err
}

// inReportWorld runs a test with a broker and three edges that have a local key, a minute
// after their start. What is streamed to them arrives later than the answer to a report.
func inReportWorld(t *testing.T, test func(*testing.T, *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, wechatsim.Settings{}, brokertest.Account{Classic: true})
		w.startBroker(t)
		for i := range 3 {
			var dials atomic.Int32
			w.edges = append(w.edges, edgetest.Start(t, edgetest.Config{
				Name: fmt.Sprintf("edge-%d", i), Clock: time.Now, Log: quiet, LocalKeys: localKey,
				Dial: func(ctx context.Context) (net.Conn, error) {
					conn, err := w.dial(ctx)
					if err == nil && dials.Add(1) == 1 { // the connection of the stream
						conn = lateConn{conn}
					}
					return conn, err
				},
			}))
		}
		pass(time.Minute)
		test(t, w)
	})
}

// askLocked asks an edge for a path that needs the local key.
func askLocked(t *testing.T, e *edgetest.Edge, path, form string, answer any) (status int) {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, path, strings.NewReader(form))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Authorization", "Bearer "+localKey)
	recorder := httptest.NewRecorder()
	e.Handler().ServeHTTP(recorder, r)
	if err := json.Unmarshal(recorder.Body.Bytes(), answer); err != nil {
		t.Errorf("the edge answered %q: %v", recorder.Body, err)
	}
	return recorder.Code
}

// report says to an edge that WeChat refused value.
func report(t *testing.T, e *edgetest.Edge, kind, value string) versions {
	t.Helper()
	var v versions
	v.Status = askLocked(t, e, "/v1/report", url.Values{"kind": {kind}, "value": {value}}.Encode(), &v)
	return v
}

// revealed returns what an edge hands out at /token or /ticket.
func revealed(t *testing.T, e *edgetest.Edge, path string) string {
	t.Helper()
	var answer struct{ Token, Ticket string }
	if status := askLocked(t, e, path, "", &answer); status != http.StatusOK {
		t.Errorf("%s: HTTP %d", path, status)
	}
	return answer.Token + answer.Ticket
}

// TestReportKilledToken: two hundred threads of apps find, through three edges
// and at the same time, that WeChat refuses the token. WeChat is asked once
// whether it does, and for one new token, which every edge then hands out.
func TestReportKilledToken(t *testing.T) {
	inReportWorld(t, func(t *testing.T, w *world) {
		dead := revealed(t, w.edges[0], "/token")
		if err := w.sim.KillToken(appid, wechatsim.Classic); err != nil {
			t.Fatal(err)
		}
		tokens := w.calls(wechatsim.PathToken)
		var reporting sync.WaitGroup
		for i := range 200 {
			reporting.Go(func() {
				e := w.edges[i%len(w.edges)]
				if v := report(t, e, "access_token", dead); v.Status != http.StatusOK || v.Current <= v.Reported || v.Reported == 0 {
					t.Errorf("report %d is answered %+v", i, v)
				}
				// The app that gets this answer can go on at once.
				if token := revealed(t, e, "/token"); token == dead || !w.sim.TokenAlive(token) {
					t.Errorf("after report %d the edge hands out a token that WeChat refuses", i)
				}
			})
		}
		reporting.Wait()
		if probes, minted := w.calls(wechatsim.PathDomainIP), w.calls(wechatsim.PathToken)-tokens; probes != 1 || minted != 1 {
			t.Errorf("%d probes and %d token calls, want one each", probes, minted)
		}
		w.allSign(t, "after the rotation")
	})
}

// TestReportGoodToken: an app reports a good token for a minute. That costs one probe and
// rotates nothing.
func TestReportGoodToken(t *testing.T) {
	inReportWorld(t, func(t *testing.T, w *world) {
		good := revealed(t, w.edges[0], "/token")
		tokens := w.calls(wechatsim.PathToken)
		for i := range 100 {
			e := w.edges[i%len(w.edges)]
			if v := report(t, e, "access_token", good); v.Status != http.StatusOK || v.Current != v.Reported || v.Reported == 0 {
				t.Fatalf("report %d is answered %+v", i, v)
			}
			if revealed(t, e, "/token") != good {
				t.Fatalf("report %d rotated the token", i)
			}
			pass(590 * time.Millisecond)
		}
		if probes, minted := w.calls(wechatsim.PathDomainIP), w.calls(wechatsim.PathToken)-tokens; probes != 1 || minted != 0 {
			t.Errorf("%d probes and %d token calls, want one and none", probes, minted)
		}
	})
}

// TestReportOfWhatNeedsNoCall: for a token that was replaced since, the broker answers with
// the current version. For a token that it never handed out it answers with nothing. Both
// answers come at once and without a call to WeChat.
func TestReportOfWhatNeedsNoCall(t *testing.T) {
	inReportWorld(t, func(t *testing.T, w *world) {
		old := revealed(t, w.edges[0], "/token")
		for revealed(t, w.edges[0], "/token") == old {
			pass(time.Minute) // until it is due
		}
		pass(10 * time.Second)
		began, calls := time.Now(), w.calls("")
		for i, e := range w.edges {
			if v := report(t, e, "access_token", old); v.Status != http.StatusOK || v.Current <= v.Reported || v.Reported == 0 {
				t.Errorf("edge %d answers a report of the token before with %+v", i, v)
			}
			if v := report(t, e, "access_token", "never-"+old); v.Status != http.StatusNotFound || v.ErrMsg == "" {
				t.Errorf("edge %d answers a report of an unknown token with %+v", i, v)
			}
			// As a ticket, this token was never handed out.
			if v := report(t, e, "jsapi_ticket", old); v.Status != http.StatusNotFound {
				t.Errorf("edge %d answers a report of a token as a ticket with %+v", i, v)
			}
		}
		if n, took := w.calls("")-calls, time.Since(began); n != 0 || took != 0 {
			t.Errorf("%d calls to WeChat, in %v", n, took)
		}
	})
}

// TestReportKilledTicket: a page's "invalid signature" leads to one reading of
// the ticket, and within two seconds every edge signs with the new one.
func TestReportKilledTicket(t *testing.T) {
	inReportWorld(t, func(t *testing.T, w *world) {
		dead := revealed(t, w.edges[0], "/ticket")
		if err := w.sim.KillTicket(appid, wechatsim.JSAPI); err != nil {
			t.Fatal(err)
		}
		if w.accepted(sign(t, w.edges[0])) == nil {
			t.Fatal("WeChat still takes the ticket")
		}
		calls, tickets, began := w.calls(""), w.calls(wechatsim.PathTicket), time.Now()
		hash := sha256.Sum256([]byte(dead))
		var v versions
		v.Status = askLocked(t, w.edges[0], "/v1/report", "kind=jsapi_ticket&sha256="+strings.ToUpper(hex.EncodeToString(hash[:])), &v)
		if v.Status != http.StatusOK || v.Current <= v.Reported || v.Reported == 0 {
			t.Errorf("the report is answered %+v", v)
		}
		if err := w.accepted(sign(t, w.edges[0])); err != nil {
			t.Errorf("WeChat refuses what the edge signs after its answer: %v", err)
		}
		pass(2*time.Second - time.Since(began))
		w.allSign(t, "two seconds after the report")
		for i, e := range w.edges {
			if ticket := revealed(t, e, "/ticket"); ticket == dead || !w.sim.TicketAlive(ticket) {
				t.Errorf("edge %d hands out a ticket that WeChat refuses", i)
			}
		}
		if n, all := w.calls(wechatsim.PathTicket)-tickets, w.calls("")-calls; n != 1 || all != 1 {
			t.Errorf("%d readings of the ticket and %d calls, want one", n, all)
		}
	})
}

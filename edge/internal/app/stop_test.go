package app

import (
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// underWay starts a request whose body is not complete. end completes it; the answer
// arrives on answered.
func (e *runningEdge) underWay() (end func(), answered <-chan string) {
	e.t.Helper()
	form := "url=" + url.QueryEscape(page)
	body, rest := io.Pipe()
	answers := make(chan string, 1)
	go func() {
		response, err := e.api.Post("http://edge/all", "application/x-www-form-urlencoded", body)
		if err != nil {
			answers <- err.Error()
			return
		}
		defer response.Body.Close()
		answer, _ := io.ReadAll(response.Body)
		answers <- string(answer)
	}()
	if _, err := io.WriteString(rest, form[:10]); err != nil {
		e.t.Fatal(err)
	}
	synctest.Wait()
	return func() {
		_, _ = io.WriteString(rest, form[10:])
		rest.Close()
		synctest.Wait()
	}, answers
}

// A stop answers requests under way and takes no new ones. Only then do the stream and
// the ops listener end.
func TestStopDrains(t *testing.T) {
	inBubble(t, func(t *testing.T, b *fakeBroker) {
		e := startEdge(t, b, "")
		b.say(b.account(shop))
		end, answered := e.underWay()
		e.stop()
		synctest.Wait()

		if _, err := e.apiConn.DialContext(t.Context()); err == nil {
			t.Error("a new connection is taken")
		}
		e.ready(503, "stopping")
		if code, _ := e.get(e.ops, "/healthz", ""); code != http.StatusOK {
			t.Errorf("/healthz: HTTP %d", code)
		}
		if _, _, open := b.last(); open != 1 {
			t.Errorf("%d streams while a request is under way", open)
		}

		end()
		if v := e.verdict(http.StatusOK, <-answered); !v.Accepted {
			t.Errorf("the request under way: %s", v.Reason)
		}
		if err := <-e.done; err != nil {
			t.Errorf("Run: %v", err)
		}
		e.done <- nil // for the cleanup
		synctest.Wait()
		if _, _, open := b.last(); open != 0 {
			t.Errorf("%d streams after the end", open)
		}
		if _, err := e.opsConn.DialContext(t.Context()); err == nil {
			t.Error("the ops listener is still there")
		}
	})
}

// A request that never becomes complete delays the end of the process by seconds only,
// and the log says that it was cut off.
func TestStopIsBounded(t *testing.T) {
	inBubble(t, func(t *testing.T, b *fakeBroker) {
		e := startEdge(t, b, "")
		b.say(b.account(shop))
		end, answered := e.underWay()
		stopped := time.Now()
		e.stop()
		if err := <-e.done; err != nil {
			t.Errorf("Run: %v", err)
		}
		if !strings.Contains(e.log.String(), "cut off") {
			t.Errorf("the log does not say so:\n%s", e.log)
		}
		if took := time.Since(stopped); took > 10*time.Second {
			t.Errorf("stopping took %v", took)
		}
		end()
		<-answered
		e.done <- nil
	})
}

// An edge one of whose listeners fails stops and says why.
func TestListenerThatFails(t *testing.T) {
	inBubble(t, func(t *testing.T, b *fakeBroker) {
		e := startEdge(t, b, "")
		b.say(b.account(shop))
		e.apiConn.Close()
		if err := <-e.done; err == nil || !strings.Contains(err.Error(), "serving HTTP") {
			t.Errorf("Run: %v", err)
		}
		e.done <- nil
		synctest.Wait()
		if _, _, open := b.last(); open != 0 {
			t.Errorf("%d streams after the end", open)
		}
	})
}

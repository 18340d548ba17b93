package broker_test

import (
	"io"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/wxbroker/wxbroker/edge/internal/broker"
	"github.com/wxbroker/wxbroker/edge/internal/brokertest"
	wxbrokerv1 "github.com/wxbroker/wxbroker/proto/wxbroker/v1"
)

// So many transfers of a kind may be under way, and any more wait a little and
// are refused. However slow they are, they hold up nothing else.
func TestManySlowTransfers(t *testing.T) {
	const most, more = 200, 100
	slow := make(chan struct{})
	b := answering(func(head *wxbrokerv1.CallHead, stream brokertest.Stream) error {
		err := brokertest.SendHead(stream, http.StatusOK, -1)
		if path := head.GetPath(); path == "/cgi-bin/slow" || path == "/cgi-bin/media/get" {
			<-slow
		}
		return err
	})
	kinds := map[string]func(*testing.T, *broker.Client, bool) error{
		"media": func(t *testing.T, c *broker.Client, _ bool) error {
			return download(t.Context(), c, sink(new(saved)))
		},
		"calls": func(t *testing.T, c *broker.Client, isSlow bool) error {
			asked := &wxbrokerv1.CallHead{Method: "POST", Path: "/cgi-bin/x"}
			if isSlow {
				asked.Path = "/cgi-bin/slow"
			}
			return c.Call(t.Context(), "", asked, body("{}", io.EOF), sink(new(saved)))
		},
	}
	for name, transfer := range kinds {
		t.Run(name, func(t *testing.T) {
			inBubble(t, b, func(t *testing.T, c *broker.Client) {
				slow = make(chan struct{})
				refused := make(chan error, most+more)
				var transfers sync.WaitGroup
				for range most + more {
					transfers.Go(func() {
						if err := transfer(t, c, true); err != nil {
							refused <- err
						}
					})
				}
				time.Sleep(4 * time.Second)
				if len(refused) != 0 {
					t.Errorf("%d are refused at once", len(refused))
				}
				time.Sleep(2 * time.Second)
				synctest.Wait()
				if len(refused) != more {
					t.Errorf("%d are refused", len(refused))
				}
				began := time.Now()
				if _, err := c.Ask(t.Context(), "", new(wxbrokerv1.CallHead), nil); err != nil {
					t.Errorf("a small call: %v", err)
				}
				if name == "media" {
					if err := kinds["calls"](t, c, false); err != nil {
						t.Errorf("a call: %v", err)
					}
				}
				if took := time.Since(began); took > time.Second {
					t.Errorf("what is short takes %v", took)
				}
				close(slow)
				transfers.Wait()
				close(refused)
				for err := range refused {
					if status.Code(err) != codes.ResourceExhausted {
						t.Errorf("ended with %v", err)
					}
				}
				if err := transfer(t, c, true); err != nil {
					t.Errorf("once they are through: %v", err)
				}
			})
		})
	}
}

// A burst of short calls is no reason to refuse any.
func TestBurstOfCalls(t *testing.T) {
	b := answering(func(_ *wxbrokerv1.CallHead, stream brokertest.Stream) error {
		time.Sleep(100 * time.Millisecond)
		return brokertest.SendHead(stream, http.StatusOK, -1)
	})
	inBubble(t, b, func(t *testing.T, c *broker.Client) {
		var burst sync.WaitGroup
		for range 1000 {
			burst.Go(func() {
				if err := c.Call(t.Context(), "", aCall, body("{}", io.EOF), sink(new(saved))); err != nil {
					t.Error(err)
				}
			})
		}
		burst.Wait()
	})
}

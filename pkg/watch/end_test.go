package watch_test

import (
	"context"
	"errors"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/wxbroker/wxbroker/pkg/watch"
)

func TestRefusalDropsEverythingAndGoesOnTrying(t *testing.T) {
	for _, code := range []codes.Code{codes.PermissionDenied, codes.Unauthenticated} {
		t.Run(code.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := start(t, nil)
				s, _ := w.next()
				s.tell(t, 1, list(account("wx1", cred(ticket, 5, "five"))), "wx1 jsapi_ticket 5")
				refused := status.Error(code, "no grant")
				s.ended <- refused
				synctest.Wait() // at once, not with the next stream
				if w.current() != nil || w.states() != 2 {
					t.Errorf("after %d states holds %v, want Apply(nil)", w.states(), w.current())
				}
				for range 5 {
					s, first := w.next()
					w.checkHeld()
					checkVersions(t, first.GetHeld())
					s.ended <- refused
				}
				// Granted again.
				s, _ = w.next()
				s.tell(t, 1, list(account("wx1", cred(ticket, 5, "five"))), "wx1 jsapi_ticket 5")
				w.checkHeld("wx1 jsapi_ticket 5 five")
			})
		})
	}
}

func TestOtherEndsDropNothing(t *testing.T) {
	for _, tt := range []struct {
		name string
		end  error
	}{
		{"regular", nil},
		{"unavailable", status.Error(codes.Unavailable, "")},
		{"deadline exceeded", status.Error(codes.DeadlineExceeded, "")},
		{"invalid argument", status.Error(codes.InvalidArgument, "")},
		{"internal", status.Error(codes.Internal, "")},
		{"unimplemented", status.Error(codes.Unimplemented, "")},
		{"a plain error", errors.New("x")},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := start(t, nil)
				s, _ := w.next()
				s.tell(t, 1, list(account("wx1", cred(ticket, 5, "five"))), "wx1 jsapi_ticket 5")
				if !w.client.Connected() {
					t.Error("not connected though a state came")
				}
				s.ended <- tt.end
				synctest.Wait()
				if w.client.Connected() {
					t.Error("still connected after the end")
				}
				for range 3 {
					s, first := w.next()
					checkVersions(t, first.GetHeld(), "wx1 jsapi_ticket 5")
					s.ended <- tt.end
				}
				w.checkHeld("wx1 jsapi_ticket 5 five")
				if w.states() != 1 {
					t.Errorf("Apply was called %d times, want once", w.states())
				}
			})
		})
	}
}

// longest and soon are the bounds of the design: a broker that is back is noticed within
// five seconds, and after the regular end of a stream the next one comes soon.
const (
	longest = 5 * time.Second
	soon    = 200 * time.Millisecond
)

func TestBackoffGrowsAndIsResetByAMessage(t *testing.T) {
	// A stream that is accepted and brings no state does not reset the back-off, even if
	// it ends regularly: it is no sign that the broker is well.
	for _, tt := range []struct {
		name string
		end  error
	}{{"failing", status.Error(codes.Unavailable, "down")}, {"accepting and ending", nil}} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := start(t, nil)
				s, _ := w.next()
				for i := range 20 {
					var gap time.Duration
					if s, gap = w.reopen(s, tt.end); gap <= 0 || gap > longest || i == 0 && gap > soon {
						t.Errorf("retry %d came after %v", i, gap)
					}
					if i >= 8 && gap < longest/4 {
						t.Errorf("retry %d came after %v: a broker that is down is hammered", i, gap)
					}
				}
				s.tell(t, 1, nil)
				if _, gap := w.reopen(s, nil); gap > soon {
					t.Errorf("after a message and a regular end the next stream came after %v", gap)
				}
			})
		})
	}
}

// reopen ends s and returns the next stream and how long it took to come.
func (w *world) reopen(s *stream, end error) (*stream, time.Duration) {
	w.t.Helper()
	ended := time.Now()
	s.ended <- end
	next, _ := w.next()
	return next, next.at.Sub(ended)
}

func TestRetriesAreJittered(t *testing.T) {
	seen := map[time.Duration]bool{}
	for range 5 {
		synctest.Test(t, func(t *testing.T) {
			w := start(t, nil)
			s, _ := w.next()
			_, gap := w.reopen(s, nil)
			seen[gap] = true
		})
	}
	if len(seen) == 1 {
		t.Errorf("five clients all came back after %v", seen)
	}
}

func TestSilentBrokerIsLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := start(t, nil)
		s, _ := w.next()
		w.checkLeft(s)
		if after := time.Since(s.at); after < 10*time.Second || after > 12*time.Second {
			t.Errorf("left after %v, want 10 s", after)
		}
		if w.client.Connected() {
			t.Error("connected though nothing was said")
		}
		// A broker that has sent a state may be silent for as long as it likes.
		s, _ = w.next()
		s.tell(t, 1, nil)
		time.Sleep(10 * time.Minute)
		w.checkOpen(s)
	})
}

func TestHungConnectionsAreGivenUp(t *testing.T) {
	for _, tt := range []struct {
		name string
		dial func(context.Context) (net.Conn, error)
	}{
		{"no answer to the dial", func(ctx context.Context) (net.Conn, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}},
		{"connected to something that never speaks", func(context.Context) (net.Conn, error) {
			ours, theirs := net.Pipe()
			go func() { _, _ = io.Copy(io.Discard, theirs) }() // until the client closes
			return ours, nil
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := start(t, nil)
				s, _ := w.next()
				s.tell(t, 1, list(account("wx1", cred(ticket, 5, "five"))), "wx1 jsapi_ticket 5")
				dials := make(chan time.Time, 1000)
				w.setDial(func(ctx context.Context) (net.Conn, error) {
					dials <- time.Now()
					return tt.dial(ctx)
				})
				s.ended <- nil
				time.Sleep(5 * time.Minute)
				last := <-dials
				for len(dials) > 0 {
					at := <-dials
					// 3 s for the attempt, 5 s until the next one.
					if gap := at.Sub(last); gap > 3*time.Second+longest {
						t.Errorf("tried again only after %v", gap)
					}
					last = at
				}
				if time.Since(last) > 3*time.Second+longest {
					t.Error("stopped trying")
				}
				w.checkHeld("wx1 jsapi_ticket 5 five")
			})
		})
	}
}

func TestRunEndsWithItsContext(t *testing.T) {
	for _, tt := range []struct {
		name string
		when func(*testing.T, *world) // brings the client there
	}{
		{"while it dials", func(_ *testing.T, w *world) {
			s, _ := w.next()
			w.setDial(func(ctx context.Context) (net.Conn, error) {
				<-ctx.Done()
				return nil, ctx.Err()
			})
			s.ended <- nil
			time.Sleep(time.Second)
		}},
		{"while it waits for the first state", func(_ *testing.T, w *world) { w.next() }},
		{"while it listens", func(t *testing.T, w *world) {
			s, _ := w.next()
			s.tell(t, 1, nil)
		}},
		{"while it waits to try again", func(_ *testing.T, w *world) {
			s, _ := w.next()
			s.ended <- status.Error(codes.Unavailable, "")
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			// synctest itself checks that no goroutine is left.
			synctest.Test(t, func(t *testing.T) {
				w := start(t, nil)
				tt.when(t, w)
				synctest.Wait()
				before := time.Now()
				w.stop()
				w.running.Wait()
				if took := time.Since(before); took > 0 {
					t.Errorf("Run returned %v after its context ended", took)
				}
				if w.client.Connected() {
					t.Error("connected after the end")
				}
			})
		})
	}
}

func TestBrokerThatSpeaksAndEndsFirst(t *testing.T) {
	// This broker breaks the protocol. The edge must not fail for that.
	synctest.Test(t, func(t *testing.T) {
		w := start(t, func(o *watch.Options) {
			// So that the stream is over before the subscription is sent.
			o.Dial = append(o.Dial, grpc.WithStreamInterceptor(func(ctx context.Context, desc *grpc.StreamDesc, conn *grpc.ClientConn, method string, open grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
				stream, err := open(ctx, desc, conn, method, opts...)
				time.Sleep(time.Second)
				return stream, err
			}))
		})
		for range 3 {
			s := <-w.broker.opened
			s.send(t, 1, account("wx1", cred(ticket, 5, "five")))
			s.ended <- nil
		}
		w.checkHeld("wx1 jsapi_ticket 5 five")
	})
}

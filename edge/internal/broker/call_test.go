package broker_test

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/wxbroker/wxbroker/edge/internal/broker"
	"github.com/wxbroker/wxbroker/edge/internal/brokertest"
	wxbrokerv1 "github.com/wxbroker/wxbroker/proto/wxbroker/v1"
)

const kib64 = 64 << 10

var aCall = &wxbrokerv1.CallHead{Method: "POST", Path: "/cgi-bin/x"}

func TestBodiesArriveWhole(t *testing.T) {
	for name, size := range map[string]int{
		"none": 0, "a byte": 1, "what can be sent again": kib64, "one more": kib64 + 1, "several pieces": 10*kib64 + 7,
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, answering(brokertest.Echo), func(t *testing.T, c *broker.Client) {
				var got saved
				content := strings.Repeat("a", size)
				if err := c.Call(t.Context(), "billing", aCall, body(content, io.EOF), sink(&got)); err != nil {
					t.Fatal(err)
				}
				if got.heads != 1 || string(got.pieces) != content {
					t.Errorf("%d heads, %d bytes", got.heads, len(got.pieces))
				}
			})
		})
	}
}

// A certificate that has expired since the connection was made is noticed by
// the broker's refusal. What can be sent again is.
func TestRefusedCallers(t *testing.T) {
	const life = 20 * time.Minute
	tests := []struct {
		name         string
		body         io.ReadCloser
		code         codes.Code
		calls, conns int
	}{
		{"without a body", nil, codes.OK, 3, 2},
		{"a body that can be sent again", body(strings.Repeat("a", kib64), io.EOF), codes.OK, 3, 2},
		{"a body that cannot", body(strings.Repeat("a", kib64+1), io.EOF), codes.Unauthenticated, 2, 1},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			b := answering(brokertest.Echo)
			b.good = life
			inBubble(t, b, func(t *testing.T, c *broker.Client) {
				var got saved
				err := c.Call(t.Context(), "billing", aCall, nil, sink(&got))
				if err != nil {
					t.Fatal(err)
				}
				time.Sleep(life)
				err = c.Call(t.Context(), "", aCall, test.body, sink(&got))
				if status.Code(err) != test.code {
					t.Errorf("ended with %v", err)
				}
				synctest.Wait()
				b.counts(t, test.calls, test.conns)
				// Whatever became of this call, the next one gets through.
				if err := c.Call(t.Context(), "", aCall, nil, sink(new(saved))); err != nil {
					t.Errorf("the call after that: %v", err)
				}
				if b.Keys()[0] != "billing" || b.Keys()[1] != "" {
					t.Errorf("made for %q", b.Keys())
				}
			})
		})
	}
}

// What is refused once its answer has begun is not made again.
func TestRefusedInTheMiddle(t *testing.T) {
	refusal := status.Error(codes.Unauthenticated, "the certificate has expired")
	b := answering(func(_ *wxbrokerv1.CallHead, stream brokertest.Stream) error {
		_ = brokertest.SendHead(stream, http.StatusOK, -1)
		return refusal
	})
	inBubble(t, b, func(t *testing.T, c *broker.Client) {
		time.Sleep(time.Minute)
		var got saved
		if err := c.Call(t.Context(), "", aCall, nil, sink(&got)); status.Code(err) != codes.Unauthenticated || got.heads != 1 {
			t.Errorf("%d heads, %v", got.heads, err)
		}
		if err := download(t.Context(), c, sink(&got)); status.Code(err) != codes.Unauthenticated || got.heads != 2 {
			t.Errorf("%d heads, %v", got.heads, err)
		}
		b.counts(t, 2, 2)
	})
}

// WeChat may answer before it has the whole body: nobody waits for the rest.
func TestAnswerBeforeTheBodyIsWhole(t *testing.T) {
	b := answering(brokertest.JSON("no"))
	inBubble(t, b, func(t *testing.T, c *broker.Client) {
		slow := body(strings.Repeat("a", 2*kib64), http.ErrBodyReadAfterClose)
		slow.wait = make(chan struct{})
		var got saved
		to := sink(&got)
		to.Head = func(*wxbrokerv1.CallAnswer) error {
			if !slow.closed {
				t.Error("the body is still read")
			}
			return nil
		}
		if err := c.Call(t.Context(), "", aCall, slow, to); err != nil || string(got.pieces) != "no" {
			t.Errorf("%q, %v", got.pieces, err)
		}
	})
}

// A body that breaks off is not taken for a whole one.
func TestBodyThatBreaksOff(t *testing.T) {
	broken := errors.New("connection reset")
	for name, size := range map[string]int{"at once": 0, "in its first piece": 10, "later": kib64 + 1, "later still": 9*kib64 + 1} {
		t.Run(name, func(t *testing.T) {
			for _, end := range []error{broken, io.ErrUnexpectedEOF} {
				b := answering(brokertest.Echo)
				inBubble(t, b, func(t *testing.T, c *broker.Client) {
					err := c.Call(t.Context(), "", aCall, body(strings.Repeat("a", size), end), sink(new(saved)))
					if !errors.Is(err, end) {
						t.Errorf("ended with %v", err)
					}
					synctest.Wait()
					if len(b.ended) == 0 && size > kib64 {
						t.Error("the broker hears nothing")
					}
					for _, err := range b.ended {
						if status.Code(err) != codes.Canceled {
							t.Errorf("the broker hears %v", err)
						}
					}
				})
			}
		})
	}
}

// What is not an answer is not taken for one.
func TestAnswersThatAreNone(t *testing.T) {
	tests := []struct {
		name   string
		answer func(brokertest.Stream)
	}{
		{"nothing", func(brokertest.Stream) {}},
		{"a body without a head", func(stream brokertest.Stream) { _ = brokertest.SendPiece(stream, "a") }},
		{"two heads", func(stream brokertest.Stream) {
			_ = brokertest.SendHead(stream, http.StatusOK, -1)
			_ = brokertest.SendHead(stream, http.StatusOK, -1)
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			b := answering(func(_ *wxbrokerv1.CallHead, stream brokertest.Stream) error {
				test.answer(stream)
				return nil
			})
			inBubble(t, b, func(t *testing.T, c *broker.Client) {
				var got saved
				err := c.Call(t.Context(), "", aCall, nil, sink(&got))
				if status.Code(err) != codes.Unavailable || len(got.pieces) > 0 {
					t.Errorf("%v, %+v", err, got)
				}
			})
		})
	}
}

package streams_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"

	wxbrokerv1 "github.com/wxbroker/wxbroker/proto/wxbroker/v1"
)

func manyHeld(n int) []*wxbrokerv1.HeldVersion {
	list := make([]*wxbrokerv1.HeldVersion, n)
	for i := range list {
		list[i] = held("wx1", ticketKind, 1)
	}
	return list
}

func TestRequestsAreBounded(t *testing.T) {
	with := func(change func(*wxbrokerv1.Subscription)) *wxbrokerv1.WatchRequest {
		s := both("wx1")
		change(s)
		return subscribe(s)
	}
	many := func(n int) func(*wxbrokerv1.Subscription) {
		return func(s *wxbrokerv1.Subscription) { s.Appids = strings.Split(strings.Repeat("wx1,", n)[:4*n-1], ",") }
	}
	for _, tt := range []struct {
		name     string
		requests []*wxbrokerv1.WatchRequest
		code     codes.Code // OK where they are taken
	}{
		{"a subscription", []*wxbrokerv1.WatchRequest{subscribe(both())}, codes.OK},
		{"an acknowledgement after it", []*wxbrokerv1.WatchRequest{subscribe(both()), acknowledge(1)}, codes.OK},
		{"256 appids", []*wxbrokerv1.WatchRequest{with(many(256))}, codes.OK},
		{"257 appids", []*wxbrokerv1.WatchRequest{with(many(257))}, codes.InvalidArgument},
		{"no kinds", []*wxbrokerv1.WatchRequest{with(func(s *wxbrokerv1.Subscription) { s.Kinds = nil })}, codes.InvalidArgument},
		{"a name of 128 bytes", []*wxbrokerv1.WatchRequest{with(func(s *wxbrokerv1.Subscription) { s.EdgeName = strings.Repeat("n", 128) })}, codes.OK},
		{"a longer name", []*wxbrokerv1.WatchRequest{with(func(s *wxbrokerv1.Subscription) { s.EdgeName = strings.Repeat("n", 129) })}, codes.InvalidArgument},
		{"a version of 64 bytes", []*wxbrokerv1.WatchRequest{with(func(s *wxbrokerv1.Subscription) { s.EdgeVersion = strings.Repeat("v", 64) })}, codes.OK},
		{"a longer version", []*wxbrokerv1.WatchRequest{with(func(s *wxbrokerv1.Subscription) { s.EdgeVersion = strings.Repeat("v", 65) })}, codes.InvalidArgument},
		{"8192 held", []*wxbrokerv1.WatchRequest{with(func(s *wxbrokerv1.Subscription) { s.Held = manyHeld(8192) })}, codes.OK},
		{"8193 held", []*wxbrokerv1.WatchRequest{with(func(s *wxbrokerv1.Subscription) { s.Held = manyHeld(8193) })}, codes.InvalidArgument},
		{"8193 held in an acknowledgement", []*wxbrokerv1.WatchRequest{subscribe(both()), acknowledge(1, manyHeld(8193)...)}, codes.InvalidArgument},
		{"a second subscription", []*wxbrokerv1.WatchRequest{subscribe(both()), subscribe(both())}, codes.InvalidArgument},
		{"an acknowledgement first", []*wxbrokerv1.WatchRequest{acknowledge(1)}, codes.InvalidArgument},
		{"an empty request first", []*wxbrokerv1.WatchRequest{{}}, codes.InvalidArgument},
		{"an empty request later", []*wxbrokerv1.WatchRequest{subscribe(both()), {}}, codes.InvalidArgument},
		// gRPC refuses it before it is read, with a code of its own.
		{"a message over 512 KiB", []*wxbrokerv1.WatchRequest{with(func(s *wxbrokerv1.Subscription) {
			s.EdgeName = strings.Repeat("n", 512<<10)
		})}, codes.ResourceExhausted},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.publish("wx1", ticket(1, "a"))
				s := w.open()
				for _, r := range tt.requests {
					s.send(r)
				}
				if tt.code == codes.OK {
					s.checkNext("wx1", "wx1 jsapi_ticket 1 a")
					s.checkQuiet()
					return
				}
				s.checkRefused(tt.code)
				synctest.Wait()
				if n := len(w.edges.List()); n != 0 {
					t.Errorf("%d edges are left", n)
				}
			})
		})
	}
}

func TestNoRequestWithinTenSeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s := w.open()
		start := time.Now()
		s.checkRefused(codes.DeadlineExceeded)
		if took := time.Since(start); took < 10*time.Second || took > 11*time.Second {
			t.Errorf("waited for %v", took)
		}
	})
}

func TestCallerThatEndsWithoutASubscription(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s := w.open()
		if err := s.CloseSend(); err != nil {
			t.Fatal(err)
		}
		s.checkRefused(codes.InvalidArgument)
	})
}

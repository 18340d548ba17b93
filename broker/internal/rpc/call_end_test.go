package rpc_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/wxbroker/wxbroker/broker/internal/access"
	wxbrokerv1 "github.com/wxbroker/wxbroker/proto/wxbroker/v1"
)

// TestCallThatSaysNothing ends by itself.
func TestCallThatSaysNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		start := time.Now()
		stream, err := wxbrokerv1.NewWeChatServiceClient(w.conn).Call(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := stream.Recv(); status.Code(err) != codes.DeadlineExceeded || time.Since(start) != 10*time.Second {
			t.Errorf("%v after %v", err, time.Since(start))
		}
	})
}

// TestSecondHead ends a call.
func TestSecondHead(t *testing.T) {
	s := newCallSite(t)
	stream, err := s.Call(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		_ = stream.Send(&wxbrokerv1.CallRequest{Part: &wxbrokerv1.CallRequest_Head{Head: head("POST", "/cgi-bin/echo", "")}})
	}
	if _, err := stream.Recv(); status.Code(err) != codes.InvalidArgument || !strings.Contains(err.Error(), "only the first request") {
		t.Errorf("%v", err)
	}
}

// TestBodyThatDoesNotCome: nobody waits for it without end.
func TestBodyThatDoesNotCome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.publish("wx1", token(1, "t"))
		stream, err := wxbrokerv1.NewWeChatServiceClient(w.conn).Call(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		_ = stream.Send(&wxbrokerv1.CallRequest{Part: &wxbrokerv1.CallRequest_Head{Head: head("POST", "/cgi-bin/echo", "")}})
		start := time.Now()
		if _, err := stream.Recv(); status.Code(err) != codes.DeadlineExceeded || time.Since(start) != 30*time.Second {
			t.Errorf("%v after %v", err, time.Since(start))
		}
	})
}

// TestCallsEndWithTheirGrant: one whose body comes after it was revoked is not
// made, and a download that is under way ends.
func TestCallsEndWithTheirGrant(t *testing.T) {
	s := newCallSite(t)
	secret, id := access.NewToken()
	granted := func(grants ...access.Grant) {
		t.Helper()
		policy, err := access.NewPolicy([]access.App{{Name: "web", Identities: []access.Identity{id}, Accounts: []string{"wx1"}, Grants: grants}}, nil)
		if err != nil {
			t.Fatal(err)
		}
		s.control.Use(policy)
	}
	granted(access.Call, access.Media)
	ctx := metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer "+secret.Reveal())
	stream, err := s.Call(ctx)
	if err != nil {
		t.Fatal(err)
	}
	_ = stream.Send(&wxbrokerv1.CallRequest{Part: &wxbrokerv1.CallRequest_Head{Head: head("POST", "/cgi-bin/echo", "")}})
	_ = stream.Send(&wxbrokerv1.CallRequest{Part: &wxbrokerv1.CallRequest_Body{Body: []byte("a")}})
	download, err := s.GetMedia(ctx, &wxbrokerv1.GetMediaRequest{Appid: "wx1", MediaId: "endless"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := download.Recv(); err != nil {
		t.Fatal(err)
	}
	granted(access.Sign)
	_ = stream.CloseSend()
	if _, err := stream.Recv(); status.Code(err) != codes.PermissionDenied {
		t.Errorf("the call: %v", err)
	}
	if err := drained(download.Recv); status.Code(err) != codes.PermissionDenied {
		t.Errorf("the download: %v", err)
	}
}

// TestStuckReaders: a download that nobody reads ends, and the audit is told.
func TestStuckReaders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.relayTo(endless)
		w.publish("wx1", token(1, "t"))
		stream, err := wxbrokerv1.NewWeChatServiceClient(w.conn).GetMedia(t.Context(), &wxbrokerv1.GetMediaRequest{Appid: "wx1", MediaId: "m"})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := stream.Recv(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(35 * time.Second)
		w.tells("action=media outcome=failed")
	})
}

// TestAnswersThatBreakOff are not taken for whole ones.
func TestAnswersThatBreakOff(t *testing.T) {
	s := newCallSite(t)
	stream, err := s.GetMedia(t.Context(), &wxbrokerv1.GetMediaRequest{Appid: "wx1", MediaId: "half"})
	if err != nil {
		t.Fatal(err)
	}
	if err := drained(stream.Recv); status.Code(err) != codes.Unavailable {
		t.Errorf("a file: %v", err)
	}
	if _, _, err := s.pass(t, head("GET", access.MediaAPI, "media_id=half")); status.Code(err) != codes.Unavailable {
		t.Errorf("a call: %v", err)
	}
}

package media_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"

	"github.com/wxbroker/wxbroker/edge/internal/broker"
	"github.com/wxbroker/wxbroker/edge/internal/media"
	wxbrokerv1 "github.com/wxbroker/wxbroker/proto/wxbroker/v1"
)

// relay is a broker that has calls answered by an HTTP handler, in small pieces.
type relay struct {
	wxbrokerv1.UnimplementedWeChatServiceServer
	wechat http.Handler
	token  string
}

// Call implements [wxbrokerv1.WeChatServiceServer].
func (r relay) Call(stream grpc.BidiStreamingServer[wxbrokerv1.CallRequest, wxbrokerv1.CallResponse]) error {
	first, err := stream.Recv()
	if err != nil {
		return err
	}
	head := first.GetHead()
	server := httptest.NewServer(r.wechat)
	defer server.Close()
	request, err := http.NewRequestWithContext(stream.Context(), head.GetMethod(),
		server.URL+head.GetPath()+"?"+head.GetQuery()+"&access_token="+url.QueryEscape(r.token), nil)
	if err != nil {
		return err
	}
	if head.GetRange() != "" {
		request.Header.Set("Range", head.GetRange())
	}
	response, err := http.DefaultTransport.RoundTrip(request)
	if err != nil {
		return status.Error(codes.Unavailable, "WeChat did not answer")
	}
	defer response.Body.Close()
	answer := &wxbrokerv1.CallAnswer{Status: int32(response.StatusCode)}
	for _, name := range []string{"Content-Type", "Content-Disposition", "Content-Range"} {
		if value := response.Header.Get(name); value != "" {
			answer.Headers = append(answer.Headers, &wxbrokerv1.CallHeader{Name: name, Value: value})
		}
	}
	if response.ContentLength >= 0 {
		answer.ContentLength = &response.ContentLength
	}
	if err := stream.Send(&wxbrokerv1.CallResponse{Part: &wxbrokerv1.CallResponse_Answer{Answer: answer}}); err != nil {
		return err
	}
	for buffer := make([]byte, 7); ; {
		n, err := response.Body.Read(buffer)
		if n > 0 {
			if err := stream.Send(&wxbrokerv1.CallResponse{Part: &wxbrokerv1.CallResponse_Body{Body: buffer[:n]}}); err != nil {
				return err
			}
		}
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return status.Error(codes.Unavailable, "WeChat's answer broke off")
		}
	}
}

// client returns a client of a broker whose WeChat is a handler.
func client(t *testing.T, r relay) *broker.Client {
	t.Helper()
	listener := bufconn.Listen(64 << 10)
	server := grpc.NewServer()
	wxbrokerv1.RegisterWeChatServiceServer(server, r)
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(server.Stop)
	c, err := broker.New("passthrough:///broker", "v1", []grpc.DialOption{
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// got is a file that was downloaded.
type got struct {
	media.Head

	content string
}

func download(t *testing.T, c *broker.Client, r media.Request) (got, error) {
	t.Helper()
	var file got
	var content strings.Builder
	heads := 0
	err := media.Get(t.Context(), c, "", r, media.Sink{
		Head: func(head media.Head) error { file.Head = head; heads++; return nil },
		Piece: func(piece []byte) error {
			if heads != 1 {
				t.Errorf("a piece after %d heads", heads)
			}
			content.Write(piece)
			return nil
		},
	})
	if heads > 1 || err == nil && heads != 1 {
		t.Errorf("%d heads, %v", heads, err)
	}
	file.content = content.String()
	return file, err
}

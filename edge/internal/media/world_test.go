package media_test

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/wxbroker/wxbroker/edge/internal/broker"
	"github.com/wxbroker/wxbroker/edge/internal/brokertest"
	"github.com/wxbroker/wxbroker/edge/internal/media"
	wxbrokerv1 "github.com/wxbroker/wxbroker/proto/wxbroker/v1"
)

// relay has calls answered by an HTTP handler, in small pieces. The broker's token
// is added to them.
func relay(wechat http.Handler, token string) brokertest.Answer {
	return func(head *wxbrokerv1.CallHead, stream brokertest.Stream) error {
		server := httptest.NewServer(wechat)
		defer server.Close()
		request, err := http.NewRequestWithContext(stream.Context(), head.GetMethod(),
			server.URL+head.GetPath()+"?"+head.GetQuery()+"&access_token="+url.QueryEscape(token), nil)
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
		var headers []string
		for _, name := range []string{"Content-Type", "Content-Disposition", "Content-Range"} {
			if value := response.Header.Get(name); value != "" {
				headers = append(headers, name, value)
			}
		}
		if err := brokertest.SendHead(stream, int32(response.StatusCode), response.ContentLength, headers...); err != nil {
			return err
		}
		for buffer := make([]byte, 7); ; {
			n, err := response.Body.Read(buffer)
			if n > 0 {
				if err := brokertest.SendPiece(stream, string(buffer[:n])); err != nil {
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
}

// client returns a client of a broker whose WeChat is a handler.
func client(t *testing.T, wechat http.Handler, token string) *broker.Client {
	t.Helper()
	b := &brokertest.Broker{Answer: relay(wechat, token)}
	return b.Client(t)
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

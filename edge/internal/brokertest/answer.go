package brokertest

import (
	"errors"
	"io"
	"net/http"
	"slices"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	wxbrokerv1 "github.com/wxbroker/wxbroker/proto/wxbroker/v1"
)

// Stream is a call's stream at the broker's end.
type Stream = grpc.BidiStreamingServer[wxbrokerv1.CallRequest, wxbrokerv1.CallResponse]

// Answer answers a call whose head was received.
type Answer func(head *wxbrokerv1.CallHead, stream Stream) error

// Body reads the body of a call.
func Body(stream Stream) ([]byte, error) {
	var body []byte
	for {
		request, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return body, nil
		}
		if err != nil {
			return nil, err
		}
		body = append(body, request.GetBody()...)
	}
}

// Echo is an Answer of the call's own body, as text.
func Echo(_ *wxbrokerv1.CallHead, stream Stream) error {
	body, err := Body(stream)
	if err != nil {
		return err
	}
	return Reply(stream, http.StatusOK, string(body), "Content-Type", "text/plain")
}

// JSON is an Answer of WeChat's: this text, and HTTP 200.
func JSON(text string) Answer {
	return func(_ *wxbrokerv1.CallHead, stream Stream) error {
		return Reply(stream, http.StatusOK, text, "Content-Type", "application/json; encoding=utf-8")
	}
}

// Fail is an Answer that ends with an error.
func Fail(err error) Answer {
	return func(*wxbrokerv1.CallHead, Stream) error { return err }
}

// File is an Answer of some pieces, of that length together, -1 where it is not said.
func File(code int32, length int64, headers []string, pieces ...string) Answer {
	return func(_ *wxbrokerv1.CallHead, stream Stream) error {
		err := SendHead(stream, code, length, headers...)
		for _, piece := range pieces {
			err = errors.Join(err, SendPiece(stream, piece))
		}
		return err
	}
}

// Reply sends an answer with a status, a body and headers: name, value, name, value.
func Reply(stream Stream, code int32, body string, headers ...string) error {
	return errors.Join(SendHead(stream, code, -1, headers...), SendPiece(stream, body))
}

// SendHead begins an answer, of that length, -1 where it is not said.
func SendHead(stream Stream, code int32, length int64, headers ...string) error {
	answer := &wxbrokerv1.CallAnswer{Status: code}
	for pair := range slices.Chunk(headers, 2) {
		answer.Headers = append(answer.Headers, &wxbrokerv1.CallHeader{Name: pair[0], Value: pair[1]})
	}
	if length >= 0 {
		answer.ContentLength = &length
	}
	return stream.Send(&wxbrokerv1.CallResponse{Part: &wxbrokerv1.CallResponse_Answer{Answer: answer}})
}

// SendPiece sends a piece of an answer's body.
func SendPiece(stream Stream, piece string) error {
	return stream.Send(&wxbrokerv1.CallResponse{Part: &wxbrokerv1.CallResponse_Body{Body: []byte(piece)}})
}

// Refusal is an error that has WeChat's own in its details. It may be asked again
// after retry, where that is not 0.
func Refusal(t testing.TB, code codes.Code, errcode int32, errmsg string, retry time.Duration) error {
	t.Helper()
	refusal := &wxbrokerv1.Refusal{Errcode: errcode, Errmsg: errmsg}
	if retry != 0 {
		refusal.RetryTime = timestamppb.New(time.Now().Add(retry))
	}
	s, err := status.New(code, "WeChat refuses").WithDetails(refusal)
	if err != nil {
		t.Fatal(err)
	}
	return s.Err()
}

package httpapi

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"unicode/utf8"

	"google.golang.org/grpc/codes"
	grpcstatus "google.golang.org/grpc/status"

	"github.com/wxbroker/wxbroker/edge/internal/audit"
	"github.com/wxbroker/wxbroker/edge/internal/calls"
	wxbrokerv1 "github.com/wxbroker/wxbroker/proto/wxbroker/v1"
)

// maxUpload bounds the body of a call, in bytes. WeChat takes no file as large.
const maxUpload = 64 << 20

// forward has the broker make any call that no other path is for, and answers
// as WeChat does.
func (a *API) forward(w http.ResponseWriter, r *http.Request) (status int, whole bool) {
	path := cleaned(r.URL.Path)
	entry := audit.Entry{Action: audit.Call, Path: path}
	f := newFlow(w)
	err := a.relay(f, r, path, &entry)
	if err != nil && f.status == 0 {
		err = refusedCall(err)
	}
	return a.end(f, r, entry, err)
}

// refusedCall is the answer to a call that was not made, or not answered.
func refusedCall(err error) error {
	var body *bodyError
	var limit *http.MaxBytesError
	switch {
	case errors.As(err, &limit):
		return say(errTooLarge, fmt.Sprintf("the body has more than %d bytes", limit.Limit))
	case errors.As(err, &body):
		return say(errFormat, "the body did not arrive whole")
	default:
		return inWeChatsWords(err)
	}
}

func (a *API) relay(f *flow, r *http.Request, path string, entry *audit.Entry) error {
	if r.Method != http.MethodGet && r.Method != http.MethodPost {
		return say(errNotPost, "or GET")
	}
	q, err := readQuery(r.URL.RawQuery, strings.HasPrefix(path, snsPaths))
	if err != nil {
		return err
	}
	who, err := a.admitCall(r, path, q, entry)
	if err != nil {
		return err
	}
	head := &wxbrokerv1.CallHead{
		Appid: who.appid, Method: r.Method, Path: path, Query: q.raw, Proven: who.proven,
		ContentType: header(r, "Content-Type"), Range: header(r, "Range"),
	}
	to := calls.Sink[*wxbrokerv1.CallAnswer]{Head: f.callHead, Piece: f.piece}
	await(f.w, calls.Stall)
	if r.Method == http.MethodGet {
		err = a.Calls.Call(r.Context(), who.key, head, nil, to)
	} else {
		err = a.upload(f, r, who.key, head, to)
	}
	if err == nil {
		err = f.whole()
	}
	return err
}

// upload makes a call with the request's body.
func (a *API) upload(f *flow, r *http.Request, key string, head *wxbrokerv1.CallHead, to calls.Sink[*wxbrokerv1.CallAnswer]) error {
	limit := int64(maxUpload)
	if !head.GetProven() { // it may yet be a stranger
		limit = maxBody
	}
	switch {
	case r.ContentLength > limit:
		return &bodyError{&http.MaxBytesError{Limit: limit}}
	case r.ContentLength >= 0:
		head.ContentLength = &r.ContentLength
	}
	body := &upload{body: http.MaxBytesReader(f.w, r.Body, limit), control: f.control, waits: calls.Stall}
	// While WeChat's answer to half a body is passed on, the server takes the
	// client for gone: then a write says whether it is.
	ctx, cancel := context.WithCancel(context.WithoutCancel(r.Context()))
	defer cancel()
	defer context.AfterFunc(r.Context(), func() {
		if !body.interrupted() {
			cancel()
		}
	})()
	return a.Calls.Call(ctx, key, head, body, to)
}

// header returns a header that is given once, "" for any other.
func header(r *http.Request, name string) string {
	if given := r.Header[name]; len(given) == 1 && utf8.ValidString(given[0]) {
		return given[0]
	}
	return ""
}

// notPassedOn are headers of an answer that are about the connection it came
// by, or that are set here.
var notPassedOn = []string{
	"Connection", "Content-Length", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization", "Proxy-Connection",
	"Te", "Trailer", "Transfer-Encoding", "Upgrade",
}

// callHead begins the answer to a call.
func (f *flow) callHead(answer *wxbrokerv1.CallAnswer) error {
	status, length := int(answer.GetStatus()), int64(-1)
	if status < http.StatusOK || status > 599 {
		return grpcstatus.Errorf(codes.Unavailable, "WeChat answered with HTTP %d", status)
	}
	h := f.w.Header()
	for _, given := range answer.GetHeaders() {
		name := http.CanonicalHeaderKey(given.GetName())
		// No page of another origin is to read this, whatever WeChat says.
		if !slices.Contains(notPassedOn, name) && !strings.HasPrefix(name, "Access-Control-") {
			h.Add(name, given.GetValue())
		}
	}
	if answer.ContentLength != nil && status != http.StatusNoContent && status != http.StatusNotModified {
		length = answer.GetContentLength()
	}
	f.begin(status, length)
	return nil
}

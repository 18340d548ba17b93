package httpapi

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"google.golang.org/grpc/codes"
	grpcstatus "google.golang.org/grpc/status"

	"github.com/wxbroker/wxbroker/edge/internal/audit"
	"github.com/wxbroker/wxbroker/edge/internal/broker"
	"github.com/wxbroker/wxbroker/pkg/wxapi"
	wxbrokerv1 "github.com/wxbroker/wxbroker/proto/wxbroker/v1"
)

// maxUpload bounds the body of a call, in bytes. WeChat takes no file as large.
const maxUpload = 64 << 20

// unwanted is how long the body may still arrive of a call that is refused, or
// that is a stranger's. Until then its connection counts as in use, and strangers
// must not hold many.
const unwanted = 2 * time.Second

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
		return say(wxapi.TooLarge, fmt.Sprintf("the body has more than %d bytes", limit.Limit))
	case errors.As(err, &body):
		return say(wxapi.InvalidFormat, "the body did not arrive whole")
	default:
		return inWeChatsWords(err)
	}
}

func (a *API) relay(f *flow, r *http.Request, path string, entry *audit.Entry) error {
	head, key, err := a.callOf(r, path, entry)
	if !head.GetProven() && r.Body != http.NoBody { // without a body net/http is reading already, and minds the deadline
		_ = f.control.SetReadDeadline(time.Now().Add(unwanted)) // as in await
	}
	if err != nil {
		return err
	}
	to := broker.Sink{Head: f.callHead, Piece: f.piece}
	if r.Method == http.MethodGet {
		if err := drain(f.w, r); err != nil {
			return err
		}
		await(f.w, broker.Stall)
		err = a.Broker.Call(r.Context(), key, head, nil, to)
	} else {
		err = a.upload(f, r, key, head, to)
	}
	if err == nil {
		err = f.whole()
	}
	return err
}

// callOf returns the call that a request asks for, and the name of the local key
// that it is made for. It reads no body: who asks may be anybody.
func (a *API) callOf(r *http.Request, path string, entry *audit.Entry) (head *wxbrokerv1.CallHead, key string, err error) {
	users := strings.HasPrefix(path, wxapi.BelowSNS)
	switch {
	case users && r.Method != http.MethodGet: // WeChat has no other there, and a stranger no body
		return nil, "", say(wxapi.NotGet, "")
	case r.Method != http.MethodGet && r.Method != http.MethodPost:
		return nil, "", say(wxapi.NotPost, "or GET")
	}
	q, err := readQuery(r.URL.RawQuery, users)
	if err != nil {
		return nil, "", err
	}
	who, err := a.admitCall(r, path, q, entry)
	if err != nil {
		return nil, "", err
	}
	head = &wxbrokerv1.CallHead{
		Appid: who.appid, Method: r.Method, Path: path, Query: q.raw, Proven: who.proven,
		ContentType: header(r, "Content-Type"),
	}
	if r.Header["If-Range"] == nil { // which is not passed on, so nobody could say whether a part is still of the same
		head.Range = header(r, "Range")
	}
	return head, who.key, nil
}

// upload makes a call with the request's body.
func (a *API) upload(f *flow, r *http.Request, key string, head *wxbrokerv1.CallHead, to broker.Sink) error {
	switch {
	case r.ContentLength > maxUpload:
		return &bodyError{&http.MaxBytesError{Limit: maxUpload}}
	case r.ContentLength >= 0:
		head.ContentLength = &r.ContentLength
	}
	if r.Body == http.NoBody { // nothing to be read, nor for net/http to read behind
		await(f.w, broker.Stall)
		return a.Broker.Call(r.Context(), key, head, nil, to)
	}
	body := newUpload(f, http.MaxBytesReader(f.w, r.Body, maxUpload))
	// While WeChat's answer to half a body is passed on, the server takes the
	// client for gone: then a write says whether it is.
	ctx, cancel := context.WithCancel(context.WithoutCancel(r.Context()))
	defer cancel()
	defer context.AfterFunc(r.Context(), func() {
		if !body.interrupted() {
			cancel()
		}
	})()
	return a.Broker.Call(ctx, key, head, body, to)
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

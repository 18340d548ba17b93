package wechatapi

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"google.golang.org/grpc/codes"
	grpcstatus "google.golang.org/grpc/status"

	"github.com/wxbroker/wxbroker/edge/internal/admit"
	"github.com/wxbroker/wxbroker/edge/internal/audit"
	"github.com/wxbroker/wxbroker/edge/internal/broker"
	"github.com/wxbroker/wxbroker/edge/internal/transfer"
	"github.com/wxbroker/wxbroker/pkg/credential"
	"github.com/wxbroker/wxbroker/pkg/wxapi"
	wxbrokerv1 "github.com/wxbroker/wxbroker/proto/wxbroker/v1"
)

// maxUpload bounds the body of a call, in bytes. WeChat takes no file as large.
const maxUpload = 64 << 20

// unwanted is how long the body may still arrive of a call that is refused, or
// that is a stranger's. Until then its connection counts as in use, and strangers
// must not hold many.
const unwanted = 2 * time.Second

// forward has the broker make any call that no other path is for, and answers as
// WeChat does.
func (a *API) forward(w http.ResponseWriter, r *http.Request) (status int, whole bool) {
	path := cleaned(r.URL.Path)
	entry := audit.Entry{Action: audit.Call, Path: path}
	f := transfer.NewFlow(w)
	outcome := f.End(a.relay(w, f, r, path, &entry), refuse)
	if err := outcome.Err; err != nil && outcome.Whole {
		outcome.Err = inWords(err)
	}
	a.Audit(entry.Of(r, outcome.Audited, outcome.Err))
	return outcome.Status, outcome.Whole
}

func (a *API) relay(w http.ResponseWriter, f *transfer.Flow, r *http.Request, path string, entry *audit.Entry) error {
	head, key, err := a.callOf(r, path, entry)
	if !head.GetProven() && r.Body != http.NoBody { // without a body net/http is reading already, and minds the deadline
		_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(unwanted)) // as in transfer.Await
	}
	if err != nil {
		return err
	}
	to := broker.Sink{Head: func(answer *wxbrokerv1.CallAnswer) error { return begin(f, answer) }, Piece: f.Piece}
	if r.Method == http.MethodGet {
		if err := transfer.Drain(w, r, maxBody); err != nil {
			return err
		}
		transfer.Await(w, broker.Stall)
		err = a.Broker.Call(r.Context(), key, head, nil, to)
	} else {
		err = a.upload(w, r, key, head, to)
	}
	if err == nil {
		err = f.Whole()
	}
	return err
}

// callOf returns the call that a request asks for, and the name of the local key
// that it is made for. It reads no body: who asks may be anybody.
func (a *API) callOf(r *http.Request, path string, entry *audit.Entry) (head *wxbrokerv1.CallHead, key string, err error) {
	users := strings.HasPrefix(path, wxapi.BelowSNS)
	switch {
	case users && r.Method != http.MethodGet: // WeChat has no other there, and a stranger no body
		return nil, "", wxapi.NotGet.Say("")
	case r.Method != http.MethodGet && r.Method != http.MethodPost:
		return nil, "", wxapi.NotPost.Say("or GET")
	}
	q, err := readQuery(r.URL.RawQuery, users)
	if err != nil {
		return nil, "", err
	}
	who, err := a.admit(r, path, q, entry)
	if err != nil {
		return nil, "", err
	}
	head = &wxbrokerv1.CallHead{
		Appid: who.AppID, Method: r.Method, Path: path, Query: q.raw, Proven: who.Proven,
		ContentType: header(r, "Content-Type"),
	}
	if r.Header["If-Range"] == nil { // which is not passed on, so nobody could say whether a part is still of the same
		head.Range = header(r, "Range")
	}
	return head, who.Key, nil
}

// admit lets in who may have a call made, and finds out of which account.
func (a *API) admit(r *http.Request, path string, q query, entry *audit.Entry) (who admit.Caller, err error) {
	if strings.HasPrefix(path, wxapi.BelowSNS) {
		who, err = a.Door.User(r, admit.UserRequest{Path: path, AppID: q.appid, Secret: q.secret, Token: q.token, Refreshes: q.refreshes})
	} else {
		who, err = a.Door.Token(r, q.token)
	}
	entry.LocalKey, entry.AppID = who.Name, who.AppID
	if err != nil || who.AppID != "" || !who.Proven {
		return who, err
	}
	named, err := a.served(q.appid)
	if err != nil {
		return who, err
	}
	who.AppID, err = a.Door.State.Caller(named, credential.Call)
	entry.AppID = who.AppID
	return who, whichAccount(err)
}

// served returns appid if it names an account that is served here, "" where it
// has another meaning, as for some APIs it has. What names another account is
// refused: nobody means this one by it.
func (a *API) served(appid string) (string, error) {
	account, err := a.Door.State.Account(appid)
	switch {
	case err == nil:
		return account.AppID, nil
	case wxapi.IsAppID(appid):
		return "", err
	}
	return "", nil
}

// upload makes a call with the request's body.
func (a *API) upload(w http.ResponseWriter, r *http.Request, key string, head *wxbrokerv1.CallHead, to broker.Sink) error {
	switch {
	case r.ContentLength > maxUpload:
		return &transfer.BodyError{Err: &http.MaxBytesError{Limit: maxUpload}}
	case r.ContentLength >= 0:
		head.ContentLength = &r.ContentLength
	}
	if r.Body == http.NoBody { // nothing to be read, nor for net/http to read behind
		transfer.Await(w, broker.Stall)
		return a.Broker.Call(r.Context(), key, head, nil, to)
	}
	body := transfer.NewUpload(w, http.MaxBytesReader(w, r.Body, maxUpload))
	// While WeChat's answer to half a body is passed on, the server takes the
	// client for gone: then a write says whether it is.
	ctx, cancel := context.WithCancel(context.WithoutCancel(r.Context()))
	defer cancel()
	defer context.AfterFunc(r.Context(), func() {
		if !body.Interrupted() {
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

// begin begins the answer to a call.
func begin(f *transfer.Flow, answer *wxbrokerv1.CallAnswer) error {
	status, length := int(answer.GetStatus()), int64(-1)
	if status < http.StatusOK || status > 599 {
		return grpcstatus.Errorf(codes.Unavailable, "WeChat answered with HTTP %d", status)
	}
	h := f.Header()
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
	f.Begin(status, length)
	return nil
}

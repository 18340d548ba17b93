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

// maxUpload bounds the body of a call, in bytes. WeChat's own limits are lower.
const maxUpload = 64 << 20

// unwantedBodyTimeout bounds how long a body may still arrive that nobody wants: that of
// a refused call, or of a stranger's call. Until then its connection counts as in use,
// and strangers must not hold many connections.
const unwantedBodyTimeout = 2 * time.Second

// forward lets the broker make a call that no other path is for, and answers as WeChat
// does.
func (a *API) forward(w http.ResponseWriter, r *http.Request) (status int, whole bool) {
	path := cleanPath(r.URL.Path)
	entry := audit.Entry{Action: audit.Call, Path: path}
	f := transfer.NewFlow(w)
	outcome := f.End(a.relay(w, f, r, path, &entry), refuse)
	if err := outcome.Err; err != nil && outcome.Whole {
		outcome.Err = refusalFor(err)
	}
	a.Audit(entry.Of(r, outcome.Audited, outcome.Err))
	return outcome.Status, outcome.Whole
}

func (a *API) relay(w http.ResponseWriter, f *transfer.Flow, r *http.Request, path string, entry *audit.Entry) error {
	head, key, err := a.callFor(r, path, entry)
	if !head.GetProven() && r.Body != http.NoBody { // without a body net/http already reads, and would obey the deadline
		_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(unwantedBodyTimeout)) // as in transfer.ExtendDeadline
	}
	if err != nil {
		return err
	}
	to := broker.Sink{Head: func(answer *wxbrokerv1.CallAnswer) error { return begin(f, answer) }, Piece: f.Piece}
	if r.Method == http.MethodGet {
		if err := transfer.Drain(w, r, maxBody); err != nil {
			return err
		}
		transfer.ExtendDeadline(w, broker.Stall)
		err = a.Broker.Call(r.Context(), key, head, nil, to)
	} else {
		err = a.upload(w, r, key, head, to)
	}
	if err == nil {
		err = f.CheckLength()
	}
	return err
}

// callFor returns the call that a request asks for, and the name of the local key for
// which it is made. It does not read the body, because the caller may be a stranger.
func (a *API) callFor(r *http.Request, path string, entry *audit.Entry) (head *wxbrokerv1.CallHead, key string, err error) {
	users := strings.HasPrefix(path, wxapi.BelowSNS)
	switch {
	case users && r.Method != http.MethodGet: // WeChat takes only GET there, and a stranger must not send a body
		return nil, "", wxapi.NotGet.Refusal("")
	case r.Method != http.MethodGet && r.Method != http.MethodPost:
		return nil, "", wxapi.NotPost.Refusal("or GET")
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
	if r.Header["If-Range"] == nil { // If-Range is not passed on, so nobody could say whether the file is still the same
		head.Range = header(r, "Range")
	}
	return head, who.Key, nil
}

// admit returns the caller of a call, with the account that the call is for. It returns
// an error for a caller that may not let the broker make calls.
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
	named, err := a.servedAccount(q.appid)
	if err != nil {
		return who, err
	}
	who.AppID, err = a.Door.State.Caller(named, credential.Call)
	entry.AppID = who.AppID
	return who, missingAppID(err)
}

// servedAccount returns appid if it names an account that is served here. It returns ""
// where appid is not an appid at all, since the parameter has another meaning for some
// APIs. It returns an error where appid names another account, because the caller
// cannot mean the account here.
func (a *API) servedAccount(appid string) (string, error) {
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
	if r.Body == http.NoBody { // there is no body to read, and net/http reads already
		transfer.ExtendDeadline(w, broker.Stall)
		return a.Broker.Call(r.Context(), key, head, nil, to)
	}
	body := transfer.NewUpload(w, http.MaxBytesReader(w, r.Body, maxUpload))
	// Once the upload is closed, because WeChat answers half a body, the server
	// believes that the client has left and ends the request's context. The call must
	// not end with it. Then only a failed write says that the client has left.
	ctx, cancel := context.WithCancel(context.WithoutCancel(r.Context()))
	defer cancel()
	defer context.AfterFunc(r.Context(), func() {
		if !body.Interrupted() {
			cancel()
		}
	})()
	return a.Broker.Call(ctx, key, head, body, to)
}

// header returns the value of a header that the request has exactly once, "" otherwise.
func header(r *http.Request, name string) string {
	if given := r.Header[name]; len(given) == 1 && utf8.ValidString(given[0]) {
		return given[0]
	}
	return ""
}

// droppedHeaders are headers of an answer that are not passed on. They are about
// WeChat's connection, or the edge sets them itself.
var droppedHeaders = []string{
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
		// No page of another origin may read this answer, whatever WeChat allows.
		if !slices.Contains(droppedHeaders, name) && !strings.HasPrefix(name, "Access-Control-") {
			h.Add(name, given.GetValue())
		}
	}
	if answer.ContentLength != nil && status != http.StatusNoContent && status != http.StatusNotModified {
		length = answer.GetContentLength()
	}
	f.Begin(status, length)
	return nil
}

package httpapi

import (
	"cmp"
	"errors"
	"net/http"
	"path"
	"regexp"
	"strings"
	"time"

	grpcstatus "google.golang.org/grpc/status"

	"github.com/wxbroker/wxbroker/edge/internal/audit"
	"github.com/wxbroker/wxbroker/edge/internal/signing"
	"github.com/wxbroker/wxbroker/pkg/daemon"
	"github.com/wxbroker/wxbroker/pkg/wxapi"
)

// shapes are the paths that are answered here in WeChat's own shape. Any other
// path of its is forwarded.
var shapes = map[string]route{
	wxapi.PathToken:       {stream: shaped((*API).wechatToken)},
	wxapi.PathStableToken: {stream: shaped((*API).wechatStableToken)},
	wxapi.PathTicket:      {stream: shaped((*API).wechatTicket)},
}

// wechatForm is that of WeChat's paths: at least two segments, of characters
// that are never escaped, so that nobody reads them in two ways.
var wechatForm = regexp.MustCompile(`^/[a-z][a-z0-9_-]*(/[A-Za-z0-9._~-]+)+$`)

// cleaned returns a path as WeChat would read it. It is unescaped already.
func cleaned(p string) string { return path.Clean("/" + p) }

// findWeChat is find for paths that are WeChat's.
func findWeChat(p string) (name string, found route, ok bool) {
	p = cleaned(p)
	if !wechatForm.MatchString(p) || strings.HasPrefix(p, "/v1/") {
		return "", route{}, false
	}
	if found, ok = shapes[p]; ok {
		return p, found, true
	}
	return "forwarded", route{stream: (*API).forward}, true
}

// shaped has a request answered as WeChat does: with HTTP 200 whatever comes of
// it, as SDKs expect.
func shaped(handle func(*API, *http.Request, *audit.Entry) (any, error)) func(*API, http.ResponseWriter, *http.Request) (int, bool) {
	return func(a *API, w http.ResponseWriter, r *http.Request) (int, bool) {
		r.Body = http.MaxBytesReader(w, r.Body, maxBody)
		var entry audit.Entry
		answer, err := handle(a, r, &entry)
		a.audit(r, entry, err)
		status := http.StatusOK
		if err != nil {
			status, answer = failure(w, err)
		}
		daemon.Answer(w, status, answer)
		return status, true
	}
}

// said is an error in WeChat's words.
type said struct {
	errcode wxapi.Code
	errmsg  string
	retry   time.Time // when to try again, if known
}

func (s *said) Error() string { return s.errmsg }

// say returns an error with WeChat's words for its code, and why if that is not
// empty.
func say(errcode wxapi.Code, why string) error {
	message := errcode.Words()
	if why != "" {
		message += ": " + why
	}
	return &said{errcode: errcode, errmsg: message}
}

// inWeChatsWords returns an error of the state or of the broker as WeChat would
// say it.
func inWeChatsWords(err error) error {
	var already *said
	switch {
	case errors.As(err, &already):
		return err
	case errors.Is(err, signing.ErrAccount):
		return say(wxapi.InvalidAppID, err.Error())
	case errors.Is(err, signing.ErrNotGranted):
		return say(wxapi.NotAuthorized, err.Error())
	case errors.Is(err, signing.ErrUnavailable):
		return say(wxapi.Busy, err.Error())
	}
	s := grpcstatus.Convert(err)
	if wechat, ok := wxapi.RefusalIn(err); ok {
		return &said{errcode: wechat.Code, errmsg: cmp.Or(wechat.Message, s.Message()), retry: wechat.Retry}
	}
	return say(wxapi.Fitting(s.Code()), cmp.Or(s.Message(), s.Code().String()))
}

// answer returns the error as it is sent.
func (s *said) answer(w http.ResponseWriter) (int, any) {
	if !s.retry.IsZero() {
		w.Header().Set("Retry-After", secondsUntil(s.retry))
	}
	return http.StatusOK, daemon.Refusal{ErrCode: int(s.errcode), ErrMsg: s.errmsg}
}

// status returns what HTTP's would be on a path of ours, for the audit.
func (s *said) status() int { return s.errcode.HTTPStatus() }

package httpapi

import (
	"cmp"
	"errors"
	"net/http"
	"path"
	"regexp"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	grpcstatus "google.golang.org/grpc/status"

	"github.com/wxbroker/wxbroker/edge/internal/audit"
	"github.com/wxbroker/wxbroker/edge/internal/calls"
	"github.com/wxbroker/wxbroker/edge/internal/signing"
	"github.com/wxbroker/wxbroker/pkg/daemon"
)

// shapes are the paths that are answered here in WeChat's own shape. Any other
// path of its is forwarded.
var shapes = map[string]route{
	"/cgi-bin/token":            {stream: shaped((*API).wechatToken)},
	"/cgi-bin/stable_token":     {stream: shaped((*API).wechatStableToken)},
	"/cgi-bin/ticket/getticket": {stream: shaped((*API).wechatTicket)},
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
	errcode int
	errmsg  string
	retry   time.Time // when to try again, if known
}

func (s *said) Error() string { return s.errmsg }

// What is refused here, by WeChat's codes.
const (
	errSystem        = -1
	errToken         = 40001
	errGrantType     = 40002
	errAppID         = 40013
	errParameter     = 40035
	errTicketType    = 40097
	errSecret        = 40125
	errNoToken       = 41001
	errNoAppID       = 41002
	errNoSecret      = 41004
	errNotGet        = 43001
	errNotPost       = 43002
	errTooLarge      = 45001
	errQuota         = 45009
	errRate          = 45011
	errFormat        = 47001
	errNotAuthorized = 48001
)

// words are WeChat's for its codes, which SDKs show.
var words = map[int]string{
	errSystem: "system error", errToken: "invalid credential, access_token is invalid or not latest", errGrantType: "invalid grant_type",
	errAppID: "invalid appid", errParameter: "invalid parameter", errTicketType: "invalid args", errSecret: "invalid appsecret",
	errNoToken: "access_token missing", errNoAppID: "appid missing", errNoSecret: "appsecret missing",
	errNotGet: "require GET method", errNotPost: "require POST method", errTooLarge: "media size out of limit",
	errRate: "api minute-quota reach limit, must slower, retry next minute", errFormat: "data format error", errNotAuthorized: "api unauthorized",
}

// say returns an error with WeChat's words for its code, and why if that is not
// empty.
func say(errcode int, why string) error {
	message := words[errcode]
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
		return say(errAppID, err.Error())
	case errors.Is(err, signing.ErrNotGranted):
		return say(errNotAuthorized, err.Error())
	case errors.Is(err, signing.ErrUnavailable):
		return say(errSystem, err.Error())
	}
	s := grpcstatus.Convert(err)
	if wechat := calls.RefusalIn(err); wechat != nil {
		says := &said{errcode: int(wechat.GetErrcode()), errmsg: cmp.Or(wechat.GetErrmsg(), s.Message())}
		if wechat.GetRetryTime().IsValid() {
			says.retry = wechat.GetRetryTime().AsTime()
		}
		return says
	}
	switch s.Code() {
	case codes.PermissionDenied:
		return say(errNotAuthorized, s.Message())
	case codes.ResourceExhausted:
		return say(errRate, s.Message())
	case codes.InvalidArgument:
		return say(errParameter, s.Message())
	case codes.NotFound:
		return say(errAppID, s.Message())
	default:
		return say(errSystem, cmp.Or(s.Message(), s.Code().String()))
	}
}

// answer returns the error as it is sent.
func (s *said) answer(w http.ResponseWriter) (int, any) {
	if !s.retry.IsZero() {
		w.Header().Set("Retry-After", secondsUntil(s.retry))
	}
	return http.StatusOK, daemon.Refusal{ErrCode: s.errcode, ErrMsg: s.errmsg}
}

// status returns what HTTP's would be on a path of ours, for the audit.
func (s *said) status() int {
	switch s.errcode {
	case errSystem:
		return http.StatusServiceUnavailable
	case errToken, errSecret, errNoToken, errNoSecret:
		return http.StatusUnauthorized
	case errNotAuthorized:
		return http.StatusForbidden
	case errQuota, errRate:
		return http.StatusTooManyRequests
	default:
		return http.StatusBadRequest
	}
}

package relay

import (
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"strings"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/wxbroker/wxbroker/broker/internal/access"
	"github.com/wxbroker/wxbroker/broker/internal/keeper"
	"github.com/wxbroker/wxbroker/broker/internal/wechat"
	"github.com/wxbroker/wxbroker/pkg/credential"
	"github.com/wxbroker/wxbroker/pkg/wxapi"
)

// Call is one call to be made.
type Call struct {
	AppID string
	// Kind is the API as which metrics count the call.
	Kind   wechat.API
	Method string // GET or POST
	Path   string // as access.CleanAPI returns it
	// Query has no credentials of ours.
	Query, ContentType, Range string
	Body                      io.Reader // nil for none
	Length                    int64     // of the body, -1 if it is not known
	// Recheck returns an error if the app may no longer make the call. It is asked
	// when the body has come, which can take a while. It is nil for a call whose
	// permission was checked just now.
	Recheck func() error
}

// tokenTimeout bounds how long a call waits for a token that the keeper fetches.
const tokenTimeout = 15 * time.Second

// Do makes a call for an app that may make it, and returns WeChat's answer,
// refusals included. Its errors are gRPC statuses.
//
// If WeChat refuses the token, Do reports it to the keeper. The keeper asks WeChat
// about it and replaces it if need be. Then Do makes the call once more, if its body
// can be sent again.
func (r *Relay) Do(ctx context.Context, app *access.App, c Call) (*wechat.Answer, error) {
	if err := r.stops.check(c.AppID, countName(c.Path)); err != nil { // before waiting for the body
		return nil, err
	}
	body, err := readBody(c)
	if err != nil {
		return nil, Refuse(codes.InvalidArgument, "%s", err.Error())
	}
	if c.Recheck != nil {
		if err := c.Recheck(); err != nil {
			return nil, err
		}
	}
	for first := true; ; first = false {
		token, err := r.token(ctx, c.AppID)
		if err != nil {
			return nil, err
		}
		if first { // after the token: a call that cannot be made does not count
			if err := r.admit(app, c.AppID, c.Path); err != nil {
				return nil, err
			}
		}
		answer, err := r.pass(ctx, c, body.request(token.Value))
		if err != nil {
			return nil, err
		}
		if !first || answer.Refusal == nil || answer.Refusal.Class != wxapi.RefusedToken {
			return answer, nil
		}
		if renewed := r.reportRefused(ctx, c.AppID, token); !renewed || !body.whole {
			return answer, nil
		}
		_ = answer.Body.Close() // nobody reads it
	}
}

// admit counts a call. It returns an error where the broker does not have the
// account, the app has spent its calls of today, or the API is stopped.
func (r *Relay) admit(app *access.App, appid, api string) error {
	if r.Keeper(appid) == nil {
		return unknownAccount(appid)
	}
	key := countName(api)
	if err := r.stops.begin(appid, key); err != nil {
		return err
	}
	if err := r.day.spend(app, appid, key); err != nil {
		r.stops.release(appid, key)
		return err
	}
	return nil
}

// countName returns the name under which an API is counted and stopped. It does not
// depend on how the caller wrote the path.
func countName(api string) string { return strings.ToLower(api) }

// pass makes a call and notes what WeChat says about the API.
func (r *Relay) pass(ctx context.Context, c Call, request wechat.Request) (*wechat.Answer, error) {
	request.AppID, request.API = c.AppID, c.Kind
	request.Method, request.Path, request.Query = c.Method, c.Path, c.Query
	request.ContentType, request.Range = c.ContentType, c.Range
	key, began := countName(c.Path), r.Clock()
	answer, err := r.WeChat.Pass(ctx, request)
	if known, ok := errors.AsType[*wechat.Error](err); ok && known.Class == wxapi.Rate {
		r.stops.note(c.AppID, key, began, known)
	} else if err != nil {
		r.stops.release(c.AppID, key)
	}
	if err != nil {
		return nil, r.failureStatus(ctx, err)
	}
	r.stops.note(c.AppID, key, began, answer.Refusal)
	return answer, nil
}

// failureStatus returns the status for a call that WeChat did not answer.
func (r *Relay) failureStatus(ctx context.Context, err error) error {
	known, ok := errors.AsType[*wechat.Error](err)
	switch {
	case ok:
		return r.refusalStatus(known)
	case ctx.Err() != nil:
		return contextEnded(ctx)
	case errors.Is(err, wechat.ErrBody), errors.Is(err, wechat.ErrRequest):
		return Refuse(codes.InvalidArgument, "%s", err.Error())
	default:
		return Refuse(codes.Unavailable, "%s", err.Error())
	}
}

// token returns a token that WeChat honours, as far as the broker knows. Where there
// is none, token waits for the keeper, which may be fetching one.
func (r *Relay) token(ctx context.Context, appid string) (credential.Credential, error) {
	token, ok := r.liveToken(appid)
	if ok {
		return token, nil
	}
	k := r.Keeper(appid)
	if k == nil {
		return credential.Credential{}, unknownAccount(appid)
	}
	bound, cancel := context.WithTimeout(ctx, tokenTimeout)
	defer cancel()
	err := k.Settle(bound)
	switch {
	case ctx.Err() != nil:
		return credential.Credential{}, contextEnded(ctx)
	case errors.Is(err, keeper.ErrStopped):
		return credential.Credential{}, wxapi.SystemError("the broker stops")
	}
	if token, ok = r.liveToken(appid); !ok {
		return credential.Credential{}, wxapi.SystemError("there is no access_token of %s that WeChat takes: see `wxbroker status`", appid)
	}
	return token, nil
}

func (r *Relay) liveToken(appid string) (credential.Credential, bool) {
	account, _ := r.Account(appid)
	token, ok := account.Credential(credential.AccessToken)
	return token, ok && !token.Expiry.Passed(r.Clock.Now())
}

// reportRefused tells the keeper that WeChat refused a token. It reports whether
// there is now a newer one.
func (r *Relay) reportRefused(ctx context.Context, appid string, refused credential.Credential) bool {
	k := r.Keeper(appid)
	if k == nil {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, tokenTimeout)
	defer cancel()
	_, err := k.Report(ctx, credential.AccessToken, sha256.Sum256([]byte(refused.Value.Reveal())))
	if err != nil && !errors.Is(err, keeper.ErrUnknownValue) {
		return false
	}
	now, ok := r.liveToken(appid)
	return ok && now.Version > refused.Version
}

package relay

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
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
	// Kind is what it counts as in metrics.
	Kind   wechat.API
	Method string // GET or POST
	Path   string // as access.CleanAPI returns it
	// Query has no credentials of ours.
	Query, ContentType, Range string
	Body                      io.Reader // nil for none
	Length                    int64     // of the body, -1 if it is not known
	// Still says whether the call may be made, once its body has come, which can
	// take a while; nil for one that was asked just now.
	Still func() error
}

// tokenTimeout bounds how long a call waits for a token that is on its way.
const tokenTimeout = 15 * time.Second

// maxKept bounds a body that is kept to be sent again, in bytes.
const maxKept = 256 << 10

// Do makes a call for an app that may make it, and returns WeChat's answer,
// refusals included. Its errors are gRPC statuses.
//
// A token that WeChat refuses is reported to the keeper, which asks WeChat about
// it and replaces it if need be; then the call is made once more, if its body can
// be sent again.
func (r *Relay) Do(ctx context.Context, app *access.App, c Call) (*wechat.Answer, error) {
	if err := r.stops.check(c.AppID, counted(c.Path)); err != nil { // before a body is waited for
		return nil, err
	}
	body, err := keep(c)
	if err != nil {
		return nil, Refuse(codes.InvalidArgument, "%s", err.Error())
	}
	if c.Still != nil {
		if err := c.Still(); err != nil {
			return nil, err
		}
	}
	for first := true; ; first = false {
		token, err := r.token(ctx, c.AppID)
		if err != nil {
			return nil, err
		}
		if first { // a call that cannot be made is not counted
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
		if renewed := r.renewed(ctx, c.AppID, token); !renewed || !body.whole {
			return answer, nil
		}
		_ = answer.Body.Close() // nobody reads it
	}
}

// admit counts a call, unless its account is not kept, the app has made its
// calls of today, or the API is stopped.
func (r *Relay) admit(app *access.App, appid, api string) error {
	if r.Keeper(appid) == nil {
		return notKept(appid)
	}
	key := counted(api)
	if err := r.stops.take(appid, key); err != nil {
		return err
	}
	if err := r.day.spend(app, appid, key); err != nil {
		r.stops.release(appid, key)
		return err
	}
	return nil
}

// counted returns what an API is counted and stopped as, however it is written.
func counted(api string) string { return strings.ToLower(api) }

// pass makes a call and takes note of what WeChat says of the API.
func (r *Relay) pass(ctx context.Context, c Call, request wechat.Request) (*wechat.Answer, error) {
	request.AppID, request.API = c.AppID, c.Kind
	request.Method, request.Path, request.Query = c.Method, c.Path, c.Query
	request.ContentType, request.Range = c.ContentType, c.Range
	key, began := counted(c.Path), r.Clock()
	answer, err := r.WeChat.Pass(ctx, request)
	if known, ok := errors.AsType[*wechat.Error](err); ok && known.Class == wxapi.Rate {
		r.stops.answered(c.AppID, key, began, known)
	} else if err != nil {
		r.stops.release(c.AppID, key)
	}
	if err != nil {
		return nil, r.failed(ctx, err)
	}
	r.stops.answered(c.AppID, key, began, answer.Refusal)
	return answer, nil
}

// failed returns the status for a call that WeChat did not answer.
func (r *Relay) failed(ctx context.Context, err error) error {
	known, ok := errors.AsType[*wechat.Error](err)
	switch {
	case ok:
		return r.refused(known)
	case ctx.Err() != nil:
		return contextEnded(ctx)
	case errors.Is(err, wechat.ErrBody), errors.Is(err, wechat.ErrRequest):
		return Refuse(codes.InvalidArgument, "%s", err.Error())
	default:
		return Refuse(codes.Unavailable, "%s", err.Error())
	}
}

// token returns a token that WeChat honours, as far as is known. Where there is
// none, one may be on its way.
func (r *Relay) token(ctx context.Context, appid string) (credential.Credential, error) {
	token, ok := r.live(appid)
	if ok {
		return token, nil
	}
	k := r.Keeper(appid)
	if k == nil {
		return credential.Credential{}, notKept(appid)
	}
	bound, cancel := context.WithTimeout(ctx, tokenTimeout)
	defer cancel()
	err := k.Settle(bound)
	switch {
	case ctx.Err() != nil:
		return credential.Credential{}, contextEnded(ctx)
	case errors.Is(err, keeper.ErrStopped):
		return credential.Credential{}, broken("the broker stops")
	}
	if token, ok = r.live(appid); !ok {
		return credential.Credential{}, broken("there is no access_token of %s that WeChat takes: see `wxbroker status`", appid)
	}
	return token, nil
}

func (r *Relay) live(appid string) (credential.Credential, bool) {
	account, _ := r.Account(appid)
	token, ok := account.Credential(credential.AccessToken)
	return token, ok && !token.Expiry.Passed(r.Clock.Now())
}

// renewed tells the keeper that WeChat refused a token, and reports whether
// there is a newer one.
func (r *Relay) renewed(ctx context.Context, appid string, refused credential.Credential) bool {
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
	now, ok := r.live(appid)
	return ok && now.Version > refused.Version
}

// kept is a body, or as much of it as is kept.
type kept struct {
	start  []byte
	rest   io.Reader // what comes after start
	whole  bool      // start is all of it
	length int64     // -1 if it is not known
	none   bool
}

// keep reads a body as far as it is to be kept.
func keep(c Call) (*kept, error) {
	if c.Body == nil {
		return &kept{none: true, whole: true}, nil
	}
	start, err := io.ReadAll(io.LimitReader(c.Body, maxKept+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("%w: %w", wechat.ErrBody, err)
	case c.Length >= 0 && c.Length < int64(len(start)), len(start) <= maxKept && c.Length >= 0 && c.Length != int64(len(start)):
		return nil, wechat.ErrBody
	case len(start) > maxKept:
		return &kept{start: start, rest: c.Body, length: c.Length}, nil
	}
	return &kept{start: start, whole: true, length: int64(len(start))}, nil
}

// request returns a request with the body: once, or as often as it is wanted if
// it is whole.
func (k *kept) request(token credential.Secret) wechat.Request {
	own := []wechat.Parameter{{Name: "access_token", Value: token}}
	again := func() io.Reader { return bytes.NewReader(k.start) }
	switch {
	case k.none:
		return wechat.Request{Secrets: own}
	case k.whole:
		return wechat.Request{Secrets: own, Body: again(), Length: k.length, Again: again}
	default:
		return wechat.Request{Secrets: own, Body: io.MultiReader(again(), k.rest), Length: k.length}
	}
}

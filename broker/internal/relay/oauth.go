package relay

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/url"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/wxbroker/wxbroker/broker/internal/access"
	"github.com/wxbroker/wxbroker/broker/internal/wechat"
	"github.com/wxbroker/wxbroker/pkg/credential"
	"github.com/wxbroker/wxbroker/pkg/wxapi"
)

const (
	// codeTimeout bounds the call that exchanges a code. A code is good for one call,
	// so the call goes on when the first caller has left.
	codeTimeout = 15 * time.Second
	// maxAnswer bounds an answer that is read to its end, in bytes.
	maxAnswer = 64 << 10
)

// WholeAnswer is a short answer, read to its end.
type WholeAnswer struct {
	*wechat.Answer
	Raw []byte
}

// OAuth makes one of the calls under /sns/, for an app that may make it. It opens the
// sealed token in the query, and seals the OAuth tokens in the answer. proven is
// whether the caller has proved to the edge that it may call. A caller that has not
// must present a token that was sealed for this app. A sealed token also names its
// account.
func (r *Relay) OAuth(ctx context.Context, app *access.App, appid, api, query string, proven bool) (*WholeAnswer, error) {
	given, err := url.ParseQuery(query)
	if err != nil {
		return nil, Refuse(codes.InvalidArgument, "the query cannot be read")
	}
	kind, unknown := userToken, wxapi.InvalidCredential
	if api == wxapi.PathRenewal {
		kind, unknown = renewal, wxapi.InvalidRenewal
	}
	token := credential.NewSecret(given.Get(string(kind)))
	if api == wxapi.PathCode { // it takes a code, and a token gives no right to it
		token = credential.Secret{}
	}
	owner, opened, ok := r.open(ctx, kind, token.Reveal(), app)
	switch {
	case ok && (appid == "" || appid == owner):
		appid, token = owner, opened
	case ok, !proven, isSealed(token.Reveal()):
		return nil, wxapi.Refusal{Code: unknown, Message: "invalid credential: this app was given no such token here, or it has expired"}.Status(codes.PermissionDenied)
	}
	if !proven { // guessed tokens were refused above, and cost the app nothing
		if err := app.Spend(); err != nil {
			return nil, err
		}
	}
	switch {
	case appid == "":
		return nil, Refuse(codes.InvalidArgument, "the account is missing: say its appid")
	case !app.Serves(appid):
		return nil, NotGranted(app, appid, api)
	}
	call := Call{AppID: appid, Path: api}
	switch api {
	case wxapi.PathCode:
		return r.code(ctx, app, appid, given.Get("code"))
	case wxapi.PathRenewal:
		call.Query = url.Values{"appid": {appid}, "grant_type": {"refresh_token"}}.Encode()
	default:
		if call.Query, err = CleanQuery(query, string(userToken)); err != nil {
			return nil, Refuse(codes.InvalidArgument, "%v", err)
		}
	}
	if err := r.admit(app, appid, api); err != nil {
		return nil, err
	}
	answer, err := r.read(ctx, call, wechat.Parameter{Name: string(kind), Value: token, Returned: true})
	switch {
	case err != nil:
		return nil, err
	case api == wxapi.PathRenewal:
		return r.sealAnswer(ctx, answer, app, appid, token)
	}
	return answer.withBody(maskSecrets(answer.Raw, token)), nil // the answer hands out no tokens, so there is nothing to seal
}

// code exchanges the code of a page for OAuth tokens. Callers that ask for the same
// code at the same time share one call.
func (r *Relay) code(ctx context.Context, app *access.App, appid, code string) (*WholeAnswer, error) {
	k := r.Keeper(appid)
	if k == nil {
		return nil, unknownAccount(appid)
	}
	if err := r.admit(app, appid, wxapi.PathCode); err != nil { // also for a caller that joins another's call
		return nil, err
	}
	flight := r.codes.DoChan(appid+"\x00"+code, func() (any, error) {
		bound, cancel := context.WithTimeout(context.WithoutCancel(ctx), codeTimeout)
		defer cancel()
		answer, err := r.read(bound, Call{
			AppID: appid, Path: wxapi.PathCode,
			Query: url.Values{"appid": {appid}, "code": {code}, "grant_type": {"authorization_code"}}.Encode(),
		}, wechat.Parameter{Name: "secret", Value: k.Secret()})
		if bound.Err() != nil && err != nil {
			err = wxapi.SystemError("WeChat did not answer in time, and the code may be used up")
		}
		return answer, err
	})
	select {
	case <-ctx.Done():
		return nil, contextEnded(ctx)
	case done := <-flight:
		if done.Err != nil {
			return nil, done.Err
		}
		return r.sealAnswer(ctx, done.Val.(*WholeAnswer), app, appid, credential.Secret{})
	}
}

// read makes a call about a user and reads its answer.
func (r *Relay) read(ctx context.Context, c Call, secret wechat.Parameter) (*WholeAnswer, error) {
	c.Kind, c.Method = wechat.OAuthAPI, http.MethodGet
	answer, err := r.pass(ctx, c, wechat.Request{Secrets: []wechat.Parameter{secret}})
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswer+1))
	switch {
	case err != nil:
		return nil, r.failureStatus(ctx, err)
	case len(raw) > maxAnswer:
		return nil, wxapi.SystemError("WeChat's answer about a user is larger than 64 KiB")
	}
	return &WholeAnswer{answer, raw}, nil
}

// sealAnswer returns an answer as an app gets it. Sealed tokens take the place of the
// OAuth tokens that WeChat hands out. Stars take the place of every other copy of
// them, and of the token that was presented.
func (r *Relay) sealAnswer(ctx context.Context, answer *WholeAnswer, app *access.App, appid string, presented credential.Secret) (*WholeAnswer, error) {
	switch {
	case answer.Refusal != nil:
		return answer.withBody(maskSecrets(answer.Raw, presented)), nil //nolint:nilerr // it is an answer, which is passed on
	case answer.Status != http.StatusOK:
		return nil, wxapi.SystemError("WeChat's answer about a user is HTTP %d", answer.Status)
	}
	undocumented := func() (*WholeAnswer, error) {
		return nil, wxapi.SystemError("WeChat's answer about a user is not what it documents")
	}
	var members map[string]json.RawMessage
	if json.Unmarshal(bytes.TrimSpace(answer.Raw), &members) != nil {
		return undocumented()
	}
	hidden := []credential.Secret{presented}
	made := make(map[string]json.RawMessage)
	for _, kind := range []oauthToken{userToken, renewal} {
		var token string
		raw, has := members[string(kind)]
		switch {
		case !has:
			continue
		case json.Unmarshal(raw, &token) != nil:
			return undocumented()
		case token == "":
			continue
		}
		sealed, err := r.seal(ctx, kind, token, app, appid)
		if err != nil {
			return nil, wxapi.SystemError("%v", err)
		}
		made[string(kind)], _ = json.Marshal(sealed)
		hidden = append(hidden, credential.NewSecret(token))
	}
	for name, raw := range members {
		members[name] = maskSecrets(raw, hidden...)
	}
	maps.Copy(members, made)
	out := new(bytes.Buffer)
	encoder := json.NewEncoder(out)
	encoder.SetEscapeHTML(false) // names and addresses stay as WeChat wrote them
	if err := encoder.Encode(members); err != nil {
		return undocumented()
	}
	return answer.withBody(bytes.TrimSpace(out.Bytes())), nil
}

// withBody returns a copy of the answer with another body. It makes a copy because
// several callers may share WeChat's answer.
func (a *WholeAnswer) withBody(raw []byte) *WholeAnswer {
	answer := *a.Answer
	answer.Length = int64(len(raw))
	return &WholeAnswer{&answer, raw}
}

// maskSecrets puts stars in the place of secrets.
func maskSecrets(text []byte, secrets ...credential.Secret) []byte {
	for _, s := range secrets {
		if !s.IsZero() {
			text = bytes.ReplaceAll(text, []byte(s.Reveal()), bytes.Repeat([]byte("*"), len(s.Reveal())))
		}
	}
	return text
}

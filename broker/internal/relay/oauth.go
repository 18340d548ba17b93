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
	// codeTimeout bounds the one call that a code is good for. It goes on when
	// whoever asked first has left.
	codeTimeout = 15 * time.Second
	// maxAnswer bounds an answer that is read whole, in bytes.
	maxAnswer = 64 << 10
)

// Said is a short answer, read to its end.
type Said struct {
	*wechat.Answer
	Raw []byte
}

// OAuth makes one of the calls under /sns/, for an app that may make it. The OAuth
// tokens in its answer are sealed, and those in the query are opened. proven is
// whether the caller may call at all. Who may not has to present a token that was
// sealed for this app, which also says of which account it is.
func (r *Relay) OAuth(ctx context.Context, app *access.App, appid, api, query string, proven bool) (*Said, error) {
	given, err := url.ParseQuery(query)
	if err != nil {
		return nil, Refuse(codes.InvalidArgument, "the query cannot be read")
	}
	kind, unknown := userToken, wxapi.InvalidCredential
	if api == wxapi.PathRenewal {
		kind, unknown = renewal, wxapi.InvalidRenewal
	}
	token := credential.NewSecret(given.Get(string(kind)))
	if api == wxapi.PathCode { // for which nobody's token is enough
		token = credential.Secret{}
	}
	owner, opened, ok := r.open(ctx, kind, token.Reveal(), app)
	switch {
	case ok && (appid == "" || appid == owner):
		appid, token = owner, opened
	case ok, !proven, isSealed(token.Reveal()):
		return nil, wxapi.Refusal{Code: unknown, Message: "invalid credential: this app was given no such token here, or it has expired"}.Status(codes.PermissionDenied)
	}
	if !proven { // guesses come no further than this, and cost the app nothing
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
	said, err := r.read(ctx, call, wechat.Parameter{Name: string(kind), Value: token, Returned: true})
	switch {
	case err != nil:
		return nil, err
	case api == wxapi.PathRenewal:
		return r.sealed(ctx, said, app, appid, token)
	}
	return said.with(hide(said.Raw, token)), nil // it hands out none, and is passed on as it is
}

// code turns the code of a page into OAuth tokens. Whoever asks for the same code
// at the same time shares the one call.
func (r *Relay) code(ctx context.Context, app *access.App, appid, code string) (*Said, error) {
	k := r.Keeper(appid)
	if k == nil {
		return nil, notKept(appid)
	}
	if err := r.admit(app, appid, wxapi.PathCode); err != nil { // before it joins another app's call
		return nil, err
	}
	flight := r.codes.DoChan(appid+"\x00"+code, func() (any, error) {
		bound, cancel := context.WithTimeout(context.WithoutCancel(ctx), codeTimeout)
		defer cancel()
		said, err := r.read(bound, Call{
			AppID: appid, Path: wxapi.PathCode,
			Query: url.Values{"appid": {appid}, "code": {code}, "grant_type": {"authorization_code"}}.Encode(),
		}, wechat.Parameter{Name: "secret", Value: k.Secret()})
		if bound.Err() != nil && err != nil {
			err = broken("WeChat did not answer in time, and the code may be used up")
		}
		return said, err
	})
	select {
	case <-ctx.Done():
		return nil, contextEnded(ctx)
	case done := <-flight:
		if done.Err != nil {
			return nil, done.Err
		}
		return r.sealed(ctx, done.Val.(*Said), app, appid, credential.Secret{})
	}
}

// read makes a call that is about a user and reads its answer.
func (r *Relay) read(ctx context.Context, c Call, own wechat.Parameter) (*Said, error) {
	c.Kind, c.Method = wechat.OAuthAPI, http.MethodGet
	answer, err := r.pass(ctx, c, wechat.Request{Secrets: []wechat.Parameter{own}})
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswer+1))
	switch {
	case err != nil:
		return nil, r.failed(ctx, err)
	case len(raw) > maxAnswer:
		return nil, broken("WeChat's answer about a user is larger than any")
	}
	return &Said{answer, raw}, nil
}

// sealed returns an answer as an app gets it: without OAuth tokens, neither those
// that WeChat hands out nor the one that was presented.
func (r *Relay) sealed(ctx context.Context, said *Said, app *access.App, appid string, presented credential.Secret) (*Said, error) {
	switch {
	case said.Refusal != nil:
		return said.with(hide(said.Raw, presented)), nil //nolint:nilerr // it is an answer, which is passed on
	case said.Status != http.StatusOK:
		return nil, broken("WeChat's answer about a user is HTTP %d", said.Status)
	}
	undocumented := func() (*Said, error) { return nil, broken("WeChat's answer about a user is not what it documents") }
	var members map[string]json.RawMessage
	if json.Unmarshal(bytes.TrimSpace(said.Raw), &members) != nil {
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
			return nil, broken("%v", err)
		}
		made[string(kind)], _ = json.Marshal(sealed)
		hidden = append(hidden, credential.NewSecret(token))
	}
	for name, raw := range members {
		members[name] = hide(raw, hidden...)
	}
	maps.Copy(members, made)
	out := new(bytes.Buffer)
	encoder := json.NewEncoder(out)
	encoder.SetEscapeHTML(false) // names and addresses stay as WeChat wrote them
	if err := encoder.Encode(members); err != nil {
		return undocumented()
	}
	return said.with(bytes.TrimSpace(out.Bytes())), nil
}

// with returns the answer with another body. Several apps may share the one that
// WeChat gave.
func (s *Said) with(raw []byte) *Said {
	answer := *s.Answer
	answer.Length = int64(len(raw))
	return &Said{&answer, raw}
}

// hide puts stars in the place of secrets.
func hide(text []byte, secrets ...credential.Secret) []byte {
	for _, s := range secrets {
		if !s.IsZero() {
			text = bytes.ReplaceAll(text, []byte(s.Reveal()), bytes.Repeat([]byte("*"), len(s.Reveal())))
		}
	}
	return text
}

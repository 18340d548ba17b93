package relay

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
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

// Page is what WeChat says of a page's user.
type Page struct {
	OpenID       string `json:"openid"`
	UnionID      string `json:"unionid"`
	Scope        string `json:"scope"`
	Snapshot     flag   `json:"is_snapshotuser"`
	AccessToken  string `json:"access_token"`
	RefreshToken string `json:"refresh_token"`
}

// flag is 1 where WeChat documents it, and may be written otherwise: a code that
// is used up is not to be lost over that.
type flag bool

// UnmarshalJSON implements [json.Unmarshaler].
func (f *flag) UnmarshalJSON(raw []byte) error {
	switch strings.Trim(string(raw), `"`) {
	case "1", "true":
		*f = true
	}
	return nil
}

// Code turns the code of a page into OAuth tokens, with WeChat's answer as it
// is. Whoever asks for the same code at the same time shares the one call.
func (r *Relay) Code(ctx context.Context, app *access.App, appid, code string) (*Said, Page, error) {
	secret, err := r.secret(appid)
	if err != nil {
		return nil, Page{}, err
	}
	if err := r.admit(app, appid, wxapi.PathCode); err != nil { // before it joins another app's call
		return nil, Page{}, err
	}
	flight := r.codes.DoChan(appid+"\x00"+code, func() (any, error) {
		bound, cancel := context.WithTimeout(context.WithoutCancel(ctx), codeTimeout)
		defer cancel()
		said, err := r.read(bound, Call{
			AppID: appid, Path: wxapi.PathCode,
			Query: url.Values{"appid": {appid}, "code": {code}, "grant_type": {"authorization_code"}}.Encode(),
		}, secret)
		if bound.Err() != nil && err != nil {
			err = broken("WeChat did not answer in time, and the code may be used up")
		}
		return said, err
	})
	select {
	case <-ctx.Done():
		return nil, Page{}, contextEnded(ctx)
	case done := <-flight:
		if done.Err != nil {
			return nil, Page{}, done.Err
		}
		said := done.Val.(*Said)
		page, err := r.page(said, app, appid)
		return said, page, err
	}
}

// OpenID turns the code of a page into who its user is.
func (r *Relay) OpenID(ctx context.Context, app *access.App, appid, code string) (Page, error) {
	said, page, err := r.Code(ctx, app, appid, code)
	if err == nil && said.Refusal != nil {
		err = r.refused(said.Refusal)
	}
	return page, err
}

// page reads an answer with OAuth tokens, and remembers whose they are.
func (r *Relay) page(said *Said, app *access.App, appid string) (Page, error) {
	var page Page
	if said.Refusal != nil {
		return page, nil //nolint:nilerr // it is an answer, which is passed on as it is
	}
	if err := json.Unmarshal(bytes.TrimSpace(said.Raw), &page); err != nil || page.OpenID == "" {
		return Page{}, broken("WeChat's answer about a page's user is not what it documents")
	}
	r.users.remember(app.Name, appid, page.AccessToken, page.RefreshToken)
	return page, nil
}

// secret returns an account's AppSecret.
func (r *Relay) secret(appid string) (credential.Secret, error) {
	k := r.Keeper(appid)
	if k == nil {
		return credential.Secret{}, notKept(appid)
	}
	return k.Secret(), nil
}

// ask makes a call that is about a user, for an app.
func (r *Relay) ask(ctx context.Context, app *access.App, c Call) (*Said, error) {
	if err := r.admit(app, c.AppID, c.Path); err != nil {
		return nil, err
	}
	return r.read(ctx, c, credential.Secret{})
}

// read makes a call that is about a user and reads its answer.
func (r *Relay) read(ctx context.Context, c Call, secret credential.Secret) (*Said, error) {
	c.Kind, c.Method = wechat.OAuthAPI, http.MethodGet
	answer, err := r.pass(ctx, c, wechat.Request{Secret: secret})
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

// UserInfo is what WeChat shows of a user.
type UserInfo struct {
	Nickname   string   `json:"nickname"`
	Sex        int32    `json:"sex"`
	Province   string   `json:"province"`
	City       string   `json:"city"`
	Country    string   `json:"country"`
	HeadImgURL string   `json:"headimgurl"`
	Privilege  []string `json:"privilege"`
	UnionID    string   `json:"unionid"`
}

// errUserInfo says that the answer is none that WeChat documents.
var errUserInfo = errors.New("WeChat's answer about a user is not what it documents")

// UserInfo reads what WeChat shows of the user of a page.
func (r *Relay) UserInfo(ctx context.Context, app *access.App, appid string, page Page, lang string) (UserInfo, error) {
	said, err := r.ask(ctx, app, Call{
		AppID: appid, Path: wxapi.PathUserInfo,
		Query: url.Values{"access_token": {page.AccessToken}, "openid": {page.OpenID}, "lang": {lang}}.Encode(),
	})
	if err != nil {
		return UserInfo{}, err
	}
	if said.Refusal != nil {
		return UserInfo{}, r.refused(said.Refusal)
	}
	var info UserInfo
	if json.Unmarshal(bytes.TrimSpace(said.Raw), &info) != nil {
		return UserInfo{}, Refuse(codes.Unavailable, "%s", errUserInfo.Error())
	}
	return info, nil
}

// HasUserInfo reports whether the user agreed to more than being recognised.
func (p Page) HasUserInfo() bool {
	for scope := range strings.SplitSeq(p.Scope, ",") {
		if strings.TrimSpace(scope) == "snsapi_userinfo" {
			return true
		}
	}
	return false
}

// OAuth makes one of the calls under /sns/ as WeChat has them, for an app that
// may make it. proven is whether the caller may call at all; otherwise it has to
// present an OAuth token that this app was given, which also says of which
// account it is.
func (r *Relay) OAuth(ctx context.Context, app *access.App, appid, api, query string, proven bool) (*Said, error) {
	given, err := url.ParseQuery(query)
	if err != nil {
		return nil, Refuse(codes.InvalidArgument, "the query cannot be read")
	}
	presented, unknown := given.Get("access_token"), wxapi.InvalidCredential
	if api == wxapi.PathRenewal {
		presented, unknown = given.Get("refresh_token"), wxapi.InvalidRenewal
	}
	if !proven {
		owner, ok := r.users.owner(app.Name, presented)
		if !ok || appid != "" && appid != owner {
			return nil, wxapi.Refusal{Code: unknown, Message: "invalid credential: this app was given no such token here, or the broker has forgotten it"}.Status(codes.PermissionDenied)
		}
		appid = owner
		if err := app.Spend(); err != nil { // guesses come no further than this, and cost the app nothing
			return nil, err
		}
	}
	if appid == "" {
		return nil, Refuse(codes.InvalidArgument, "the account is missing: say its appid")
	}
	if !app.Serves(appid) {
		return nil, NotGranted(app, appid, api)
	}
	switch api {
	case wxapi.PathCode:
		said, _, err := r.Code(ctx, app, appid, given.Get("code"))
		return said, err
	case wxapi.PathRenewal:
		said, err := r.ask(ctx, app, Call{
			AppID: appid, Path: api,
			Query: url.Values{"appid": {appid}, "grant_type": {"refresh_token"}, "refresh_token": {presented}}.Encode(),
		})
		if err != nil {
			return nil, err
		}
		_, err = r.page(said, app, appid)
		return said, err
	default:
		return r.ask(ctx, app, Call{AppID: appid, Path: api, Query: query})
	}
}

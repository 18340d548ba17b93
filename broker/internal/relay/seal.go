package relay

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"strings"
	"time"

	"github.com/wxbroker/wxbroker/broker/internal/access"
	"github.com/wxbroker/wxbroker/pkg/credential"
)

// An app never has a user's OAuth token, but one that is sealed: only a broker
// with this database opens it, for the same app, and for as long as WeChat honours
// what is in it. So nothing has to be remembered of the tokens that were handed
// out.
//
//	wxo_ base64url( length, appid, AES-256-GCM( expiry, token ) )
//
// where length is the appid's, in one byte.
//
// The account, the app and the token's kind are authenticated besides. WeChat's
// tokens have about 150 characters; sealed ones have less than 255, which is what
// programs make room for.

// oauthToken is the name of one of a user's OAuth tokens in WeChat's answers and
// queries.
type oauthToken string

const (
	userToken oauthToken = "access_token"
	renewal   oauthToken = "refresh_token"
)

// life is how long WeChat honours a token at most.
// https://developers.weixin.qq.com/doc/offiaccount/OA_Web_Apps/Wechat_webpage_authorization.html
func (t oauthToken) life() time.Duration {
	if t == renewal {
		return 30 * 24 * time.Hour
	}
	return 2 * time.Hour
}

const (
	sealPrefix = "wxo_"
	// maxSealed bounds what is opened, in bytes.
	maxSealed = 1 << 10
)

// sealing is strict: else a sealed token could be written in several ways.
var sealing = base64.RawURLEncoding.Strict()

// bound returns what is authenticated besides a token.
func (t oauthToken) bound(app *access.App, appid string) []byte {
	return []byte(string(t) + "\x00" + app.Name + "\x00" + appid)
}

// seal returns what an app gets in the place of an account's token.
func (r *Relay) seal(ctx context.Context, t oauthToken, token string, app *access.App, appid string) (string, error) {
	aead, err := r.Keys.users(ctx, appid)
	if err != nil {
		return "", err
	}
	plain := binary.BigEndian.AppendUint64(nil, uint64(r.Clock().Add(t.life()).Unix()))
	sealed := append([]byte{byte(len(appid))}, appid...)
	sealed = aead.Seal(sealed, nil, append(plain, pack(token)...), t.bound(app, appid)) //nolint:gosec // it makes a random nonce itself
	return sealPrefix + sealing.EncodeToString(sealed), nil
}

// isSealed reports whether a token looks like one of seal's, good or not.
func isSealed(token string) bool { return strings.HasPrefix(token, sealPrefix) }

// open returns the token in a sealed one that this app was given, and whose it
// is; false where it is none, or not good any more.
func (r *Relay) open(ctx context.Context, t oauthToken, sealed string, app *access.App) (appid string, token credential.Secret, ok bool) {
	encoded, has := strings.CutPrefix(sealed, sealPrefix)
	if !has || len(sealed) > maxSealed || strings.ContainsAny(encoded, "\r\n") { // which the decoder skips
		return "", credential.Secret{}, false
	}
	raw, err := sealing.DecodeString(encoded)
	if err != nil || len(raw) == 0 || len(raw) <= int(raw[0]) {
		return "", credential.Secret{}, false
	}
	length := int(raw[0])
	appid = string(raw[1 : 1+length])
	if !app.Serves(appid) || r.Keeper(appid) == nil { // there is no key for what a stranger makes up
		return "", credential.Secret{}, false
	}
	aead, err := r.Keys.users(ctx, appid)
	if err != nil {
		return "", credential.Secret{}, false
	}
	plain, err := aead.Open(nil, nil, raw[1+length:], t.bound(app, appid))
	if err != nil || len(plain) < 8 || r.Clock().Unix() >= int64(binary.BigEndian.Uint64(plain)) {
		return "", credential.Secret{}, false
	}
	return appid, credential.NewSecret(unpack(plain[8:])), true
}

// asItIs marks a token that is not packed.
const asItIs = 0xff

// pack returns a token in fewer bytes, where it is made of base64url's characters
// as WeChat's are: six bits for each. The first byte says how many characters were
// added to fill the last byte.
func pack(token string) []byte {
	added := (4 - len(token)%4) % 4
	packed, err := sealing.DecodeString(token + strings.Repeat("A", added))
	if err != nil || strings.ContainsAny(token, "\r\n") {
		return append([]byte{asItIs}, token...)
	}
	return append([]byte{byte(added)}, packed...)
}

func unpack(packed []byte) string {
	switch {
	case len(packed) == 0:
		return ""
	case packed[0] == asItIs:
		return string(packed[1:])
	}
	token := sealing.EncodeToString(packed[1:])
	return token[:max(0, len(token)-int(packed[0]))]
}

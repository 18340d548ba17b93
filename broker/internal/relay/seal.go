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

// An app never gets a user's OAuth token itself. It gets a sealed token. Only a
// broker with this database can open it, only for the same app, and only for as long
// as WeChat honours the token in it. So the broker need not remember the tokens that
// it has handed out.
//
//	wxo_ base64url( length, appid, AES-256-GCM( expiry, token ) )
//
// where length is the appid's length, in one byte.
//
// The account, the app and the token's kind are authenticated as well. WeChat's
// tokens have about 150 characters. Sealed ones have less than 255, because programs
// make room for 255.

// oauthToken is the name of one of a user's OAuth tokens in WeChat's answers and
// queries.
type oauthToken string

const (
	userToken oauthToken = "access_token"
	renewal   oauthToken = "refresh_token"
)

// lifetime returns how long WeChat honours a token at most.
// https://developers.weixin.qq.com/doc/offiaccount/OA_Web_Apps/Wechat_webpage_authorization.html
func (t oauthToken) lifetime() time.Duration {
	if t == renewal {
		return 30 * 24 * time.Hour
	}
	return 2 * time.Hour
}

const (
	sealPrefix = "wxo_"
	// maxSealed bounds the sealed tokens that are opened, in bytes.
	maxSealed = 1 << 10
)

// sealEncoding is strict. Otherwise one sealed token could be written in several ways.
var sealEncoding = base64.RawURLEncoding.Strict()

// additionalData returns the bytes that are authenticated together with a token.
func (t oauthToken) additionalData(app *access.App, appid string) []byte {
	return []byte(string(t) + "\x00" + app.Name + "\x00" + appid)
}

// seal returns the sealed token that an app gets in the place of token.
func (r *Relay) seal(ctx context.Context, t oauthToken, token string, app *access.App, appid string) (string, error) {
	aead, err := r.Keys.userTokenCipher(ctx, appid)
	if err != nil {
		return "", err
	}
	plain := binary.BigEndian.AppendUint64(nil, uint64(r.Clock().Add(t.lifetime()).Unix()))
	sealed := append([]byte{byte(len(appid))}, appid...)
	sealed = aead.Seal(sealed, nil, append(plain, pack(token)...), t.additionalData(app, appid)) //nolint:gosec // it makes a random nonce itself
	return sealPrefix + sealEncoding.EncodeToString(sealed), nil
}

// isSealed reports whether a token has the form of a sealed one. It need not be good.
func isSealed(token string) bool { return strings.HasPrefix(token, sealPrefix) }

// open opens a sealed token that this app was given. It returns the token in it and
// the account that the token belongs to. ok is false where sealed is not a sealed
// token, or is no longer good.
func (r *Relay) open(ctx context.Context, t oauthToken, sealed string, app *access.App) (appid string, token credential.Secret, ok bool) {
	encoded, has := strings.CutPrefix(sealed, sealPrefix)
	if !has || len(sealed) > maxSealed || strings.ContainsAny(encoded, "\r\n") { // the decoder would skip line ends
		return "", credential.Secret{}, false
	}
	raw, err := sealEncoding.DecodeString(encoded)
	if err != nil || len(raw) == 0 || len(raw) <= int(raw[0]) {
		return "", credential.Secret{}, false
	}
	length := int(raw[0])
	appid = string(raw[1 : 1+length])
	if !app.Serves(appid) || r.Keeper(appid) == nil { // or a key would be made for every appid that a stranger invents
		return "", credential.Secret{}, false
	}
	aead, err := r.Keys.userTokenCipher(ctx, appid)
	if err != nil {
		return "", credential.Secret{}, false
	}
	plain, err := aead.Open(nil, nil, raw[1+length:], t.additionalData(app, appid))
	if err != nil || len(plain) < 8 || r.Clock().Unix() >= int64(binary.BigEndian.Uint64(plain)) {
		return "", credential.Secret{}, false
	}
	return appid, credential.NewSecret(unpack(plain[8:])), true
}

// notPacked marks a token that is not packed.
const notPacked = 0xff

// pack returns a token in fewer bytes. WeChat's tokens are made of base64url's
// characters, which take six bits each. Any other token is not packed. The first byte
// says how many characters were added to fill the last byte.
func pack(token string) []byte {
	added := (4 - len(token)%4) % 4
	packed, err := sealEncoding.DecodeString(token + strings.Repeat("A", added))
	if err != nil || strings.ContainsAny(token, "\r\n") {
		return append([]byte{notPacked}, token...)
	}
	return append([]byte{byte(added)}, packed...)
}

func unpack(packed []byte) string {
	switch {
	case len(packed) == 0:
		return ""
	case packed[0] == notPacked:
		return string(packed[1:])
	}
	token := sealEncoding.EncodeToString(packed[1:])
	return token[:max(0, len(token)-int(packed[0]))]
}

package relay

import (
	"bytes"
	"fmt"
	"io"

	"github.com/wxbroker/wxbroker/broker/internal/wechat"
	"github.com/wxbroker/wxbroker/pkg/credential"
)

// maxResend bounds a body that is held in memory to be sent again, in bytes.
const maxResend = 256 << 10

// resendableBody is a call's body. Its start is in memory, so that a short body can
// be sent again.
type resendableBody struct {
	start  []byte
	rest   io.Reader // the bytes after start
	whole  bool      // start is the whole body
	length int64     // of the body, -1 if it is not known
	absent bool      // the call has no body
}

// readBody reads the start of a call's body, or all of it if it is short.
func readBody(c Call) (*resendableBody, error) {
	if c.Body == nil {
		return &resendableBody{absent: true, whole: true}, nil
	}
	start, err := io.ReadAll(io.LimitReader(c.Body, maxResend+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("%w: %w", wechat.ErrBody, err)
	case c.Length >= 0 && c.Length < int64(len(start)), len(start) <= maxResend && c.Length >= 0 && c.Length != int64(len(start)):
		return nil, wechat.ErrBody
	case len(start) > maxResend:
		return &resendableBody{start: start, rest: c.Body, length: c.Length}, nil
	}
	return &resendableBody{start: start, whole: true, length: int64(len(start))}, nil
}

// request returns a request with the body. It may be called again only if the body is
// whole.
func (b *resendableBody) request(token credential.Secret) wechat.Request {
	secrets := []wechat.Parameter{{Name: "access_token", Value: token}}
	again := func() io.Reader { return bytes.NewReader(b.start) }
	switch {
	case b.absent:
		return wechat.Request{Secrets: secrets}
	case b.whole:
		return wechat.Request{Secrets: secrets, Body: again(), Length: b.length, Again: again}
	default:
		return wechat.Request{Secrets: secrets, Body: io.MultiReader(again(), b.rest), Length: b.length}
	}
}

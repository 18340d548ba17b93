package uplink

import (
	"bytes"
	"context"
	"fmt"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/wxbroker/wxbroker/pkg/follow"
)

// maxToken bounds a token, in bytes. Kubernetes' have about a thousand.
const maxToken = 16 << 10

// tokenFile sends the content of a file as a bearer token. The file is read for each
// call, so that a token which kubelet has replaced is used at once.
type tokenFile struct {
	path   string
	secure bool // whether the connection is TLS
}

// GetRequestMetadata returns the header with the token. After its error a caller tries
// again: the file may be back by then.
func (t tokenFile) GetRequestMetadata(ctx context.Context, _ ...string) (map[string]string, error) {
	token, _, err := t.read(ctx)
	if err != nil {
		return nil, status.Errorf(codes.Unavailable, "cannot say who this is: %v", err)
	}
	return map[string]string{"authorization": "Bearer " + token}, nil
}

// RequireTransportSecurity reports whether gRPC must refuse to send the token in plain
// text. On a connection in plain text the token may be sent: the credentials that come
// back are worth as much as the token.
func (t tokenFile) RequireTransportSecurity() bool { return t.secure }

// read returns the token. No error quotes what is in the file.
func (t tokenFile) read(ctx context.Context) (token string, exposed bool, err error) {
	file, err := follow.Read(ctx, t.path, maxToken)
	if err != nil {
		return "", false, fmt.Errorf("reading the token: %w", err)
	}
	word := bytes.TrimSpace(file.Bytes)
	if len(word) == 0 || bytes.ContainsFunc(word, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return "", false, fmt.Errorf("reading the token: %s does not hold one token and nothing else, a single word of ASCII", t.path)
	}
	return string(word), file.Exposed, nil
}

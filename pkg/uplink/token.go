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

// tokenFile sends what a file holds as a bearer token. It is read for each
// call, so that a token which kubelet replaced is used at once.
type tokenFile struct {
	path   string
	secure bool // whether the connection is TLS
}

// GetRequestMetadata returns the header with the token. Its error is one that a
// caller tries again after: the file may be back by then.
func (t tokenFile) GetRequestMetadata(ctx context.Context, _ ...string) (map[string]string, error) {
	token, _, err := t.read(ctx)
	if err != nil {
		return nil, status.Errorf(codes.Unavailable, "cannot say who this is: %v", err)
	}
	return map[string]string{"authorization": "Bearer " + token}, nil
}

// RequireTransportSecurity reports whether gRPC must refuse to send the token
// in plain text. It may where the connection is plain text anyhow: what comes
// back is worth as much.
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

package broker

import (
	"context"
	"strconv"

	"google.golang.org/grpc/metadata"
)

// localKeyHeader is the header that names the local key to the broker, for its audit.
const localKeyHeader = "wxbroker-local-key"

// withLocalKey returns a ctx whose calls name a local key to the broker: the key whose
// holder wants the call. key is the key's name. If it is "", the calls name none.
func withLocalKey(ctx context.Context, key string) context.Context {
	if key == "" {
		return ctx
	}
	return metadata.AppendToOutgoingContext(ctx, localKeyHeader, headerValue(key))
}

// headerValue returns a local key's name in ASCII, as a header needs it. The 64 bytes of
// a name become three times as many at most. The broker takes 512.
func headerValue(name string) string {
	quoted := strconv.QuoteToASCII(name)
	return quoted[1 : len(quoted)-1]
}

package broker

import (
	"context"
	"strconv"

	"google.golang.org/grpc/metadata"
)

// localKeyHeader names the local key to the broker, for its audit.
const localKeyHeader = "wxbroker-local-key"

// onBehalf returns a ctx whose calls tell the broker which local key they are
// made for, by name. Without one they say nothing.
func onBehalf(ctx context.Context, key string) context.Context {
	if key == "" {
		return ctx
	}
	return metadata.AppendToOutgoingContext(ctx, localKeyHeader, header(key))
}

// header returns a local key's name as a header can have it, in ASCII. The 64
// bytes of a name become three times as many at most; the broker takes 512.
func header(name string) string {
	quoted := strconv.QuoteToASCII(name)
	return quoted[1 : len(quoted)-1]
}

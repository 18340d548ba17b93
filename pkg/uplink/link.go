package uplink

import (
	"context"
	"log/slog"
	"slices"

	"google.golang.org/grpc"

	"github.com/wxbroker/wxbroker/pkg/tlsfile"
)

// Link is a way to the broker. It is made by [Flags.Open]; any number of
// connections may use it.
type Link struct {
	dial     []grpc.DialOption
	warnings []string
	tls      *tlsfile.Source // nil for plain text
}

// Dial returns the options that a connection needs: its transport credentials, and the
// token that goes with each call.
func (l *Link) Dial() []grpc.DialOption { return slices.Clone(l.dial) }

// Warnings returns what an operator should mend though it works for now.
func (l *Link) Warnings() []string { return slices.Clone(l.warnings) }

// TLS returns the TLS material, nil for plain text.
func (l *Link) TLS() *tlsfile.Source { return l.tls }

// Run follows the TLS files until ctx ends. A program that connects only once does not
// need Run. The token file needs no following: it is read for each call.
func (l *Link) Run(ctx context.Context, log *slog.Logger) {
	if l.tls != nil {
		l.tls.Run(ctx, log)
		return
	}
	<-ctx.Done()
}

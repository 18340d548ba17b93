package brokertest

import (
	"context"
	"log/slog"
	"sync"

	"github.com/wxbroker/wxbroker/pkg/credential"
)

// SecretFile is the file of an AppSecret. Make it with NewSecretFile.
type SecretFile struct {
	mu      sync.Mutex
	secret  string
	changed chan struct{} // closed by the next Write
}

// NewSecretFile returns a file that holds an AppSecret.
func NewSecretFile(secret string) *SecretFile {
	return &SecretFile{secret: secret, changed: make(chan struct{})}
}

// Read returns what the file holds.
func (f *SecretFile) Read() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.secret
}

// Write changes what the file holds.
func (f *SecretFile) Write(secret string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.secret = secret
	close(f.changed)
	f.changed = make(chan struct{})
}

// follow has the broker told of each change.
func (f *SecretFile) follow(ctx context.Context, _ *slog.Logger, use func(credential.Secret)) {
	for {
		f.mu.Lock()
		secret, changed := f.secret, f.changed
		f.mu.Unlock()
		use(credential.NewSecret(secret))
		select {
		case <-ctx.Done():
			return
		case <-changed:
		}
	}
}

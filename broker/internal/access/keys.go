package access

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// ErrNoKeys says that a cluster's keys could not be read, or not recently
// enough to say that a token's key is none of them.
var ErrNoKeys = errors.New("the cluster's keys are not known")

const (
	// freshKeys is how old the keys may be. A cluster withdraws a key when it
	// leaked, and announces one long before it signs with it.
	freshKeys = 5 * time.Minute
	// staleKeys is how long the keys serve while they cannot be read again.
	staleKeys = 24 * time.Hour
	// betweenReads is the shortest time between two readings, however many
	// tokens come with keys that nobody knows.
	betweenReads = 10 * time.Second
	// readTimeout bounds one reading.
	readTimeout = 5 * time.Second
)

// KeySource reads the public keys that an issuer signs with.
type KeySource func(ctx context.Context, issuer string) ([]jose.JSONWebKey, error)

// keys are an issuer's keys, read when they are needed.
type keys struct {
	issuer string
	source KeySource

	mu      sync.Mutex // held while reading: whoever needs the keys waits for them
	current []jose.JSONWebKey
	read    time.Time // when current was, zero for never
	tried   time.Time
	failure error // of the last try
}

func newKeys(issuer string, source KeySource) *keys { return &keys{issuer: issuer, source: source} }

// find returns the keys that may have signed a token with that key ID: the one
// of that name or, of a token that names none, all.
func (k *keys) find(ctx context.Context, id string, now time.Time) ([]jose.JSONWebKey, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if now.Sub(k.read).Abs() > freshKeys {
		_ = k.readAgain(ctx, now) // what is known may still do
	}
	found := k.named(id)
	if len(found) == 0 {
		if err := k.readAgain(ctx, now); err != nil {
			return nil, err
		}
		found = k.named(id)
	}
	switch {
	case now.Sub(k.read).Abs() > staleKeys:
		return nil, fmt.Errorf("%w: %w", ErrNoKeys, k.failure)
	case len(found) == 0:
		return nil, errors.New("the cluster has no key of the name that it gives")
	}
	return found, nil
}

func (k *keys) named(id string) []jose.JSONWebKey {
	var found []jose.JSONWebKey
	for _, key := range k.current {
		// A key from a PEM file has no name.
		if id == "" || key.KeyID == "" || key.KeyID == id {
			found = append(found, key)
		}
	}
	return found
}

// inherit takes over what other knows, until the keys are read.
func (k *keys) inherit(other *keys) {
	other.mu.Lock()
	current, read := other.current, other.read
	other.mu.Unlock()
	k.mu.Lock()
	defer k.mu.Unlock()
	k.current, k.read = current, read
}

// readAgain reads the keys unless that was tried a moment ago. The error says
// that nothing can be said of a key that is not among the current ones.
func (k *keys) readAgain(ctx context.Context, now time.Time) error {
	if now.Sub(k.tried).Abs() >= betweenReads {
		k.tried = now
		// For everybody who waits, so not to end with the one who came first.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), readTimeout)
		defer cancel()
		var read []jose.JSONWebKey
		if read, k.failure = k.source(ctx, k.issuer); k.failure == nil {
			k.current, k.read = read, now
		}
	}
	if k.failure != nil {
		return fmt.Errorf("%w: %w", ErrNoKeys, k.failure)
	}
	return nil
}

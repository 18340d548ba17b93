package access

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// ErrNoKeys says that the cluster's keys could not be read, or were read too long
// ago to say that a token's key is not among them.
var ErrNoKeys = errors.New("the cluster's keys are not known")

var (
	errForeign = errors.New("none of the cluster's keys has signed it")
	errTooSoon = errors.New("they were read a moment ago, and the one that it names was not there yet")
)

const (
	// freshKeys is how old the keys may be before they are read again. A cluster
	// withdraws a key that has leaked. It shows a new key long before it signs with
	// that.
	freshKeys = 5 * time.Minute
	// staleKeys is how long the known keys are used while they cannot be read again.
	staleKeys = 24 * time.Hour
	// betweenReads is the shortest time between two readings, however many tokens
	// with unknown keys arrive.
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

	mu      sync.Mutex
	current []jose.JSONWebKey
	read    time.Time // when current was read, zero for never
	tried   time.Time
	failure error         // of the last try
	reading chan struct{} // closed when the reading under way ends; nil if none is
}

func newKeys(issuer string, source KeySource) *keys { return &keys{issuer: issuer, source: source} }

// verify calls verified with the keys that may have signed a token with that key
// ID: the keys of that name, and the keys without a name. A caller with a known key
// never waits. A caller with an unknown key waits for a reading. The error is
// ErrNoKeys if the key may still turn out to be one of the cluster's.
func (k *keys) verify(ctx context.Context, id string, now time.Time, verified func(jose.JSONWebKey) bool) error {
	k.mu.Lock()
	if now.Sub(k.read).Abs() > freshKeys {
		k.readAgain(ctx, now)
	}
	known := k.usable(now)
	k.mu.Unlock()
	ok, named := try(known, id, verified)
	switch {
	case ok:
		return nil
	case named: // the key is known and has not signed the token
		return errForeign
	}
	k.mu.Lock()
	reading := k.readAgain(ctx, now)
	k.mu.Unlock()
	if reading != nil {
		select {
		case <-reading:
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", ErrNoKeys, ctx.Err())
		}
	}
	k.mu.Lock() // a reading may have ended since known was taken, whoever began it
	known, failure := k.usable(now), k.failure
	k.mu.Unlock()
	ok, named = try(known, id, verified)
	switch {
	case ok:
		return nil
	case named:
		return errForeign
	case failure != nil:
		return fmt.Errorf("%w: %w", ErrNoKeys, failure)
	case reading == nil:
		return fmt.Errorf("%w: %w", ErrNoKeys, errTooSoon)
	default:
		return errForeign
	}
}

// try reports whether one of the keys that may have signed the token did, and
// whether there is a key with that very name.
func try(known []jose.JSONWebKey, id string, verified func(jose.JSONWebKey) bool) (ok, named bool) {
	for _, key := range known {
		// A key from a PEM file has no name, and some tokens name none.
		if id != "" && key.KeyID != "" && key.KeyID != id {
			continue
		}
		if verified(key) {
			return true, true
		}
		named = named || id != "" && key.KeyID == id
	}
	return false, named
}

// usable returns the keys, unless they are too old to be believed. k.mu is held.
func (k *keys) usable(now time.Time) []jose.JSONWebKey {
	if now.Sub(k.read).Abs() > staleKeys {
		return nil
	}
	return k.current
}

// readAgain begins a reading of the keys, unless one is under way. It returns a
// channel that is closed when that reading ends. It returns nil, and begins none,
// when there was one a moment ago. k.mu is held.
func (k *keys) readAgain(ctx context.Context, now time.Time) <-chan struct{} {
	if k.reading != nil || now.Sub(k.tried).Abs() < betweenReads {
		return k.reading
	}
	k.tried = now
	reading := make(chan struct{})
	k.reading = reading
	go func() { // several callers may wait for it, so it must not end with the one that began it
		defer close(reading)
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), readTimeout)
		defer cancel()
		read, err := k.source(ctx, k.issuer)
		k.mu.Lock()
		defer k.mu.Unlock()
		if k.failure = err; err == nil {
			k.current, k.read = read, now
		}
		k.reading = nil
	}()
	return reading
}

// inherit takes over the keys of other, but as keys that have to be read again.
func (k *keys) inherit(other *keys, now time.Time) {
	other.mu.Lock()
	current, read := other.current, other.read
	other.mu.Unlock()
	k.mu.Lock()
	defer k.mu.Unlock()
	if aged := now.Add(-freshKeys - time.Second); read.After(aged) {
		read = aged
	}
	k.current, k.read = current, read
}

// check reads the keys, and returns why they are not known.
func (k *keys) check(ctx context.Context, now time.Time) error {
	err := k.verify(ctx, "", now, func(jose.JSONWebKey) bool { return true })
	if errors.Is(err, ErrNoKeys) {
		return err
	}
	return nil
}

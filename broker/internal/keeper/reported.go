package keeper

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/wxbroker/wxbroker/pkg/credential"
)

// ErrUnknownValue says that a value was reported that this keeper has not
// handed out, or so long ago that it has forgotten.
var ErrUnknownValue = errors.New("no such value was handed out, or it was too long ago")

// Versions answers a report.
type Versions struct {
	// Reported is the version of the value that was reported.
	Reported int64
	// Current is that of the current value, 0 while there is none that WeChat
	// honours.
	Current int64
}

// Report takes notice that WeChat refused the value with that hash. Nobody is
// believed: if it is the current value WeChat is asked, at most once a minute
// for each kind, and the value replaced if WeChat refuses it.
func (k *Keeper) Report(ctx context.Context, kind credential.Kind, hash [sha256.Size]byte) (Versions, error) {
	var answer Versions
	var refused error
	if err := k.ask(ctx, func(calls context.Context) { answer, refused = k.reported(calls, kind, hex.EncodeToString(hash[:])) }); err != nil {
		return Versions{}, err
	}
	return answer, refused
}

// reported answers a report, on the keeper's goroutine.
func (k *Keeper) reported(ctx context.Context, kind credential.Kind, reported string) (Versions, error) {
	s := k.slot(kind)
	if s == nil {
		return Versions{}, fmt.Errorf("%w: %s is not kept for this account", ErrUnknownValue, kind)
	}
	version, ok := s.issued(reported)
	if !ok {
		return Versions{}, ErrUnknownValue
	}
	now := k.Clock.Now()
	// A report ends no back-off, and needs no question about a value that is
	// known to be dead.
	if version == s.version && s.isLive(now) && s.trouble.retry.Sub(now) <= 0 {
		k.check(ctx, s)
	}
	answer := Versions{Reported: version}
	if s.isLive(k.Clock.Now()) {
		answer.Current = s.version
	}
	return answer, nil
}

// errReported is the reason for a check that a report caused.
var errReported = errors.New("somebody reports that WeChat refused it")

// check asks WeChat whether the current value of s is good: a token by a call
// that changes nothing, a ticket by reading it.
func (k *Keeper) check(ctx context.Context, s *slot) {
	switch {
	case s == k.token:
		k.checkToken(ctx, errReported)
	case k.token.isLive(k.Clock.Now()) && s.mayCheck(k.Clock.Now()):
		k.refreshTicket(ctx, s)
	}
}

// issued returns the version of a value by its hash.
func (s *slot) issued(hashed string) (version int64, ok bool) {
	if s.held() && hash(s.value) == hashed {
		return s.version, true
	}
	for _, i := range s.past {
		if i.Hash == hashed {
			version, ok = i.Version, true // the latest of several
		}
	}
	return version, ok
}

func (k *Keeper) slot(kind credential.Kind) *slot {
	for _, s := range k.slots() {
		if s.kind == kind {
			return s
		}
	}
	return nil
}

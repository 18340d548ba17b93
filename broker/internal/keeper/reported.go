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
// for each kind, and the value replaced if WeChat refuses it. Any other report
// is answered at once.
func (k *Keeper) Report(ctx context.Context, kind credential.Kind, hash [sha256.Size]byte) (Versions, error) {
	reported := hex.EncodeToString(hash[:])
	known, ok := (*k.issued.Load())[kind]
	if !ok {
		return Versions{}, fmt.Errorf("%w: %s is not kept for this account", ErrUnknownValue, kind)
	}
	version, ok := known.versionOf(reported)
	if !ok {
		return Versions{}, ErrUnknownValue
	}
	if reported == known.current { // if it is known to be dead, its successor may be on its way
		if err := k.ask(ctx, func(calls context.Context) { k.reported(calls, kind, version) }); err != nil {
			return Versions{}, err
		}
		known = (*k.issued.Load())[kind]
	}
	answer := Versions{Reported: version}
	if known.live(k.Clock.Now()) {
		answer.Current = known.version
	}
	return answer, nil
}

// reported asks WeChat about the value of that version, on the keeper's
// goroutine, if it is still the one to ask about. A report ends no back-off.
func (k *Keeper) reported(ctx context.Context, kind credential.Kind, version int64) {
	now := k.Clock.Now()
	for _, s := range k.slots() {
		if s.kind == kind && s.version == version && s.isLive(now) && s.trouble.retry.Sub(now) <= 0 {
			k.check(ctx, s)
		}
	}
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

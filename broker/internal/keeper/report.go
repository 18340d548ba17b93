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

// Report takes notice that WeChat refused the value with that hash. Nobody is
// believed: if it is the current value WeChat is asked, at most once a minute
// for each kind, and the value replaced if WeChat refuses it. Any other report
// is answered at once.
func (k *Keeper) Report(ctx context.Context, kind credential.Kind, hash [sha256.Size]byte) (credential.Versions, error) {
	reported := hex.EncodeToString(hash[:])
	known, ok := (*k.issued.Load())[kind]
	if !ok {
		return credential.Versions{}, fmt.Errorf("%w: %s is not kept for this account", ErrUnknownValue, kind)
	}
	version, ok := known.versionOf(reported)
	if !ok {
		return credential.Versions{}, ErrUnknownValue
	}
	if reported == known.current { // if it is known to be dead, its successor may be on its way
		err := k.ask(ctx, func(calls context.Context, k *Keeper) {
			k.reported(calls, kind, version)
			known = (*k.issued.Load())[kind]
		})
		if err != nil {
			return credential.Versions{}, err
		}
	}
	answer := credential.Versions{Reported: version}
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

// issued is what one kind's values were and are, by hash, as of the last
// change. It is never altered, so that any goroutine may look at it.
type issued struct {
	current string // "" while there is none
	version int64
	expiry  credential.Instant
	good    bool    // as far as is known
	past    []issue // the newest last
}

// live reports whether the current value may be used at now.
func (i issued) live(now credential.Instant) bool { return i.good && !i.expiry.Passed(now) }

// versionOf returns the version of a value by its hash.
func (i issued) versionOf(hashed string) (version int64, ok bool) {
	if i.current != "" && i.current == hashed {
		return i.version, true
	}
	for _, p := range i.past {
		if p.Hash == hashed {
			version, ok = p.Version, true // the latest of several
		}
	}
	return version, ok
}

// showIssued makes what was handed out known to reports.
func (k *Keeper) showIssued() {
	known := make(map[credential.Kind]issued)
	for _, s := range k.slots() {
		i := issued{version: s.version, expiry: s.expiry, good: s.held() && !s.refused && !s.undated, past: s.past}
		if s.held() {
			i.current = hash(s.value)
		}
		known[s.kind] = i
	}
	k.issued.Store(&known)
}

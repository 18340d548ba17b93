package keeper

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/wxbroker/wxbroker/pkg/credential"
)

// ErrUnknownValue says that the keeper does not know the reported value. It has
// never handed it out, or has forgotten it since.
var ErrUnknownValue = errors.New("no such value was handed out, or it was too long ago")

// Report tells the keeper that WeChat refused the value with that hash. The keeper
// believes nobody. If the hash is that of the current value, it asks WeChat, at
// most once a minute for each kind, and replaces the value if WeChat refuses it.
// Any other report is answered at once.
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
	if reported == known.current { // ask even if it is known to be dead: its successor may be on its way
		err := k.ask(ctx, func(calls context.Context, k *Keeper) {
			k.checkReported(calls, kind, version)
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

// checkReported asks WeChat about the value of that version, if it is still the
// current one. It runs on the keeper's goroutine. A report ends no back-off.
func (k *Keeper) checkReported(ctx context.Context, kind credential.Kind, version int64) {
	now := k.Clock.Now()
	for _, s := range k.slots() {
		if s.kind == kind && s.version == version && s.isLive(now) && s.trouble.retry.Sub(now) <= 0 {
			k.check(ctx, s)
		}
	}
}

// issuedValues are the values of one kind that were handed out, by hash, as of the last
// change. It is never altered, so any goroutine may look at it.
type issuedValues struct {
	current string // "" while there is none
	version int64
	expiry  credential.Instant
	good    bool    // the keeper knows nothing against the current value
	past    []issue // the newest last
}

// live reports whether the current value may be used at now.
func (i issuedValues) live(now credential.Instant) bool { return i.good && !i.expiry.Passed(now) }

// versionOf returns the version of a value by its hash.
func (i issuedValues) versionOf(hashed string) (version int64, ok bool) {
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

// showIssued lets Report see what was handed out.
func (k *Keeper) showIssued() {
	known := make(map[credential.Kind]issuedValues)
	for _, s := range k.slots() {
		i := issuedValues{version: s.version, expiry: s.expiry, good: s.held() && !s.refused && !s.undated, past: s.past}
		if s.held() {
			i.current = hash(s.value)
		}
		known[s.kind] = i
	}
	k.issued.Store(&known)
}

package keeper

import "github.com/wxbroker/wxbroker/pkg/credential"

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

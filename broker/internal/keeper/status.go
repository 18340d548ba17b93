package keeper

import (
	"time"

	"github.com/wxbroker/wxbroker/broker/internal/wechat"
	"github.com/wxbroker/wxbroker/pkg/credential"
)

// Status is one account as an operator sees it. It holds no secret.
type Status struct {
	AppID string
	Kinds []KindStatus
}

// KindStatus is one kind of credential. Times are the wall clock's.
type KindStatus struct {
	Kind    credential.Kind
	Version int64     // 0 while there is none
	Expiry  time.Time // hard expiry, zero while there is none
	NextTry time.Time // the next scheduled call
	// Unsaved is set while the store does not have this version.
	Unsaved bool
	// LastError is the last call's failure, nil when it succeeded; Since is
	// when the row of failures began.
	LastError *wechat.Error
	Since     time.Time
}

// Status returns the account's state as of its last change.
func (k *Keeper) Status() Status { return *k.status.Load() }

func (k *Keeper) report() {
	status := Status{AppID: k.Account.AppID}
	for _, s := range k.slots() {
		kind := KindStatus{Kind: s.kind, Unsaved: s.unsaved, LastError: s.trouble.last, Since: s.trouble.since}
		if s.held() {
			kind.Version, kind.Expiry = s.version, s.expiry.Wall()
		}
		if next := s.next(); !next.IsZero() {
			kind.NextTry = next.Wall()
		}
		status.Kinds = append(status.Kinds, kind)
	}
	k.status.Store(&status)
}

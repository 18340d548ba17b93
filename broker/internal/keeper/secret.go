package keeper

import (
	"time"

	"github.com/wxbroker/wxbroker/broker/internal/wechat"
	"github.com/wxbroker/wxbroker/pkg/credential"
)

// secretPoll is how often the AppSecret is read anew while WeChat refuses the
// one we have. Otherwise every wake does it, at least once a minute.
const secretPoll = 2 * time.Second

// noticeSecret takes a changed AppSecret into use. A back-off that the old one
// may be to blame for ends at once.
func (k *Keeper) noticeSecret() {
	if k.ReadSecret == nil {
		return
	}
	secret, err := k.ReadSecret()
	if err != nil {
		if !k.unreadable {
			k.Log.Warn("cannot read the AppSecret anew, going on with the one from before", "error", err)
		}
		k.unreadable = true
		return
	}
	k.unreadable = false
	if secret.Equal(k.Account.Secret) {
		return
	}
	k.Log.Info("the AppSecret has changed, using the new one from now on")
	k.Account.Secret = secret
	k.secret.Store(&secret)
	for _, s := range k.slots() {
		if s.trouble.is(wechat.Configuration) {
			s.trouble.retry = k.Clock.Now()
		}
	}
}

// Secret returns the AppSecret as it is now.
func (k *Keeper) Secret() credential.Secret { return *k.secret.Load() }

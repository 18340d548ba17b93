package relay

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"log/slog"
	"sync"

	"github.com/wxbroker/wxbroker/broker/internal/keeper"
	"github.com/wxbroker/wxbroker/pkg/credential"
)

// AliasKeys are the keys by which edges make and recognise what stands for an
// access_token. Each app has its own for each account, made from one that the
// store keeps, so that an alias outlives restarts of everybody.
type AliasKeys struct {
	Store keeper.Store
	Log   *slog.Logger

	mu   sync.Mutex
	keys map[string]*aliasKey // by appid
}

type aliasKey struct {
	value   []byte
	unsaved bool
}

// storedAliasKey is where the store has an account's.
const storedAliasKey = "alias_key"

// Of returns the key of an app for an account.
func (a *AliasKeys) Of(appid, app string) credential.Secret {
	mac := hmac.New(sha256.New, a.account(appid))
	mac.Write([]byte("alias\x00" + appid + "\x00" + app))
	return credential.NewSecret(string(mac.Sum(nil)))
}

// account returns the account's key: the stored one, or a new one. One that
// cannot be written serves until the broker ends.
func (a *AliasKeys) account(appid string) []byte {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.keys == nil {
		a.keys = make(map[string]*aliasKey)
	}
	key, ok := a.keys[appid]
	if !ok {
		key = a.load(appid)
		a.keys[appid] = key
	}
	if key.unsaved {
		err := a.Store.Put(context.Background(), appid, map[string][]byte{storedAliasKey: key.value})
		if err != nil && !ok { // say it once
			a.Log.Error("cannot write the key of aliases: those that are handed out now end with the broker", "appid", appid, "error", err)
		}
		key.unsaved = err != nil
	}
	return key.value
}

func (a *AliasKeys) load(appid string) *aliasKey {
	stored, err := a.Store.All(appid)
	if err != nil { // the one that is there is not to be overwritten
		a.Log.Error("cannot read the key of aliases: those that are handed out now end with the broker", "appid", appid, "error", err)
	}
	if value := stored[storedAliasKey]; len(value) == sha256.Size {
		return &aliasKey{value: value}
	}
	value := make([]byte, sha256.Size)
	_, _ = rand.Read(value) // never fails
	return &aliasKey{value: value, unsaved: err == nil}
}

package relay

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"log/slog"
	"sync"

	"github.com/wxbroker/wxbroker/broker/internal/keeper"
	"github.com/wxbroker/wxbroker/pkg/credential"
)

// Keys derives keys from one secret for each account. The store has that secret, and
// the broker hands it to nobody. So aliases and sealed tokens outlive restarts, and
// every broker with the same database can open them.
type Keys struct {
	Store keeper.Store
	Log   *slog.Logger

	mu    sync.Mutex
	roots map[string]*root // by appid
}

// root is an account's secret.
type root struct {
	value   []byte
	unsaved bool
}

// storedRoot is the key of an account's secret in the store. Its name comes from a
// time when only aliases were made with it.
const storedRoot = "alias_key"

// Alias returns the key by which the edges of an app make and recognise aliases. An
// alias stands for an account's access_token.
func (k *Keys) Alias(ctx context.Context, appid, app string) credential.Secret {
	return credential.NewSecret(string(k.derive(ctx, appid, "alias\x00"+appid+"\x00"+app)))
}

// userTokenCipher returns the cipher that seals the OAuth tokens of an account's
// users.
func (k *Keys) userTokenCipher(ctx context.Context, appid string) (cipher.AEAD, error) {
	block, err := aes.NewCipher(k.derive(ctx, appid, "oauth\x00"+appid))
	if err != nil {
		return nil, fmt.Errorf("making the key for OAuth tokens: %w", err)
	}
	return cipher.NewGCMWithRandomNonce(block)
}

// derive returns the key of an account for a purpose. It has 32 bytes.
func (k *Keys) derive(ctx context.Context, appid, purpose string) []byte {
	mac := hmac.New(sha256.New, k.root(ctx, appid))
	mac.Write([]byte(purpose))
	return mac.Sum(nil)
}

// root returns the account's secret, either the stored one or a new one. If a new
// secret cannot be written, it serves until the broker ends.
func (k *Keys) root(ctx context.Context, appid string) []byte {
	k.mu.Lock()
	defer k.mu.Unlock()
	if known, ok := k.roots[appid]; ok {
		return known.value
	}
	if k.roots == nil {
		k.roots = make(map[string]*root)
	}
	r := k.load(ctx, appid)
	k.roots[appid] = r
	if r.unsaved {
		if err := k.put(ctx, appid, r); err != nil {
			k.Log.ErrorContext(ctx, "cannot write the account's key: the aliases and OAuth tokens that are handed out now end with the broker", "appid", appid, "error", err)
		}
	}
	return r.value
}

func (k *Keys) load(ctx context.Context, appid string) *root {
	stored, err := k.Store.All(appid)
	if err != nil { // the new secret stays in memory, or it would overwrite the stored one
		k.Log.ErrorContext(ctx, "cannot read the account's key: the aliases and OAuth tokens that are handed out now end with the broker", "appid", appid, "error", err)
	}
	if value := stored[storedRoot]; len(value) == sha256.Size {
		return &root{value: value}
	}
	value := make([]byte, sha256.Size)
	_, _ = rand.Read(value) // never fails
	return &root{value: value, unsaved: err == nil}
}

// put writes a secret that the store does not have yet. The store bounds how long
// that takes.
func (k *Keys) put(ctx context.Context, appid string, r *root) error {
	err := k.Store.Put(ctx, appid, map[string][]byte{storedRoot: r.value})
	r.unsaved = err != nil
	return err
}

// save writes the secrets that could not be written before.
func (k *Keys) save(ctx context.Context) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for appid, r := range k.roots {
		if r.unsaved && k.put(ctx, appid, r) == nil {
			k.Log.InfoContext(ctx, "the account's key is written at last", "appid", appid)
		}
	}
}

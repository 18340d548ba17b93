package relay

import (
	"crypto/sha256"
	"sync"
	"time"

	"github.com/wxbroker/wxbroker/pkg/credential"
)

const (
	// userLife is how long an OAuth token is known: as long as WeChat honours a
	// refresh token.
	userLife = 30 * 24 * time.Hour
	// maxUsers bounds how many are known.
	maxUsers = 200_000
)

// users are the OAuth tokens that apps were given, by hash. An SDK presents one
// and nothing else when it asks about a user. They are forgotten with the
// process: then the user is sent to WeChat once more.
type users struct {
	clock credential.Clock

	mu    sync.Mutex
	known map[user]given
	order []user // the oldest first
}

type user struct {
	app  string
	hash [sha256.Size]byte
}

type given struct {
	appid string
	until time.Time
}

// remember takes note of tokens that an app was given.
func (u *users) remember(app, appid string, tokens ...string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.known == nil {
		u.known = make(map[user]given)
	}
	now := u.clock()
	for _, token := range tokens {
		if token == "" {
			continue
		}
		key := user{app, sha256.Sum256([]byte(token))}
		if _, known := u.known[key]; !known {
			u.order = append(u.order, key)
		}
		u.known[key] = given{appid, now.Add(userLife)}
	}
	for len(u.order) > 0 && (len(u.order) > maxUsers || !now.Before(u.known[u.order[0]].until)) {
		delete(u.known, u.order[0])
		u.order = u.order[1:]
	}
}

// owner returns the account for which an app was given a token.
func (u *users) owner(app, token string) (appid string, ok bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	g, ok := u.known[user{app, sha256.Sum256([]byte(token))}]
	return g.appid, ok && u.clock().Before(g.until)
}

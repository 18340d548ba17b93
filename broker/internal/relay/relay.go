// Package relay makes calls to WeChat for apps, which have neither the token nor the
// AppSecret that a call takes.
//
// [Relay.Do] makes any call with the account's access_token (call.go). A token that
// WeChat refuses is reported to the keeper, and the call is made once more if there
// is a newer one. [Relay.OAuth] makes the calls about a page's user, which take a
// token of that user's: what an app has of it is sealed (oauth.go, seal.go). Both
// count what they call by app and day (day.go), and call no API of which WeChat said
// that its calls are spent (stops.go).
//
// The rule to keep: nothing is called twice that WeChat may have done. A call that
// was not answered may have been; only one whose token was refused, and one that
// found no connection, are made again.
//
// Who may call what is decided before, by package access. Every error is a gRPC
// status, with WeChat's code and words in its details (refusal.go).
package relay

import (
	"context"
	"log/slog"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/wxbroker/wxbroker/broker/internal/keeper"
	"github.com/wxbroker/wxbroker/broker/internal/wechat"
	"github.com/wxbroker/wxbroker/pkg/credential"
)

// Options are what a Relay needs; all of them are required.
type Options struct {
	WeChat *wechat.Client
	// Account returns what an account's keeper has published, false for one that
	// is not kept, and Keeper returns that keeper, nil for none.
	Account func(appid string) (credential.Account, bool)
	Keeper  func(appid string) *keeper.Keeper
	// Store keeps the counts of the day, and Keys seal OAuth tokens.
	Store keeper.Store
	Keys  *Keys
	Clock credential.Clock
	Log   *slog.Logger
}

// Relay makes calls. Make it with New.
type Relay struct {
	Options
	day   *day
	stops *stops
	codes singleflight.Group // the codes that are being turned into tokens
}

// New returns a Relay. Its counts are written while Run runs.
func New(o Options) *Relay {
	return &Relay{
		Options: o,
		day:     &day{store: o.Store, clock: o.Clock, log: o.Log},
		stops:   &stops{clock: o.Clock},
	}
}

// Run writes the counts of the day, every few seconds and when ctx ends, and keys
// that could not be written before.
func (r *Relay) Run(ctx context.Context) {
	defer r.day.save(context.WithoutCancel(ctx))
	ticker := time.NewTicker(betweenSaves)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			r.day.save(ctx)
			r.Keys.save(ctx)
		}
	}
}

// Today returns the calls that were made today on an account, by app and API.
func (r *Relay) Today(appid string) []Calls { return r.day.list(appid) }

// Stops returns the APIs of an account that are not called now, by name.
func (r *Relay) Stops(appid string) []Stop { return r.stops.list(appid) }

// Resume lets every API of an account be called again, for whoever has cleared
// its quotas.
func (r *Relay) Resume(appid string) { r.stops.resume(appid) }

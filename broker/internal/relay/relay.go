// Package relay makes calls to WeChat for apps, which have neither the token nor the
// AppSecret that a call takes.
//
// [Relay.Do] makes any call with the account's access_token (call.go). If WeChat
// refuses the token, the relay reports it to the keeper. If there is then a newer
// token, the call is made once more, provided that its body can be sent again
// (body.go). [Relay.OAuth] makes the calls about a page's user. They take a token of
// that user's, which an app gets only in sealed form (oauth.go, seal.go). Both count
// their calls by app and day (day.go). Both hold back calls of an API when WeChat has
// said that its calls are spent (stops.go).
//
// The rule to keep: never make a call a second time if WeChat may have carried it
// out. WeChat may have carried out every call that was not answered. Only two kinds
// of call are made again: one whose token WeChat refused, and one that found no
// connection.
//
// Package access decides before who may call what. Every error is a gRPC status, with
// WeChat's code and words in its details (refusal.go).
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
	// Account returns what an account's keeper has published, and false for an
	// account that the broker does not have. Keeper returns that keeper, nil for none.
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

// Run writes the counts of the day, every few seconds and when ctx ends. It also
// writes keys that could not be written before.
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

// Resume lets every API of an account be called again, after its quotas were
// cleared.
func (r *Relay) Resume(appid string) { r.stops.resume(appid) }

package relay

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/wxbroker/wxbroker/broker/internal/access"
	"github.com/wxbroker/wxbroker/broker/internal/keeper"
	"github.com/wxbroker/wxbroker/pkg/credential"
	"github.com/wxbroker/wxbroker/pkg/wxapi"
)

const (
	// betweenSaves is how long counts may live in memory alone. A process that is
	// killed loses the counts of that time.
	betweenSaves = 5 * time.Second
	// maxAPIs bounds how many APIs are counted one by one for an app and day.
	maxAPIs = 500
	// OtherAPIs is the name under which the calls of all further APIs are counted
	// together.
	OtherAPIs = "other"
)

// day counts the calls that are made for apps, by account, app and API.
type day struct {
	store keeper.Store
	clock credential.Clock
	log   *slog.Logger

	mu      sync.Mutex
	tallies map[tallyKey]*tally
	failing bool // the last write failed
}

type tallyKey struct{ appid, app string }

// tally is one app's calls of one account, as the store has it.
type tally struct {
	Day   string         `json:"day"` // 2026-11-21, at WeChat
	Calls map[string]int `json:"calls"`

	unsaved bool
	// unreadable is set where the store could not be read. Its value must not be
	// overwritten then.
	unreadable bool
}

// storeKey is the key of an app's tally in the store.
func (k tallyKey) storeKey() string { return callsPrefix + k.app }

const callsPrefix = "calls/"

// spend counts a call that is about to be made, or returns RESOURCE_EXHAUSTED
// when the app has made as many today as it may.
func (d *day) spend(app *access.App, appid, api string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	t := d.tally(tallyKey{appid, app.Name})
	name := t.name(api)
	if limit, ok := app.CallsPerDay(api); ok && t.Calls[name] >= limit {
		end := wxapi.DayEnd(d.clock())
		return wxapi.Refusal{
			Code: wxapi.QuotaSpent, Retry: end,
			Message: fmt.Sprintf("the app %s has made its %d calls of %s today, and may make more from %s", app.Name, limit, api, end.UTC().Format(time.RFC3339)),
		}.Status(codes.ResourceExhausted)
	}
	t.Calls[name]++
	t.unsaved = true
	return nil
}

// name returns the name under which an API is counted.
func (t *tally) name(api string) string {
	if _, known := t.Calls[api]; known || len(t.Calls) < maxAPIs {
		return api
	}
	return OtherAPIs
}

// tally returns an app's tally of today. d.mu is held.
func (d *day) tally(of tallyKey) *tally {
	today := d.clock().In(wxapi.Zone).Format(time.DateOnly)
	t, known := d.tallies[of]
	if !known {
		t = d.load(of)
		if d.tallies == nil {
			d.tallies = make(map[tallyKey]*tally)
		}
		d.tallies[of] = t
	}
	if t.Day != today {
		*t = tally{Day: today, Calls: make(map[string]int), unreadable: t.unreadable}
	}
	return t
}

func (d *day) load(of tallyKey) *tally {
	t := new(tally)
	stored, err := d.store.All(of.appid)
	if err == nil && stored[of.storeKey()] != nil {
		err = json.Unmarshal(stored[of.storeKey()], t)
	}
	if err != nil {
		d.log.Error("cannot read how many calls were made today, counting from zero", "appid", of.appid, "app", of.app, "error", err)
		return &tally{unreadable: true}
	}
	if t.Calls == nil {
		t.Calls = make(map[string]int)
	}
	return t
}

// save writes what has changed.
func (d *day) save(ctx context.Context) {
	d.mu.Lock()
	raw := make(map[tallyKey][]byte)
	for of, t := range d.tallies {
		if t.unsaved && !t.unreadable {
			raw[of], _ = json.Marshal(t) // a string and numbers
			t.unsaved = false
		}
	}
	d.mu.Unlock()
	for of, value := range raw { // without the lock, so that no call waits for the disk
		err := d.store.Put(ctx, of.appid, map[string][]byte{of.storeKey(): value})
		d.mu.Lock()
		if err != nil {
			d.tallies[of].unsaved = true
		}
		if (err != nil) != d.failing {
			d.failing = err != nil
			if d.failing {
				d.log.Error("cannot write how many calls were made for apps: a restart now would forget it", "error", err)
			} else {
				d.log.Info("how many calls were made for apps is written again")
			}
		}
		d.mu.Unlock()
	}
}

// Calls is how many calls of an API were made today for an app.
type Calls struct {
	App, API string
	Used     int
}

// list returns the calls that were made today on an account, by app and API.
func (d *day) list(appid string) []Calls {
	d.mu.Lock()
	defer d.mu.Unlock()
	stored, _ := d.store.All(appid) // load has logged the error
	apps := make(map[string]bool)
	for key := range stored {
		if app, ok := strings.CutPrefix(key, callsPrefix); ok {
			apps[app] = true
		}
	}
	for of := range d.tallies {
		if of.appid == appid {
			apps[of.app] = true
		}
	}
	var list []Calls
	for app := range apps {
		for api, used := range d.tally(tallyKey{appid, app}).Calls {
			list = append(list, Calls{app, api, used})
		}
	}
	slices.SortFunc(list, func(a, b Calls) int { return cmp.Or(cmp.Compare(a.App, b.App), cmp.Compare(a.API, b.API)) })
	return list
}

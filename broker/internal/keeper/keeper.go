package keeper

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"github.com/wxbroker/wxbroker/broker/internal/wechat"
	"github.com/wxbroker/wxbroker/pkg/credential"
)

// Store is where credentials survive the process.
type Store interface {
	// Put stores values by key, all of them or none. They are durable when it
	// returns nil. It never waits longer than a second or so.
	Put(ctx context.Context, appid string, values map[string][]byte) error
	All(appid string) (map[string][]byte, error)
}

// Options are what a Keeper needs. All of them are required but Tickets, Limits,
// HalfSpent and After.
type Options struct {
	Account wechat.Account
	Stable  bool              // fetch the stable token instead of the classic one
	Tickets []credential.Kind // tickets to keep
	Limits  Limits            // instead of the DefaultLimits of these APIs
	// HalfSpent says that what was counted today is lost: half of each limit
	// counts as spent.
	HalfSpent bool
	// After is the keeper of the same account whose place this one takes, nil for
	// none. Once this one is made the other is to be stopped, and when it has ended
	// this one begins. Whoever asks the other asks this one from then on.
	After *Keeper

	WeChat *wechat.Client
	Store  Store
	// Publish is called with every new state, from New and Run. A state has no
	// policy.
	Publish func(credential.Account)
	Clock   credential.Clock
	Log     *slog.Logger
}

// Keeper keeps one account's credentials. Make it with New.
type Keeper struct {
	Options
	token   *slot
	tickets []*slot
	budget  *budget
	found   map[string][]byte // in the store by New, for takeOver

	inbox     *inbox
	strange   rate.Sometimes // that a claim cannot be is said only so often
	questions chan question
	stopped   chan struct{}          // closed when Run ends
	next      atomic.Pointer[Keeper] // that takes this one's place

	turned atomic.Pointer[time.Time] // when the loop last began a turn
	status atomic.Pointer[Status]
	issued atomic.Pointer[map[credential.Kind]issued]
	secret atomic.Pointer[credential.Secret] // Account's, for other goroutines
}

// New returns a Keeper. One that takes no other's place has published what the
// store has, so that nobody who watches from now on is told that the account
// holds nothing.
func New(ctx context.Context, o Options) *Keeper {
	o.Log = o.Log.With("appid", o.Account.AppID)
	k := &Keeper{
		Options: o, token: &slot{kind: credential.AccessToken}, budget: newBudget(o.Limits, o.Clock.Now()),
		inbox: newInbox(), strange: rate.Sometimes{First: 1, Interval: time.Minute}, questions: make(chan question), stopped: make(chan struct{}),
	}
	k.secret.Store(&o.Account.Secret)
	for _, kind := range o.Tickets {
		k.tickets = append(k.tickets, &slot{kind: kind, seen: sightings{}})
	}
	found, err := o.Store.All(o.Account.AppID)
	if err != nil {
		o.Log.Error("cannot read the database, fetching new credentials", "error", err)
	}
	k.turn()
	if o.After != nil {
		k.found = found
		k.status.Store(o.After.status.Load())
		k.issued.Store(o.After.issued.Load())
		o.After.next.Store(k)
		return k
	}
	k.load(found, o.HalfSpent || err != nil)
	k.save(ctx) // what was found out: a broker that dies before its first call is to find it too
	k.publish()
	return k
}

const (
	// checkClocks is the longest sleep: the wall clock may have been stepped.
	checkClocks = time.Minute
	// lastCall is how long a call under way may take once the keeper is to stop.
	// To break it off could lose a token that WeChat has already handed out.
	lastCall = 5 * time.Second
)

// Run works until ctx ends.
func (k *Keeper) Run(ctx context.Context) {
	defer close(k.stopped)
	k.takeOver()
	calls, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(lastCall, cancel) })()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		k.turn()
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		case <-k.inbox.wake:
			k.takeInbox()
		case q := <-k.questions:
			if ctx.Err() != nil {
				return
			}
			q(calls, k)
		}
		k.work(ctx, calls)
		k.show()
		timer.Reset(k.sleep())
	}
}

func (k *Keeper) turn() {
	now := time.Now()
	k.turned.Store(&now)
}

// Turned returns when the keeper last was free to do what is due. One that works
// turns at least once a minute, but for the time of a few calls.
func (k *Keeper) Turned() time.Time { return *k.turned.Load() }

// takeOver waits for the end of the keeper whose place this one takes, and takes
// all that it held.
func (k *Keeper) takeOver() {
	before := k.After
	if before == nil {
		return
	}
	<-before.stopped
	k.After = nil // it is not to be kept in memory
	maps.Copy(k.budget.spent, before.budget.spent)
	k.budget.wrote = before.budget.wrote
	k.budget.started = before.budget.started
	for _, s := range k.slots() {
		if live := before.slot(s.kind); live != nil {
			*s = *live
		} else {
			k.loadSlot(s, k.found)
		}
	}
	k.found = nil
	k.inbox.inherit(before.inbox)
	k.publish()
	k.Log.Info("a keeper with another configuration has taken over", "version", k.token.version)
}

// slot returns the one of a kind, nil if it is not kept.
func (k *Keeper) slot(kind credential.Kind) *slot {
	for _, s := range k.slots() {
		if s.kind == kind {
			return s
		}
	}
	return nil
}

// work does everything that is due now. It begins nothing once ctx has ended;
// what it began may go on until calls ends.
func (k *Keeper) work(ctx, calls context.Context) {
	if ctx.Err() == nil && k.token.isDue(k.Clock.Now()) {
		k.refreshToken(calls)
	}
	for _, ticket := range k.tickets {
		now := k.Clock.Now()
		if ticket.isDue(now) && k.token.isLive(now) && ctx.Err() == nil {
			k.refreshTicket(calls, ticket)
		}
	}
	k.save(calls)
}

// sleep returns how long there is nothing to do.
func (k *Keeper) sleep() time.Duration {
	now := k.Clock.Now()
	wait := checkClocks
	if k.isUnsaved() {
		wait = retrySave
	}
	for _, s := range k.slots() {
		// Without a token a ticket has to wait for one.
		if s == k.token || k.token.isLive(now) {
			wait = min(wait, s.next().Sub(now))
		}
	}
	return max(wait, time.Millisecond)
}

func (k *Keeper) slots() []*slot { return append([]*slot{k.token}, k.tickets...) }

// publish hands the current state on.
func (k *Keeper) publish() {
	account := credential.Account{AppID: k.Account.AppID}
	for _, s := range k.slots() {
		account.Kinds = append(account.Kinds, s.kind)
		if !s.held() || s.undated {
			continue
		}
		held := credential.Credential{Kind: s.kind, Value: s.value, Version: s.version, Expiry: s.expiry}
		if s == k.token && !k.Stable { // each call replaces it
			held.Replaced = s.due
		}
		account.Credentials = append(account.Credentials, held)
	}
	k.show() // first: who sees a value also sees what it cost
	k.Publish(account)
}

// ErrStopped is returned to whoever asks a keeper that has stopped, and whose
// place none has taken.
var ErrStopped = errors.New("the keeper has stopped")

// question is something to be done on a keeper's goroutine, where alone its
// state may be looked at. Calls to WeChat that it makes end with calls.
type question func(calls context.Context, k *Keeper)

// ask lets q run on the keeper's goroutine, or on that of the one that has taken
// its place, and waits for its end. The error is ctx's, or ErrStopped; q may
// still run after the former.
func (k *Keeper) ask(ctx context.Context, q question) error {
	for ; k != nil; k = k.next.Load() {
		done := make(chan struct{})
		select {
		case k.questions <- func(calls context.Context, k *Keeper) { defer close(done); q(calls, k) }:
		case <-ctx.Done():
			return ctx.Err()
		case <-k.stopped:
			continue
		}
		select {
		case <-done:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		case <-k.stopped:
		}
		select {
		case <-done:
			return nil
		default: // q has not begun
		}
	}
	return ErrStopped
}

// Settle returns once what the keeper does now is done, such as a refresh. The
// error is ctx's, or ErrStopped.
func (k *Keeper) Settle(ctx context.Context) error {
	return k.ask(ctx, func(context.Context, *Keeper) {})
}

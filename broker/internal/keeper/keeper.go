package keeper

import (
	"context"
	"log/slog"
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

// Options are what a Keeper needs. Tickets, Limits, HalfSpent and After may be left
// out.
type Options struct {
	Account wechat.Account
	Stable  bool              // fetch the stable token instead of the classic one
	Tickets []credential.Kind // tickets to keep
	Limits  Limits            // instead of the DefaultLimits of these APIs
	// HalfSpent says that today's counts are lost. Half of each limit then counts
	// as spent.
	HalfSpent bool
	// After is the keeper of the same account whose place this one takes, nil for
	// none. The caller stops the other once this one is made. This one begins its
	// work when the other has ended. Questions to the other then go to this one.
	After *Keeper

	WeChat *wechat.Client
	Store  Store
	// Publish is called with every new state, from New and from Run. The state has
	// no policy, since that is not the keeper's.
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
	stored  map[string][]byte // what New read from the store, until takeOver uses it

	inbox        *inbox
	claimWarning rate.Sometimes // limits the warnings of impossible claims
	questions    chan question
	stopped      chan struct{}          // closed when Run ends
	successor    atomic.Pointer[Keeper] // takes this one's place

	lastTurn atomic.Pointer[time.Time] // when the loop last began a turn
	status   atomic.Pointer[Status]
	issued   atomic.Pointer[map[credential.Kind]issuedValues]
	secret   atomic.Pointer[credential.Secret] // Account's, for other goroutines
}

// New returns a Keeper. Unless it takes the place of another, it has published
// what the store has. So a reader that begins to watch now does not learn that the
// account holds nothing.
func New(ctx context.Context, o Options) *Keeper {
	o.Log = o.Log.With("appid", o.Account.AppID)
	k := &Keeper{
		Options: o, token: &slot{kind: credential.AccessToken}, budget: newBudget(o.Limits, o.Clock.Now()),
		inbox: newInbox(), claimWarning: rate.Sometimes{First: 1, Interval: time.Minute}, questions: make(chan question), stopped: make(chan struct{}),
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
		k.stored = found
		k.status.Store(o.After.status.Load())
		k.issued.Store(o.After.issued.Load())
		o.After.successor.Store(k)
		return k
	}
	k.load(found, o.HalfSpent || err != nil)
	k.save(ctx) // load has drawn conclusions; after a crash before the first call, the next broker needs them too
	k.publish()
	return k
}

const (
	// checkClocks is the longest sleep: the wall clock may have been stepped.
	checkClocks = time.Minute
	// lastCall is how long a call under way may still take once the keeper stops.
	// Breaking it off could lose a token that WeChat has already handed out.
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
	k.lastTurn.Store(&now)
}

// Turned returns when the loop last began a turn, and so was free to do what is
// due. A healthy keeper turns at least once a minute, plus the time of a few calls.
func (k *Keeper) Turned() time.Time { return *k.lastTurn.Load() }

// slot returns the slot of a kind, nil if the account has none.
func (k *Keeper) slot(kind credential.Kind) *slot {
	for _, s := range k.slots() {
		if s.kind == kind {
			return s
		}
	}
	return nil
}

// work does everything that is due now. It begins nothing once ctx has ended. What
// it has begun may go on until calls ends.
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

// sleep returns how long the keeper has nothing to do.
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
	k.show() // first, so that a reader who sees a value also sees which calls it cost
	k.Publish(account)
}

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

// Store is where credentials survive the process. A Put is durable when it
// returns nil.
type Store interface {
	Put(appid, key string, value []byte) error
	All(appid string) (map[string][]byte, error)
}

// Options are what a Keeper needs. All of them are required but ReadSecret,
// Tickets, SignHosts, Limits and HalfSpent.
type Options struct {
	Account wechat.Account
	// ReadSecret reads the AppSecret anew, nil where it cannot change.
	ReadSecret func() (credential.Secret, error)
	Stable     bool              // fetch the stable token instead of the classic one
	Tickets    []credential.Kind // tickets to keep
	SignHosts  credential.HostRules
	Limits     Limits // instead of the DefaultLimits of these APIs
	// HalfSpent says that what was counted today is lost: half of each limit
	// counts as spent.
	HalfSpent bool

	WeChat  *wechat.Client
	Store   Store
	Publish func(credential.Account) // called with every new state, from New and Run
	Clock   credential.Clock
	Log     *slog.Logger
}

// Keeper keeps one account's credentials. Make it with New.
type Keeper struct {
	Options
	token   *slot
	tickets []*slot
	budget  *budget
	// unreadable is set while ReadSecret fails.
	unreadable bool
	claims     *inbox
	strange    rate.Sometimes // that a claim cannot be is said only so often
	questions  chan question
	stopped    chan struct{} // closed when Run ends
	status     atomic.Pointer[Status]
	issued     atomic.Pointer[map[credential.Kind]issued]
	secret     atomic.Pointer[credential.Secret] // Account's, for other goroutines
}

// New returns a Keeper that has published what the store has, so that nobody
// who watches from now on is told that the account holds nothing.
func New(o Options) *Keeper {
	o.Log = o.Log.With("appid", o.Account.AppID)
	k := &Keeper{
		Options: o, token: &slot{kind: credential.AccessToken},
		claims: newInbox(), strange: rate.Sometimes{First: 1, Interval: time.Minute}, questions: make(chan question), stopped: make(chan struct{}),
	}
	k.secret.Store(&o.Account.Secret)
	for _, kind := range o.Tickets {
		k.tickets = append(k.tickets, &slot{kind: kind, seen: sightings{}})
	}
	stored, err := o.Store.All(o.Account.AppID)
	if err != nil {
		o.Log.Error("cannot read the database, fetching new credentials", "error", err)
	}
	k.budget = newBudget(k.Options, stored, o.HalfSpent || err != nil)
	k.load(stored)
	k.publish()
	return k
}

// checkClocks is the longest sleep: the wall clock may have been stepped.
const checkClocks = time.Minute

// retrySave is how soon a failed write to the store is tried again.
const retrySave = 10 * time.Second

// lastCall is how long a call under way may take once the keeper is to stop. To
// break it off could lose a token that WeChat has already handed out.
const lastCall = 5 * time.Second

// Run works until ctx ends.
func (k *Keeper) Run(ctx context.Context) {
	defer close(k.stopped)
	calls, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(lastCall, cancel) })()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		case <-k.claims.wake:
			k.takeClaims()
		case q := <-k.questions:
			if ctx.Err() != nil {
				return
			}
			q(calls)
		}
		k.noticeSecret()
		k.work(ctx, calls)
		k.show()
		timer.Reset(k.sleep())
	}
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
	for _, s := range k.slots() {
		if s.unsaved {
			k.save(s)
		}
	}
	k.budget.saveAgain()
}

// sleep returns how long there is nothing to do.
func (k *Keeper) sleep() time.Duration {
	now := k.Clock.Now()
	wait := checkClocks
	if k.budget.uncounted() {
		wait = retrySave
	}
	for _, s := range k.slots() {
		// Without a token a ticket has to wait for one.
		if s == k.token || k.token.isLive(now) {
			wait = min(wait, s.next().Sub(now))
		}
		if s.unsaved {
			wait = min(wait, retrySave)
		}
		if k.ReadSecret != nil && s.trouble.is(wechat.Configuration) {
			wait = min(wait, secretPoll)
		}
	}
	return max(wait, time.Millisecond)
}

func (k *Keeper) slots() []*slot { return append([]*slot{k.token}, k.tickets...) }

// publish hands the current state on.
func (k *Keeper) publish() {
	account := credential.Account{AppID: k.Account.AppID, SignHosts: k.SignHosts}
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
	k.Publish(account)
	k.show()
}

// version returns the version of a value that arrives now in s: the current
// millisecond, but always above every version that was ever handed out.
func (k *Keeper) version(s *slot) int64 {
	return max(k.Clock().UnixMilli(), s.version+1, s.claimed+1)
}

package access

import (
	"errors"
	"regexp"
	"slices"
	"sync/atomic"

	"golang.org/x/time/rate"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/wxbroker/wxbroker/pkg/credential"
)

// EveryAccount stands, in an app's accounts, for all that are configured.
const EveryAccount = "*"

// App is one team's program.
type App struct {
	Name       string
	Identities []Identity
	// Accounts are the appids that the grants hold for, or just EveryAccount.
	Accounts []string
	Grants   []credential.Grant
	// PerSecond is how many calls a second the app may make in the long run. Streams
	// and operators' calls are not counted.
	PerSecond int
	// Calls are the APIs that the grant call holds for, none for every one.
	Calls []Pattern
	// PerDay is how many calls of an API are made for the app in a day, by API in
	// lower case; see CallsPerDay.
	PerDay map[string]int

	// Set by NewPolicy; an app without them is not limited.
	calls *rate.Limiter // limits the calls a second
	under *atomic.Int64 // how many calls under way move bodies
}

// DefaultPerSecond is the limit of an app without one of its own, in calls a second.
const DefaultPerSecond = 50

// burst is how many seconds' calls may come at once. An app with many threads may send
// a message from each of them, and then none for a while.
const burst = 10

// withLimits returns the app with fresh limits: no call is counted yet.
func withLimits(a App) *App {
	if a.PerSecond == 0 {
		a.PerSecond = DefaultPerSecond
	}
	a.calls, a.under = rate.NewLimiter(rate.Limit(a.PerSecond), burst*a.PerSecond), new(atomic.Int64)
	return &a
}

// maxUnder bounds how many calls of an app that move bodies may be under way. Each
// takes some hundred KiB.
const maxUnder = 500

// Enter begins a call that moves a body, or returns RESOURCE_EXHAUSTED when too
// many are under way. leave ends it.
func (a *App) Enter() (leave func(), err error) {
	if a.under == nil {
		return func() {}, nil
	}
	if a.under.Add(1) > maxUnder {
		a.under.Add(-1)
		return nil, status.Errorf(codes.ResourceExhausted, "the app %s has %d calls under way", a.Name, maxUnder)
	}
	return func() { a.under.Add(-1) }, nil
}

// Spend counts a call. It returns RESOURCE_EXHAUSTED when the app makes more calls than
// it may.
func (a *App) Spend() error {
	if a.calls != nil && !a.calls.Allow() {
		return status.Errorf(codes.ResourceExhausted, "the app %s makes more than %d calls a second", a.Name, a.PerSecond)
	}
	return nil
}

// Has reports whether the app has a grant, for any account.
func (a *App) Has(g credential.Grant) bool { return slices.Contains(a.Grants, g) }

// Serves reports whether its grants hold for that account.
func (a *App) Serves(appid string) bool {
	return a.ServesEvery() || slices.Contains(a.Accounts, appid)
}

// ServesEvery reports whether its grants hold for every account, including accounts
// that are configured later.
func (a *App) ServesEvery() bool { return slices.Contains(a.Accounts, EveryAccount) }

// Kinds returns the kinds of credentials that the app may have.
func (a *App) Kinds() []credential.Kind {
	var may []credential.Kind
	for _, kind := range credential.Kinds() {
		if a.Has(kind.Grant()) {
			may = append(may, kind)
		}
	}
	return may
}

// nameForm is the form of an app's name, which appears in logs and metrics.
var nameForm = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)

// CheckName returns why an app cannot have that name, nil if it can.
func CheckName(name string) error {
	if !nameForm.MatchString(name) || name == Anybody {
		return errors.New("is missing, or not a name of letters, digits, dots and dashes such as shop-web")
	}
	return nil
}

package access

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"time"

	"golang.org/x/time/rate"
)

// Policy is who may do what. It never changes: [Control.Use] replaces it.
type Policy struct {
	apps       map[Identity]*rated
	anybody    *rated // without apps: whoever can connect
	names      map[string]bool
	kubernetes *Kubernetes
}

// rated is an app with what is left of its calls.
type rated struct {
	App
	calls *rate.Limiter
}

// DefaultPerSecond is how many calls a second an app may make that has no
// limit of its own.
const DefaultPerSecond = 50

// burst is how many calls may come at once: an app of many threads reports the
// same value from each.
const burst = 200

func newRated(a App) *rated {
	if a.PerSecond == 0 {
		a.PerSecond = DefaultPerSecond
	}
	return &rated{a, rate.NewLimiter(rate.Limit(a.PerSecond), max(burst, a.PerSecond))}
}

// nameForm is what an app may be called: it stands in logs and metrics.
var nameForm = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)

// CheckName says why an app cannot be called that.
func CheckName(name string) error {
	if !nameForm.MatchString(name) || name == Anybody {
		return errors.New("is missing, or not a name of letters, digits, dots and dashes such as shop-web")
	}
	return nil
}

// Anybody is the app that everyone is under [Open].
const Anybody = "anybody"

// Open returns the policy without apps: whoever can connect may do everything.
func Open() *Policy {
	return &Policy{anybody: newRated(App{Name: Anybody, Accounts: []string{EveryAccount}, Grants: Grants()})}
}

// IsOpen reports whether it is [Open].
func (p *Policy) IsOpen() bool { return p.anybody != nil }

// NewPolicy returns the policy for these apps. Each has a name of its own, and
// no two an identity in common. Kubernetes verifies ServiceAccount tokens; nil
// lets none in.
func NewPolicy(apps []App, kubernetes *Kubernetes) (*Policy, error) {
	p := &Policy{apps: make(map[Identity]*rated), names: make(map[string]bool), kubernetes: kubernetes}
	for _, app := range apps {
		if p.names[app.Name] {
			return nil, fmt.Errorf("there are two apps of the name %s", app.Name)
		}
		p.names[app.Name] = true
		known := newRated(app)
		for _, id := range app.Identities {
			if other, ok := p.apps[id]; ok {
				return nil, fmt.Errorf("the apps %s and %s have the identity %s in common", other.Name, app.Name, id)
			}
			p.apps[id] = known
		}
	}
	return p, nil
}

// Succeed lets the policy begin with what old knows of the same cluster: while
// its keys cannot be read, a new configuration should lock nobody out.
func (p *Policy) Succeed(old *Policy, now time.Time) {
	if p.kubernetes != nil && old.kubernetes != nil && p.kubernetes.issuer == old.kubernetes.issuer && p.kubernetes.from == old.kubernetes.from {
		p.kubernetes.keys.inherit(old.kubernetes.keys, now)
	}
}

// Check reads what the policy needs, and says why some callers could not be
// verified now: the keys of the cluster cannot be read. It may take seconds.
func (p *Policy) Check(ctx context.Context, now time.Time) error {
	if p.kubernetes == nil {
		return nil
	}
	return p.kubernetes.keys.check(ctx, now)
}

// Apps returns how many apps there are.
func (p *Policy) Apps() int { return len(p.names) }

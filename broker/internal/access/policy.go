package access

import (
	"context"
	"fmt"
	"time"
)

// Policy is who may do what. It never changes: [Control.Use] replaces it.
type Policy struct {
	apps       map[Identity]*App
	count      int  // of apps
	anybody    *App // without apps: whoever can connect
	kubernetes *Kubernetes
}

// Anybody is the app that everyone is under [Open].
const Anybody = "anybody"

// Open returns the policy without apps: whoever can connect may do everything.
func Open() *Policy {
	return &Policy{anybody: rated(App{Name: Anybody, Accounts: []string{EveryAccount}, Grants: Grants()})}
}

// IsOpen reports whether it is [Open].
func (p *Policy) IsOpen() bool { return p.anybody != nil }

// NewPolicy returns the policy for these apps. Each has a name of its own, and
// no two an identity in common. Kubernetes verifies ServiceAccount tokens; nil
// lets none in.
func NewPolicy(apps []App, kubernetes *Kubernetes) (*Policy, error) {
	if found := Conflicts(apps); len(found) > 0 {
		return nil, fmt.Errorf("the app %s: %s", apps[found[0].App].Name, found[0])
	}
	p := &Policy{apps: make(map[Identity]*App), count: len(apps), kubernetes: kubernetes}
	for _, app := range apps {
		known := rated(app)
		for _, id := range app.Identities {
			p.apps[id] = known
		}
	}
	return p, nil
}

// Conflict is what an app has that an app before it, or it itself, has already.
type Conflict struct {
	App      int    // the index of the later one
	Identity int    // the index of its identity, -1 for its name
	text     string // what is in conflict
}

// String says what is wrong.
func (c Conflict) String() string { return c.text }

// Conflicts returns where two apps have a name or an identity in common.
func Conflicts(apps []App) []Conflict {
	var found []Conflict
	names, owners := make(map[string]bool), make(map[Identity]string)
	for i, app := range apps {
		if app.Name != "" && names[app.Name] {
			found = append(found, Conflict{i, -1, app.Name + " is there twice"})
		}
		names[app.Name] = true
		for j, id := range app.Identities {
			if owner, ok := owners[id]; ok {
				found = append(found, Conflict{i, j, fmt.Sprintf("%s is the app %s already: an identity names one app", id, owner)})
			}
			owners[id] = app.Name
		}
	}
	return found
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
func (p *Policy) Apps() int { return p.count }

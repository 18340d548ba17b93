package access

import (
	"context"
	"fmt"
	"time"

	"github.com/wxbroker/wxbroker/pkg/credential"
)

// Policy says who may do what. It never changes: [Control.Use] replaces it.
type Policy struct {
	apps       map[Identity]*App
	count      int  // of apps
	anybody    *App // the app of every caller in a policy without apps, else nil
	kubernetes *Kubernetes
}

// Anybody is the app that everyone is under [Open].
const Anybody = "anybody"

// Open returns the policy without apps. Under it every caller that can connect may do
// everything.
func Open() *Policy {
	return &Policy{anybody: withLimits(App{Name: Anybody, Accounts: []string{EveryAccount}, Grants: credential.Grants()})}
}

// IsOpen reports whether the policy was made by [Open].
func (p *Policy) IsOpen() bool { return p.anybody != nil }

// NewPolicy returns the policy for these apps. No two may have a name or an identity in
// common. kubernetes verifies ServiceAccount tokens. If it is nil, no such token is
// accepted.
func NewPolicy(apps []App, kubernetes *Kubernetes) (*Policy, error) {
	if found := Conflicts(apps); len(found) > 0 {
		return nil, fmt.Errorf("the app %s: %s", apps[found[0].App].Name, found[0])
	}
	p := &Policy{apps: make(map[Identity]*App), count: len(apps), kubernetes: kubernetes}
	for _, app := range apps {
		known := withLimits(app)
		for _, id := range app.Identities {
			p.apps[id] = known
		}
	}
	return p, nil
}

// Conflict is a name or an identity of an app that an earlier app has already, or that
// the app itself has twice.
type Conflict struct {
	App      int    // the index of the later app
	Identity int    // the index of its identity, -1 for its name
	text     string // the description of the conflict
}

// String describes the conflict.
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

// Succeed gives the policy the keys that old has of the same cluster. So a new
// configuration does not lock callers out while the keys cannot be read.
func (p *Policy) Succeed(old *Policy, now time.Time) {
	if p.kubernetes != nil && old.kubernetes != nil && p.kubernetes.issuer == old.kubernetes.issuer && p.kubernetes.from == old.kubernetes.from {
		p.kubernetes.keys.inherit(old.kubernetes.keys, now)
	}
}

// Check reads the cluster's keys, if the policy needs them. The error says why they
// cannot be read. Then some callers cannot be verified now. Check may take seconds.
func (p *Policy) Check(ctx context.Context, now time.Time) error {
	if p.kubernetes == nil {
		return nil
	}
	return p.kubernetes.keys.check(ctx, now)
}

// Apps returns how many apps there are.
func (p *Policy) Apps() int { return p.count }

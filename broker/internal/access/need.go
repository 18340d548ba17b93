package access

import (
	"slices"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/wxbroker/wxbroker/pkg/credential"
)

// Need is what a method takes of the app that calls it.
type Need struct {
	Action string             // the method's name in the audit
	Grants []credential.Grant // the app needs one of them; if there are none, every app may call
	Counts bool               // a call counts against the app's calls a second
}

// Needs are the needs of a service's methods, by the method's full name.
type Needs map[string]Need

// Admit admits an app, and counts its call if Counts is set. The error is the status
// PERMISSION_DENIED or RESOURCE_EXHAUSTED.
func (n Need) Admit(a *App) error {
	if len(n.Grants) > 0 && !slices.ContainsFunc(n.Grants, a.Has) {
		return status.Errorf(codes.PermissionDenied, "the app %s has not been granted %s", a.Name, n.grants())
	}
	if n.Counts {
		return a.Spend()
	}
	return nil
}

// grants names the grants of which one is enough.
func (n Need) grants() string {
	var names []string
	for _, g := range n.Grants {
		names = append(names, string(g))
	}
	return strings.Join(names, " or ")
}

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
	Action string             // as the audit calls it
	Grants []credential.Grant // one of them is enough; none: to be an app is enough
	Counts bool               // against the app's calls a second
}

// Needs are those of a service's methods, by the method's full name.
type Needs map[string]Need

// Admit lets an app in, and counts its call where that is needed. The error is the
// status PERMISSION_DENIED or RESOURCE_EXHAUSTED.
func (n Need) Admit(a *App) error {
	if len(n.Grants) > 0 && !slices.ContainsFunc(n.Grants, a.Has) {
		return status.Errorf(codes.PermissionDenied, "the app %s has not been granted %s", a.Name, n.grants())
	}
	if n.Counts {
		return a.Spend()
	}
	return nil
}

// grants names the grants that would do.
func (n Need) grants() string {
	var names []string
	for _, g := range n.Grants {
		names = append(names, string(g))
	}
	return strings.Join(names, " or ")
}

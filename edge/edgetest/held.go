package edgetest

import "github.com/wxbroker/wxbroker/pkg/credential"

// Held returns what the edge holds, values that have expired included.
func (e *Edge) Held() []credential.Account { return e.app.Held() }

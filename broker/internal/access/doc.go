// Package access decides who may do what. Whoever calls the broker proves an
// [Identity]. The [Policy] is made from the configuration. It says which app has
// that identity and what the app was granted. Everything else is denied.
//
// A caller that presents a bearer token is judged by the token alone. If it has a
// client certificate too, that only secures the connection. A token is one that
// [NewToken] made, of which the policy knows the SHA-256, or a Kubernetes
// ServiceAccount token for the audience wxbroker. Without a token the names in the
// verified certificate count.
//
// A change of the policy does not touch what a caller has proven. What is granted
// may change at any time: [Control.App] looks it up anew each time it is asked.
package access

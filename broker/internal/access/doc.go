// Package access decides who may do what. Every caller of the broker proves an
// [Identity]. The [Policy] is made from the configuration. It says which app has
// that identity and what the app was granted. Everything else is denied.
//
// A caller that presents a bearer token is judged by the token alone. If it has a
// client certificate too, that only secures the connection. There are two kinds of
// tokens: tokens that [NewToken] made, of which the policy knows the SHA-256, and
// Kubernetes ServiceAccount tokens for the audience wxbroker. Without a token the
// names in the verified certificate count.
//
// The rule to keep: ask for grants each time that they matter. A change of the policy
// does not change what a caller has proven, but grants may change at any time.
// [Control.App] looks them up each time that it is called.
package access

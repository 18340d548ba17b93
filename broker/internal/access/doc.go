// Package access decides who may do what. Whoever calls the broker proves an
// [Identity]; the [Policy], made from the configuration, says which app has that
// identity and what the app was granted; everything else is denied.
//
// A caller that presents a bearer token is judged by it alone, and its client
// certificate, if there is one, then only secures the connection. A token is
// one that [NewToken] made and of which the policy knows the SHA-256, or a
// Kubernetes ServiceAccount token for the audience wxbroker. Without a token the
// names in the verified certificate count.
//
// What was proven outlives a change of the policy, what is granted does not:
// [Control.App] looks it up anew each time it is asked.
package access

// Package sdk tests that WeChat SDKs which are not ours work through an edge,
// unchanged but for the host that they are pointed at. `make sdk` installs them
// beside this file and runs it.
package sdk

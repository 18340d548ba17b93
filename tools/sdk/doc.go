// Package sdk tests that other people's SDKs for WeChat work through an edge. Nothing of
// them is changed but the host that they call. `make sdk` installs them beside this file
// and runs the tests.
package sdk

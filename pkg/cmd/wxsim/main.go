// Command wxsim is a simulated WeChat to develop and test against: see
// [github.com/wxbroker/wxbroker/pkg/wechatsim] for what it simulates.
package main

import (
	"os"

	"github.com/wxbroker/wxbroker/pkg/cmd/wxsim/internal/daemon"
)

var version = "dev" // set by -ldflags "-X main.version=…"

func main() {
	os.Exit(daemon.Main(version, os.Args[1:], os.Stdout, os.Stderr))
}

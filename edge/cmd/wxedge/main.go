// Command wxedge signs JS-SDK pages with the tickets that a broker streams to
// it. See its --help.
package main

import (
	"os"

	"github.com/wxbroker/wxbroker/edge/internal/app"
)

// version is set by the linker.
var version string

func main() { os.Exit(app.Main(version, os.Args[1:], os.Stdout, os.Stderr)) }

// Command wxbroker owns the credentials of WeChat Official Accounts and
// streams them to edges. See its --help.
package main

import (
	"os"

	"github.com/wxbroker/wxbroker/broker/internal/app"
)

// version is set by the linker.
var version string

func main() { os.Exit(app.Main(version, os.Args[1:], os.Stdout, os.Stderr)) }

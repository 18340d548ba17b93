// Package programs builds wxbroker, wxedge and wxsim for tests that run them as processes.
package programs

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// Run runs a package's tests, and returns the exit code for its TestMain. Meanwhile the
// programs lie in a directory, and bin has its path. The package is one level below tools.
func Run(m *testing.M, bin *string) int {
	dir, err := os.MkdirTemp("", "wxbroker-programs-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(dir) }()
	*bin = dir
	build := exec.CommandContext(context.Background(), "go", "build", "-o", dir+string(filepath.Separator), //nolint:gosec // a directory of ours
		"../../broker/cmd/wxbroker", "../../edge/cmd/wxedge", "../../pkg/cmd/wxsim")
	build.Stdout, build.Stderr = os.Stderr, os.Stderr
	if err := build.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "building the programs:", err)
		return 1
	}
	return m.Run()
}

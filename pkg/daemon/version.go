package daemon

import "runtime/debug"

// Version returns linked, the version that the linker was given. If that is empty, it
// returns what the Go toolchain knows of the main module: a tag, a pseudo-version, or
// a revision.
func Version(linked string) string {
	if linked != "" {
		return linked
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	if v := info.Main.Version; v != "" && v != "(devel)" {
		return v
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			return "devel-" + s.Value[:min(12, len(s.Value))]
		}
	}
	return "devel"
}

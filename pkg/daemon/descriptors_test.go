package daemon

import (
	"strings"
	"testing"
)

func TestFitConnections(t *testing.T) {
	for _, tt := range []struct {
		name                 string
		maximum, files, want int
		warned               bool
	}{
		{"the edge's default on a small system", 1000, 1024, 724, true},
		{"the edge's default", 1000, 1300, 1000, false},
		{"the broker's default", 10_000, 20_000, 10_000, false},
		{"the broker's default on a small system", 10_000, 4096, 3796, true},
		{"hardly any files", 1000, 256, 64, true},
		{"no files at all", 1000, 0, 1, true},
	} {
		fit, warning := fitConnections(tt.maximum, tt.files)
		if fit != tt.want || (warning != "") != tt.warned || tt.warned && !strings.Contains(warning, "LimitNOFILE") {
			t.Errorf("%s: %d connections, %q", tt.name, fit, warning)
		}
	}
}

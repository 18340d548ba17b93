package logtest_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/wxbroker/wxbroker/pkg/logtest"
)

func TestLog(t *testing.T) {
	var log logtest.Log
	takes := func(want ...string) {
		t.Helper()
		lines := log.Take()
		if !slices.EqualFunc(lines, want, strings.HasSuffix) {
			t.Errorf("took %q, want lines that end with %q", lines, want)
		}
	}
	takes()
	log.Logger().Info("one", "n", 1)
	log.Logger().Warn("two")
	takes("msg=one n=1", "msg=two")
	takes()
	log.Logger().Info("three")
	takes("msg=three")
	if all := log.String(); strings.Count(all, "\n") != 3 || !strings.Contains(all, "msg=one n=1\n") {
		t.Errorf("the whole log is %q", all)
	}
}

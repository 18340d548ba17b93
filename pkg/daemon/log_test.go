package daemon_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/wxbroker/wxbroker/pkg/daemon"
)

func TestLogFlags(t *testing.T) {
	levels := []slog.Level{slog.LevelDebug, slog.LevelInfo, slog.LevelWarn, slog.LevelError}
	for i, level := range []string{"debug", "info", "warn", "error"} {
		for _, format := range []string{"text", "json"} {
			t.Run(level+" "+format, func(t *testing.T) {
				var out bytes.Buffer
				flags := daemon.LogFlags{LogLevel: level, LogFormat: format}
				err := flags.Serve(daemon.Running{Program: "wxtest", Stderr: &out}, func(log *slog.Logger, _ prometheus.Collector) error {
					for _, l := range levels {
						log.Log(t.Context(), l, "said", "at", l.String())
					}
					return nil
				})
				if err != nil {
					t.Error(err)
				}
				lines := strings.Split(strings.TrimSpace(out.String()), "\n")
				if want := len(levels) - i; len(lines) != want {
					t.Fatalf("got %d lines, want %d:\n%s", len(lines), want, &out)
				}
				for _, line := range lines {
					if json.Valid([]byte(line)) != (format == "json") {
						t.Errorf("not %s: %s", format, line)
					}
				}
				if !strings.Contains(lines[0], "said") || !strings.Contains(lines[0], levels[i].String()) {
					t.Errorf("the first line is %s", lines[0])
				}
			})
		}
	}
}

// TestFailureIsTheLastLine: it is in the format of the other lines, and is logged once.
func TestFailureIsTheLastLine(t *testing.T) {
	for _, tt := range []struct {
		name string
		args []string
		env  string
		code int
		want []string // of each line, what is in it
	}{
		{"text", []string{"serve"}, "", 1, []string{"level=INFO msg=begins", "wxtest: the first thing\n", "the second thing\n"}},
		{"json", []string{"serve", "--log-format=json"}, "", 1, []string{`"msg":"begins"`, `"level":"ERROR","msg":"the command failed","error":"the first thing\nthe second thing"`}},
		{"json by the environment", []string{"serve"}, "json", 1, []string{`"msg":"begins"`, `"error":"the first thing`}},
		{"json by the environment, with a line end", []string{"serve"}, "json\n", 1, []string{`"msg":"begins"`, `"error":"the first thing`}},
		{"nothing in the environment", []string{"serve"}, " ", 1, []string{"level=INFO msg=begins", "wxtest: the first thing\n", "the second thing\n"}},
		{"a wrong flag, text", []string{"serve", "--colour"}, "", 2, []string{"wxtest: unknown flag --colour; see wxtest --help\n"}},
		{"a wrong flag, json", []string{"serve", "--colour", "--log-format", "json"}, "", 2, []string{`"error":"unknown flag --colour; see wxtest --help"`}},
		{"a wrong flag, json by the environment", []string{"serve", "--colour"}, "json", 2, []string{`"error":"unknown flag --colour; see wxtest --help"`}},
		{"a wrong flag, text over the environment", []string{"serve", "--colour", "--log-format", "text"}, "json", 2, []string{"wxtest: unknown flag"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.env != "" {
				t.Setenv("WXTEST_LOG_FORMAT", tt.env)
			}
			var out bytes.Buffer
			program := daemon.Program{Name: "wxtest", Env: "WXTEST"}
			if code := program.Main(&struct {
				Serve failingCommand `cmd:""`
			}{}, tt.args, &out, &out); code != tt.code {
				t.Errorf("exit code %d, want %d", code, tt.code)
			}
			lines := strings.SplitAfter(strings.TrimSuffix(out.String(), "\n"), "\n")
			if len(lines) != len(tt.want) {
				t.Fatalf("wrote %q", lines)
			}
			for i, want := range tt.want {
				if !strings.Contains(lines[i]+"\n", want) {
					t.Errorf("line %d is %q, want %q", i+1, lines[i], want)
				}
			}
		})
	}
}

// failingCommand is a command that logs a line and fails.
type failingCommand struct{ daemon.LogFlags }

func (f failingCommand) Run(r daemon.Running) error {
	return f.Serve(r, func(log *slog.Logger, _ prometheus.Collector) error {
		log.Info("begins")
		return errors.Join(errors.New("the first thing"), errors.New("the second thing"))
	})
}

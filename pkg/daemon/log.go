package daemon

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"slices"
	"syscall"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/wxbroker/wxbroker/pkg/logqueue"
)

// LogFlags are the flags for logging.
type LogFlags struct {
	LogLevel  string `default:"info" env:"${env}_LOG_LEVEL" enum:"debug,info,warn,error" help:"Least severity that is logged: ${enum} (${default})." placeholder:"LEVEL"`
	LogFormat string `default:"text" env:"${env}_LOG_FORMAT" enum:"text,json" help:"Form of log lines: ${enum} (${default})." placeholder:"FORMAT"`
}

// Serve runs serve with a log that never holds it up, and with the metrics of that
// log. If serve fails, the last line says why, in the format of the other lines. In
// text it is written for a person at a terminal.
func (f LogFlags) Serve(r Running, serve func(log *slog.Logger, metrics prometheus.Collector) error) error {
	// When the log's reader is gone its lines are lost. That is no reason to die.
	signal.Ignore(syscall.SIGPIPE)
	queue := logqueue.New(r.Program, r.Stderr)
	defer queue.Close()
	log := queue.Logger(f.handler)
	err := serve(log, queue)
	switch {
	case err == nil:
		return nil
	case f.LogFormat == jsonFormat:
		log.Error(failed, "error", err)
	default:
		fmt.Fprintf(queue, "%s: %v\n", r.Program, err)
	}
	return toldError{err}
}

const (
	jsonFormat = "json"
	failed     = "the command failed"
)

// toldError is an error of a command that is in the log already.
type toldError struct{ error }

func (t toldError) Unwrap() error { return t.error }

func (f LogFlags) handler(w io.Writer) slog.Handler {
	levels := map[string]slog.Level{"debug": slog.LevelDebug, "warn": slog.LevelWarn, "error": slog.LevelError}
	options := &slog.HandlerOptions{Level: levels[f.LogLevel]} // info is the zero level
	if f.LogFormat == jsonFormat {
		return slog.NewJSONHandler(w, options)
	}
	return slog.NewTextHandler(w, options)
}

// wantsJSON reports whether a command line that could not be parsed asks for log
// lines in JSON.
func (p Program) wantsJSON(args []string) bool {
	flag := "--log-format"
	if i := slices.Index(args, flag); i >= 0 && i+1 < len(args) {
		return args[i+1] == jsonFormat
	}
	return slices.Contains(args, flag+"="+jsonFormat) || os.Getenv(p.Env+"_LOG_FORMAT") == jsonFormat
}

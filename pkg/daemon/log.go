package daemon

import (
	"io"
	"log/slog"
)

// LogFlags are the command line's say in logging.
type LogFlags struct {
	LogLevel  string `default:"info" env:"${env}_LOG_LEVEL" enum:"debug,info,warn,error" help:"Least severity that is logged: ${enum} (${default})." placeholder:"LEVEL"`
	LogFormat string `default:"text" env:"${env}_LOG_FORMAT" enum:"text,json" help:"Form of log lines: ${enum} (${default})." placeholder:"FORMAT"`
}

// Logger returns a logger that writes to w as the flags say.
func (f LogFlags) Logger(w io.Writer) *slog.Logger {
	levels := map[string]slog.Level{"debug": slog.LevelDebug, "warn": slog.LevelWarn, "error": slog.LevelError}
	options := &slog.HandlerOptions{Level: levels[f.LogLevel]} // info is the zero level
	if f.LogFormat == "json" {
		return slog.New(slog.NewJSONHandler(w, options))
	}
	return slog.New(slog.NewTextHandler(w, options))
}

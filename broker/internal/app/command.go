package app

import (
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/wxbroker/wxbroker/broker/internal/config"
	"github.com/wxbroker/wxbroker/pkg/daemon"
)

// commandLine is what wxbroker understands.
type commandLine struct {
	Version kong.VersionFlag `help:"Print the version and exit."`
	Serve   serveCommand     `cmd:"" help:"Keep the credentials of the configured accounts and stream them to edges."`
	Status  statusCommand    `cmd:"" help:"Show how a running broker is, and what needs a person."`
	Quota   quotaCommand     `cmd:"" help:"Show today's calls by the broker's count and by WeChat's, or clear them at WeChat."`
	Refresh refreshCommand   `cmd:"" help:"Ask WeChat for an account's credentials now, or make it replace the access_token."`
	Token   tokenCommand     `cmd:"" help:"Make tokens by which apps prove who they are."`
}

const description = `The broker owns the credentials of WeChat Official Accounts: it fetches each
access_token and ticket on schedule, keeps them across restarts, and streams
them to edges, which sign JS-SDK pages.`

// Main runs wxbroker with its arguments and returns the process's exit code.
func Main(version string, args []string, stdout, stderr io.Writer) int {
	program := daemon.Program{Name: "wxbroker", Description: description, Env: "WXBROKER", Version: daemon.Version(version)}
	return program.Main(new(commandLine), args, stdout, stderr)
}

type serveCommand struct {
	Config string `required:"" env:"WXBROKER_CONFIG" type:"path" placeholder:"FILE" help:"Configuration file, YAML: see docs/configuration.md."`
	daemon.LogFlags
}

// Run serves until the process is told to stop.
func (c serveCommand) Run(r daemon.Running) error {
	return c.Serve(r, func(log *slog.Logger, logMetrics prometheus.Collector) error {
		return c.serve(r, log, logMetrics)
	})
}

func (c serveCommand) serve(r daemon.Running, log *slog.Logger, logMetrics prometheus.Collector) error {
	// From the start on, because without this the signal would end the process.
	told := make(chan os.Signal, 1)
	signal.Notify(told, syscall.SIGHUP)
	defer signal.Stop(told)
	read, err := config.File(c.Config).Read(r.Context)
	if err != nil {
		return err
	}
	loaded, err := config.Parse(r.Context, c.Config, read)
	if err != nil {
		return err
	}
	a, err := New(r.Context, loaded, Options{
		Version: r.Version, Log: log, Collectors: []prometheus.Collector{logMetrics},
		Follow: &Followed{Path: c.Config, Loaded: read.Fingerprint, Told: told},
	})
	if err != nil {
		return err
	}
	return a.Run(r.Context)
}

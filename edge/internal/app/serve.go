package app

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/wxbroker/wxbroker/edge/internal/localkey"
	"github.com/wxbroker/wxbroker/pkg/credential"
	"github.com/wxbroker/wxbroker/pkg/daemon"
	"github.com/wxbroker/wxbroker/pkg/uplink"
)

type serveCommand struct {
	Broker string `required:"" env:"WXEDGE_BROKER" placeholder:"HOST:PORT" help:"The broker's gRPC address, or unix:/path. On another machine it has to speak TLS."`
	listenFlags
	AppID        []string `name:"appid" env:"WXEDGE_APPID" placeholder:"ID" help:"Account to serve. For several, repeat it or put commas between them. Without it, every account that the broker grants."`
	Name         string   `env:"WXEDGE_NAME" placeholder:"NAME" help:"What the broker's operator sees this edge as. The host's name if not given."`
	LocalKeyFile string   `default:"" env:"WXEDGE_LOCAL_KEY_FILE" type:"path" placeholder:"FILE" help:"File with a key, or lines of 'name key', that unlock what hands out credentials and what calls WeChat: /token, /ticket, the other paths of /v1 and WeChat's own. Without it they are refused."`
	uplink.Flags
	daemon.LogFlags
}

// Run serves until the process is told to stop.
func (c serveCommand) Run(r daemon.Running) error {
	return c.Serve(r, func(log *slog.Logger, logMetrics prometheus.Collector) error {
		defer ignoreHangups(log)()
		config, err := c.configure(r.Context, r.Version, log)
		if err != nil {
			return err
		}
		config.Collectors = append(config.Collectors, logMetrics)
		if err := c.listen(r.Context, &config); err != nil {
			return err
		}
		edge, err := New(config)
		if err != nil {
			return errors.Join(err, config.Listen.Close(), config.Ops.Close())
		}
		return edge.Run(r.Context)
	})
}

// ignoreHangups keeps SIGHUP from ending the process. It logs that the signal changes
// nothing, because every file is followed.
func ignoreHangups(log *slog.Logger) (stop func()) {
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	go func() {
		for range hangups {
			log.Info("SIGHUP: nothing to do, an edge notices by itself when its files change")
		}
	}()
	return func() {
		signal.Stop(hangups)
		close(hangups)
	}
}

// configure turns the flags into a Config without its listeners.
func (c serveCommand) configure(ctx context.Context, version string, log *slog.Logger) (Config, error) {
	appids, err := readAppIDs(c.AppID)
	if err != nil {
		return Config{}, err
	}
	config := Config{
		Broker: c.Broker, AppIDs: appids, Name: c.Name, Version: version,
		Log: log, Clock: credential.WallClock,
	}
	link, err := c.Open(ctx, c.Broker)
	if err != nil {
		return Config{}, err
	}
	for _, warning := range link.Warnings() {
		config.Log.Warn("the connection to the broker needs attention", "broker", c.Broker, "what", warning)
	}
	config.Dial, config.Follow = link.Dial(), []func(context.Context, *slog.Logger){link.Run}
	if source := link.TLS(); source != nil {
		config.BrokerTLS = true
		config.Collectors = append(config.Collectors, source.Collector(program, "broker"))
	}
	if config.Name == "" {
		// The name is only for people. Without one the broker shows the address alone.
		config.Name, _ = os.Hostname()
	}
	if c.LocalKeyFile != "" {
		keys, worldReadable, err := localkey.Load(ctx, c.LocalKeyFile)
		if err != nil {
			return Config{}, err
		}
		if worldReadable {
			config.Log.Warn("the local key file can be read by every user of this machine: chmod 600 it", "file", c.LocalKeyFile)
		}
		config.Keys, config.Follow = keys, append(config.Follow, keys.Run)
	}
	return config, nil
}

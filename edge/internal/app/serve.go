package app

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/wxbroker/wxbroker/edge/internal/localkey"
	"github.com/wxbroker/wxbroker/pkg/credential"
	"github.com/wxbroker/wxbroker/pkg/daemon"
)

type serveCommand struct {
	Broker         string   `required:"" env:"WXEDGE_BROKER" placeholder:"HOST:PORT" help:"The broker's gRPC address, or unix:/path."`
	Listen         string   `default:"127.0.0.1:7610" env:"WXEDGE_LISTEN" placeholder:"ADDR" help:"Where pages and apps ask, host:port or unix:/path; ${default} if not given."`
	OpsListen      string   `default:"127.0.0.1:7611" env:"WXEDGE_OPS_LISTEN" placeholder:"ADDR" help:"Where /healthz, /readyz and /metrics are served; ${default} if not given."`
	AppID          []string `name:"appid" env:"WXEDGE_APPID" placeholder:"ID" help:"Account to serve. For several, repeat it or put commas between them. Without it, every account that the broker grants."`
	Name           string   `env:"WXEDGE_NAME" placeholder:"NAME" help:"What the broker's operator sees this edge as. The host's name if not given."`
	LocalKeyFile   string   `env:"WXEDGE_LOCAL_KEY_FILE" type:"path" placeholder:"FILE" help:"File with a key, or lines of 'name key', that unlock /token, /ticket and /v1/report. Without it they are refused."`
	InsecureBroker bool     `env:"WXEDGE_INSECURE_BROKER" help:"Allow plain text to a broker on another machine."`
	InsecureListen bool     `env:"WXEDGE_INSECURE_LISTEN" help:"Allow --listen in plain text on an address that other machines can reach."`
	daemon.LogFlags
}

// Run serves until the process is told to stop.
func (c serveCommand) Run(r daemon.Running) error {
	config, err := c.configure(r)
	if err != nil {
		return err
	}
	if config.Listen, err = c.listen(r.Context, "--listen", c.Listen, c.InsecureListen); err != nil {
		return err
	}
	if config.Ops, err = c.listen(r.Context, "--ops-listen", c.OpsListen, true); err != nil {
		return errors.Join(err, config.Listen.Close())
	}
	edge, err := New(config)
	if err != nil {
		return errors.Join(err, config.Listen.Close(), config.Ops.Close())
	}
	return edge.Run(r.Context)
}

// configure turns the flags into a Config without its listeners.
func (c serveCommand) configure(r daemon.Running) (Config, error) {
	config := Config{
		Broker: c.Broker, AppIDs: unique(c.AppID), Name: c.Name, Version: r.Version,
		Log: c.Logger(r.Stderr), Clock: credential.WallClock,
		Dial: []grpc.DialOption{grpc.WithTransportCredentials(insecure.NewCredentials())},
	}
	address, err := daemon.ParseAddress(c.Broker)
	if err != nil {
		return Config{}, fmt.Errorf("--broker: %w", err)
	}
	if !address.IsLocal() {
		if !c.InsecureBroker {
			return Config{}, fmt.Errorf("--broker: %s is another machine, and credentials would cross the network in plain text: "+
				"use a broker on this machine, or give --insecure-broker where the network itself is protected", c.Broker)
		}
		config.Log.Warn("insecure: credentials cross the network from the broker in plain text", "broker", c.Broker)
	}
	if address, err := daemon.ParseAddress(c.Listen); err == nil && !address.IsLocal() && c.InsecureListen {
		config.Log.Warn("insecure: signatures, and credentials for whoever has a local key, cross the network in plain text", "listen", c.Listen)
	}
	if config.Name == "" {
		// Only for people: without a name the broker shows the address alone.
		config.Name, _ = os.Hostname()
	}
	if c.LocalKeyFile != "" {
		keys, worldReadable, err := localkey.Load(c.LocalKeyFile)
		if err != nil {
			return Config{}, err
		}
		if worldReadable {
			config.Log.Warn("the local key file can be read by every user of this machine: chmod 600 it", "file", c.LocalKeyFile)
		}
		config.Keys = keys
	}
	return config, nil
}

// unique returns the appids in order, each once.
func unique(appids []string) []string {
	return slices.Compact(slices.Sorted(slices.Values(appids)))
}

// listen opens the address of a flag; plaintext says whether it may be reached
// from other machines all the same.
func (c serveCommand) listen(ctx context.Context, flag, s string, plaintext bool) (net.Listener, error) {
	address, err := daemon.ParseAddress(s)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", flag, err)
	}
	if !address.IsLocal() && !plaintext {
		return nil, fmt.Errorf("%s: %s can be reached from other machines in plain text: "+
			"listen on 127.0.0.1 or unix:/path, or give --insecure-listen where the network itself is protected", flag, s)
	}
	return address.Listen(ctx)
}

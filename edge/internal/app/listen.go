package app

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"

	"github.com/wxbroker/wxbroker/pkg/daemon"
	"github.com/wxbroker/wxbroker/pkg/tlsfile"
)

// listenFlags are the command line's flags for the edge's own listeners.
type listenFlags struct {
	Listen         string `default:"127.0.0.1:7610" env:"WXEDGE_LISTEN" placeholder:"ADDR" help:"Where pages and apps ask, host:port or unix:/path; ${default} if not given."`
	ListenCertFile string `default:"" env:"WXEDGE_LISTEN_CERT_FILE" type:"path" placeholder:"FILE" help:"Certificate in PEM form, intermediates after it, for TLS 1.3, nothing older, on --listen."`
	ListenKeyFile  string `default:"" env:"WXEDGE_LISTEN_KEY_FILE" type:"path" placeholder:"FILE" help:"That certificate's private key."`
	ListenMode     string `env:"WXEDGE_LISTEN_MODE" placeholder:"MODE" help:"Permissions of the unix socket --listen, in octal, such as 0660; 0600 if not given."`
	ListenGroup    string `env:"WXEDGE_LISTEN_GROUP" placeholder:"GROUP" help:"Group of the unix socket --listen, by name or number."`
	MaxConnections int    `default:"1000" env:"WXEDGE_MAX_CONNECTIONS" placeholder:"N" help:"Connections that --listen holds open at most; ${default} if not given."`
	InsecureListen bool   `env:"WXEDGE_INSECURE_LISTEN" help:"Allow --listen in plain text on an address that other machines can reach."`
	OpsListen      string `default:"127.0.0.1:7611" env:"WXEDGE_OPS_LISTEN" placeholder:"ADDR" help:"Where /healthz, /readyz and /metrics are served; ${default} if not given."`
}

// listen opens both listeners.
func (f listenFlags) listen(ctx context.Context, config *Config) error {
	api, err := daemon.ParseAddress(f.Listen)
	if err != nil {
		return fmt.Errorf("--listen: %w", err)
	}
	ops, err := daemon.ParseAddress(f.OpsListen)
	if err != nil {
		return fmt.Errorf("--ops-listen: %w", err)
	}
	if f.MaxConnections < 1 {
		return fmt.Errorf("--max-connections: %d lets nobody in", f.MaxConnections)
	}
	secure, err := f.secure(ctx, api, config)
	if err != nil {
		return err
	}
	connections := daemon.NewConnections(program)
	config.Collectors = append(config.Collectors, connections)
	if config.Listen, err = f.open(ctx, api); err != nil {
		return err
	}
	maximum, warning := daemon.FitConnections(f.MaxConnections)
	if warning != "" {
		config.Log.Warn("--max-connections is lowered", "what", warning)
	}
	// Below TLS: a connection counts from its first packet on.
	config.Listen = secure(connections.Limit("listen", config.Listen, maximum))
	if config.Ops, err = ops.Listen(ctx); err != nil {
		return errors.Join(err, config.Listen.Close())
	}
	config.Ops = connections.Limit("ops", config.Ops, daemon.OpsConnections)
	return nil
}

// secure returns a function that puts TLS on a listener. Where plain text is allowed,
// the function leaves the listener as it is.
func (f listenFlags) secure(ctx context.Context, address daemon.Address, config *Config) (func(net.Listener) net.Listener, error) {
	wantsTLS := f.ListenCertFile != "" || f.ListenKeyFile != ""
	switch {
	case wantsTLS && f.InsecureListen:
		return nil, errors.New("--insecure-listen asks for plain text on --listen, but --listen-cert-file and --listen-key-file ask for TLS: leave out the one or the others")
	case !wantsTLS && !address.IsLocal() && !f.InsecureListen:
		return nil, fmt.Errorf("--listen: %s can be reached from other machines in plain text: listen on 127.0.0.1 or unix:/path, "+
			"give --listen-cert-file and --listen-key-file, or --insecure-listen where the network itself is protected", address)
	case !wantsTLS:
		if !address.IsLocal() {
			config.Log.Warn("insecure: signatures, and credentials for whoever has a local key, cross the network in plain text", "listen", f.Listen)
		}
		return func(l net.Listener) net.Listener { return l }, nil
	}
	source, warnings, err := tlsfile.Load(ctx, tlsfile.Files{Cert: f.ListenCertFile, Key: f.ListenKeyFile})
	if err != nil {
		return nil, fmt.Errorf("--listen: %w", err)
	}
	for _, warning := range warnings {
		config.Log.Warn("TLS on --listen needs attention", "what", warning)
	}
	server, err := source.Server("h2", "http/1.1")
	if err != nil {
		return nil, fmt.Errorf("--listen: %w", err)
	}
	config.ListenTLS = true
	config.Follow = append(config.Follow, source.Run)
	config.Collectors = append(config.Collectors, source.Collector(program, "listen"))
	return func(l net.Listener) net.Listener { return tls.NewListener(l, server) }, nil
}

// open opens --listen.
func (f listenFlags) open(ctx context.Context, address daemon.Address) (net.Listener, error) {
	socket, err := f.socket(address)
	if err != nil {
		return nil, err
	}
	listener, err := address.Listen(ctx)
	if err != nil {
		return nil, err
	}
	if err := socket.own(); err != nil {
		return nil, errors.Join(err, listener.Close())
	}
	return listener, nil
}

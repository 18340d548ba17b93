package daemon

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"
)

// listen opens host:port or unix:/path. Only loopback is allowed unless
// insecure says otherwise: everything here is plaintext, and everybody who can
// connect can control the simulator.
func listen(ctx context.Context, addr string, insecure bool) (net.Listener, error) {
	if path, found := strings.CutPrefix(addr, "unix:"); found {
		if err := removeStale(ctx, path); err != nil {
			return nil, err
		}
		return new(net.ListenConfig).Listen(ctx, "unix", path)
	}
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, fmt.Errorf("--listen: %q is neither host:port nor unix:/path: %w", addr, err)
	}
	if !insecure && !loopback(host) {
		return nil, fmt.Errorf("--listen: %q is not a loopback address; --insecure-listen allows it", addr)
	}
	return new(net.ListenConfig).Listen(ctx, "tcp", addr)
}

// loopback does not resolve names: what a name means may change between the
// check and the use.
func loopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.Unmap().IsLoopback()
}

// removeStale removes a socket that nobody listens on any more, as a killed
// process leaves it. Anything else at that path is left alone, and listening
// fails on it.
func removeStale(ctx context.Context, path string) error {
	info, err := os.Lstat(path)
	stale := err == nil && info.Mode().Type() == os.ModeSocket && refused(ctx, path)
	if !stale {
		return nil
	}
	if err := os.Remove(path); err != nil {
		return fmt.Errorf("--listen: remove stale socket: %w", err)
	}
	return nil
}

func refused(ctx context.Context, path string) bool {
	conn, err := (&net.Dialer{}).DialContext(ctx, "unix", path)
	if err == nil {
		conn.Close()
	}
	return errors.Is(err, syscall.ECONNREFUSED)
}

// shown is how a listener's address is written on our command line.
func shown(addr net.Addr) string {
	if addr.Network() == "unix" {
		return "unix:" + addr.String()
	}
	return addr.String()
}

package daemon

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
)

// Address is where to listen: `host:port` or `unix:/path`.
type Address struct {
	network string // tcp or unix
	address string
}

// ParseAddress reads `host:port`, an empty host meaning every interface and
// port 0 any free port, or `unix:/path`.
func ParseAddress(s string) (Address, error) {
	if path, ok := strings.CutPrefix(s, "unix:"); ok {
		if path == "" {
			return Address{}, fmt.Errorf("address %q is unix: without a path", s)
		}
		return Address{network: "unix", address: path}, nil
	}
	_, port, err := net.SplitHostPort(s)
	if err != nil {
		return Address{}, fmt.Errorf("address %q is neither host:port nor unix:/path", s)
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return Address{}, fmt.Errorf("address %q has a port that is not a number from 0 to 65535", s)
	}
	return Address{network: "tcp", address: s}, nil
}

// String returns the address as ParseAddress reads it.
func (a Address) String() string {
	if a.IsUnix() {
		return "unix:" + a.address
	}
	return a.address
}

// IsUnix reports whether the address is a unix socket.
func (a Address) IsUnix() bool { return a.network == "unix" }

// Path returns where a unix socket is, "" for any other address.
func (a Address) Path() string {
	if !a.IsUnix() {
		return ""
	}
	return a.address
}

// IsLocal reports whether only this machine can reach the address: a unix
// socket, a loopback address, or the name localhost.
func (a Address) IsLocal() bool {
	if a.IsUnix() {
		return true
	}
	host, _, err := net.SplitHostPort(a.address)
	return err == nil && IsLoopbackHost(host)
}

// IsLoopbackHost reports whether host, a name or an address without a port, is
// this machine. Names are not looked up: of them only localhost is.
func IsLoopbackHost(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return err == nil && ip.Unmap().IsLoopback()
}

// Listen opens the address. A unix socket that a dead process left behind is
// replaced; a socket that answers is in use. A new socket is its owner's alone; the
// caller may give others access afterwards.
func (a Address) Listen(ctx context.Context) (net.Listener, error) {
	listen := new(net.ListenConfig).Listen
	if a.IsUnix() {
		if err := a.removeStale(ctx); err != nil {
			return nil, err
		}
		listen = listenUnix
	}
	listener, err := listen(ctx, a.network, a.address)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("listening on %s: the address is in use by another program", a)
	}
	if err != nil {
		return nil, fmt.Errorf("listening on %s: %w", a, err)
	}
	return listener, nil
}

// umask is held while the process's umask is not the one that it was started with.
var umask sync.Mutex

// listenUnix makes a socket of mode 0600. It does so by the umask: with a chmod after
// the listen, anybody could connect in between. The umask is the whole process's. So a
// file that is made elsewhere at this moment is its owner's alone as well.
func listenUnix(ctx context.Context, network, path string) (net.Listener, error) {
	umask.Lock()
	defer umask.Unlock()
	defer syscall.Umask(syscall.Umask(0o177))
	return new(net.ListenConfig).Listen(ctx, network, path)
}

func (a Address) removeStale(ctx context.Context) error {
	info, err := os.Lstat(a.address)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("listening on %s: %w", a, err)
	}
	if info.Mode().Type() != fs.ModeSocket {
		return fmt.Errorf("listening on %s: there is a file that is not a socket", a)
	}
	conn, err := new(net.Dialer).DialContext(ctx, "unix", a.address)
	if err == nil {
		return errors.Join(fmt.Errorf("listening on %s: the address is in use by another program", a), conn.Close())
	}
	// Only a refusal says that nobody listens. A full backlog, missing
	// permission or an end of ctx says nothing of the kind.
	if !errors.Is(err, syscall.ECONNREFUSED) {
		return fmt.Errorf("listening on %s: cannot tell whether the socket is in use: %w", a, err)
	}
	if err := os.Remove(a.address); err != nil {
		return fmt.Errorf("removing the socket that a dead process left: %w", err)
	}
	return nil
}

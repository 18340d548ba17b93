package app

import (
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"strconv"

	"github.com/wxbroker/wxbroker/pkg/daemon"
)

// socket is a unix socket's file. A client that connects to it needs permission to write
// to the file.
type socket struct {
	path string // "" for none: nothing is to be done
	mode fs.FileMode
	gid  int // -1 for the process's own
}

// socket parses the flags for a unix socket, before the socket is made.
func (f listenFlags) socket(address daemon.Address) (socket, error) {
	s := socket{path: address.Path(), mode: 0o600, gid: -1}
	if f.ListenMode == "" && f.ListenGroup == "" {
		return s, nil
	}
	if !address.IsUnix() {
		return socket{}, fmt.Errorf("--listen-mode and --listen-group are for a unix socket, and --listen is %s", address)
	}
	if f.ListenMode != "" {
		mode, err := strconv.ParseUint(f.ListenMode, 8, 32)
		if err != nil || mode > 0o777 {
			return socket{}, fmt.Errorf("--listen-mode: %q is not permissions in octal, such as 0660", f.ListenMode)
		}
		s.mode = fs.FileMode(mode)
	}
	if f.ListenGroup != "" {
		if s.mode&0o020 == 0 {
			return socket{}, fmt.Errorf("--listen-group: with the mode %04o the group may not connect: give --listen-mode 0660 too", s.mode)
		}
		var err error
		if s.gid, err = groupID(f.ListenGroup); err != nil {
			return socket{}, fmt.Errorf("--listen-group: %w", err)
		}
	}
	return s, nil
}

// groupID returns the number of a group. The group may also be given by its number,
// since containers often have no names of groups.
func groupID(group string) (int, error) {
	if id, err := strconv.ParseUint(group, 10, 31); err == nil {
		return int(id), nil
	}
	known, err := user.LookupGroup(group)
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(known.Gid)
}

// own gives the socket the group and the mode that the flags say. The socket was made
// for its owner alone, so the group is set before the mode gives it rights.
func (s socket) own() error {
	if s.path == "" {
		return nil
	}
	if s.gid >= 0 {
		if err := os.Chown(s.path, -1, s.gid); err != nil {
			return fmt.Errorf("--listen-group: %w: this process's user has to be in the group", err)
		}
	}
	if err := os.Chmod(s.path, s.mode); err != nil {
		return fmt.Errorf("--listen-mode: %w", err)
	}
	return nil
}

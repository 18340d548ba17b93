package app

import (
	"io"

	"github.com/alecthomas/kong"

	"github.com/wxbroker/wxbroker/pkg/daemon"
)

// commandLine has the commands of wxedge.
type commandLine struct {
	Version kong.VersionFlag `help:"Print the version and exit."`
	Serve   serveCommand     `cmd:"" help:"Hold a live copy of what the broker grants, sign pages with it, and pass on calls."`
	Media   mediaCommand     `cmd:"" help:"Files that pages and apps uploaded to WeChat."`
	Sign    signCommand      `cmd:"" help:"Sign one URL with a ticket that you have, offline, and print the wx.config JSON."`
}

const description = `The edge signs JS-SDK pages with the tickets that the broker streams to it, and
has the broker make what other calls its app needs. It runs beside one app or is
shared by several, keeps everything in memory, and never calls WeChat itself.`

// program is the edge's name, on the command line and in metrics.
const program = "wxedge"

// Main runs wxedge with its arguments and returns the process's exit code.
func Main(version string, args []string, stdout, stderr io.Writer) int {
	wxedge := daemon.Program{Name: program, Description: description, Env: "WXEDGE", Version: daemon.Version(version)}
	return wxedge.Main(new(commandLine), args, stdout, stderr)
}

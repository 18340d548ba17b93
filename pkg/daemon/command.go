package daemon

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"
)

// Program is a program as its command line shows it.
type Program struct {
	Name        string
	Description string
	Env         string // prefix of its environment variables, without the underscore
	Version     string
}

// Running is what a command's Run method is given.
type Running struct {
	// Context ends when the process is told to stop.
	Context        context.Context
	Program        string // its name
	Version        string
	Stdout, Stderr io.Writer
}

// Main runs the command that args choose. line is a struct with all commands, as kong
// understands it. Main returns the process's exit code: 0, 1 when the command failed,
// 2 when args are wrong.
func (p Program) Main(line any, args []string, stdout, stderr io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := p.tidyEnvironment(); err != nil {
		fmt.Fprintf(stderr, "%s: %v\n", p.Name, err)
		return 1
	}
	exited := -1
	parser, err := kong.New(line,
		kong.Name(p.Name), kong.Description(p.Description),
		kong.Vars{"version": p.Version, "env": p.Env},
		kong.Writers(stdout, stderr),
		kong.Exit(func(code int) { exited = code }),
	)
	if err != nil {
		fmt.Fprintf(stderr, "%s: %v\n", p.Name, err)
		return 1
	}
	parsed, err := parser.Parse(args)
	if exited >= 0 { // --help and --version
		return exited
	}
	if err != nil {
		if p.wantsJSON(args) {
			slog.New(slog.NewJSONHandler(stderr, nil)).Error(failed, "error", fmt.Sprintf("%v; see %s --help", err, p.Name))
		} else {
			fmt.Fprintf(stderr, "%s: %v; see %s --help\n", p.Name, err, p.Name)
		}
		return 2
	}
	err = parsed.Run(Running{ctx, p.Name, p.Version, stdout, stderr})
	if _, isTold := errors.AsType[toldError](err); err != nil && !isTold {
		fmt.Fprintf(stderr, "%s: %v\n", p.Name, err)
	}
	if err != nil {
		return 1
	}
	return 0
}

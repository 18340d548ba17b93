// Package daemon is the wxsim process: its command line, its listener and its
// end.
package daemon

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"
	"time"

	"github.com/alecthomas/kong"

	"github.com/wxbroker/wxbroker/pkg/wechatsim"
)

// grace is what requests under way get when the process is told to stop. A hung
// call never ends by itself, so it is short.
const grace = 300 * time.Millisecond

// Main runs wxsim and returns its exit status: 0 after --help, --version or a
// signal to stop, 1 if it could not run, 2 if the command line is wrong.
func Main(version string, args []string, stdout, stderr io.Writer) int {
	var f flags
	status := -1
	parser, err := kong.New(&f,
		kong.Name("wxsim"),
		kong.Description(description),
		kong.Vars{"version": fullVersion(version)},
		kong.Writers(stdout, stderr),
		kong.ConfigureHelp(kong.HelpOptions{NoExpandSubcommands: true, WrapUpperBound: 100}),
		kong.Exit(func(code int) { status = code }),
	)
	if err != nil {
		panic(fmt.Sprintf("wxsim: command line: %v", err)) // a mistake in flags
	}
	_, err = parser.Parse(args)
	if status >= 0 {
		return status // --help or --version did all there was to do
	}
	if err != nil {
		return fail(stderr, err, 2)
	}
	config, err := f.config()
	if err != nil {
		return fail(stderr, err, 2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	l, err := listen(ctx, f.Listen, f.InsecureListen)
	if err != nil {
		return fail(stderr, err, 1)
	}
	if err := serve(ctx, l, config, slog.New(slog.NewTextHandler(stderr, nil))); err != nil {
		return fail(stderr, err, 1)
	}
	return 0
}

func fail(stderr io.Writer, err error, status int) int {
	fmt.Fprintf(stderr, "wxsim: error: %v\n", err)
	return status
}

// serve answers until ctx is done, and then ends within a second whatever the
// clients do.
func serve(ctx context.Context, l net.Listener, config wechatsim.Config, log *slog.Logger) error {
	config.OnCall = func(c wechatsim.Call) {
		log.Info("call", "path", c.API, "appid", c.AppID, "outcome", c.Outcome)
	}
	server := &http.Server{
		Handler:           wechatsim.New(config),
		ReadHeaderTimeout: 10 * time.Second,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	var appids []string
	for _, a := range config.Accounts {
		appids = append(appids, a.AppID)
	}
	log.Info("listening", "addr", shown(l.Addr()), "appids", strings.Join(appids, ","))

	select {
	case err := <-served:
		return fmt.Errorf("serve: %w", err)
	case <-ctx.Done():
	}
	log.Info("stopping")
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), grace)
	defer cancel()
	if err := server.Shutdown(grace); err != nil {
		server.Close() // what still runs hangs on purpose
	}
	if err := <-served; !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve: %w", err)
	}
	return nil
}

// fullVersion is the version the linker was told, or what the build recorded.
func fullVersion(linked string) string {
	if linked != "dev" {
		return linked
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return linked
	}
	if v := info.Main.Version; v != "" && v != "(devel)" {
		return v
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			return linked + "-" + s.Value[:min(12, len(s.Value))]
		}
	}
	return linked
}

package app

import (
	"context"
	"os"
	"sync"

	"github.com/wxbroker/wxbroker/broker/internal/config"
	"github.com/wxbroker/wxbroker/pkg/follow"
)

// configFile is what is followed of a configuration: the file itself, not the
// files that it names.
func configFile(path string) follow.Files {
	return follow.Files{What: "configuration", Paths: []string{path}, Limit: config.MaxFile}
}

// Followed is a configuration file that is read again while the broker runs.
type Followed struct {
	Path string
	// Seen is what the file held when it was loaded.
	Seen follow.Contents
	// Told has an element each time that somebody asks for it (SIGHUP).
	Told <-chan os.Signal
}

// follow reloads the configuration file until ctx ends: when its content is
// another, and when somebody says so, whether or not it is.
func (a *App) follow(ctx context.Context) {
	path, seen := a.followed.Path, a.followed.Seen
	for ctx.Err() == nil {
		following, stop := context.WithCancel(ctx)
		var running sync.WaitGroup
		running.Go(func() {
			configFile(path).Run(following, a.log, seen, func(follow.Contents) error { return a.Reload(ctx, path) })
		})
		select {
		case <-ctx.Done():
		case <-a.followed.Told:
			stop()
			running.Wait()
			seen = a.reloadNow(ctx, path)
		}
		stop()
		running.Wait()
	}
}

// reloadNow reloads the configuration for somebody who waits for it, and
// returns the content that is in use: none that is known after a failure, so
// that whatever comes next is news, be it what was there before.
func (a *App) reloadNow(ctx context.Context, path string) follow.Contents {
	next, err := configFile(path).Read()
	if err == nil {
		err = a.Reload(ctx, path)
	}
	if err != nil {
		a.log.Error("SIGHUP", "error", err)
		return follow.Contents{}
	}
	return next
}

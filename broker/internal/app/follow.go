package app

import (
	"context"
	"os"
	"sync"

	"github.com/wxbroker/wxbroker/broker/internal/config"
	"github.com/wxbroker/wxbroker/pkg/follow"
)

// Followed is a configuration file that is read again while the broker runs. Only
// the file itself is followed here, not the files that it names.
type Followed struct {
	Path string
	// Loaded is the fingerprint of what the file held when it was loaded.
	Loaded follow.Fingerprint
	// Told receives something each time that somebody asks for a reload (SIGHUP).
	Told <-chan os.Signal
}

// follow reloads the configuration file until ctx ends: when its content has
// changed, and each time that somebody asks for it, changed or not.
func (a *App) follow(ctx context.Context) {
	path, loaded := a.followed.Path, a.followed.Loaded
	for ctx.Err() == nil {
		following, stop := context.WithCancel(ctx)
		var running sync.WaitGroup
		running.Go(func() {
			config.File(path).Run(following, a.log, loaded, func(c follow.Contents) error { return a.Reload(ctx, path, c) })
		})
		select {
		case <-ctx.Done():
		case <-a.followed.Told:
			stop()
			running.Wait()
			loaded = a.reloadNow(ctx, path)
		}
		stop()
		running.Wait()
	}
}

// reloadNow reloads the configuration for somebody who waits for it, and returns the
// fingerprint of what is in use. After a failure that is the zero fingerprint: then
// any content counts as a change, even the content that was in use before.
func (a *App) reloadNow(ctx context.Context, path string) follow.Fingerprint {
	read, err := config.File(path).Read(ctx)
	if err == nil {
		err = a.Reload(ctx, path, read)
	}
	if err != nil {
		a.log.Error("SIGHUP", "error", err)
		return follow.Fingerprint{}
	}
	return read.Fingerprint
}

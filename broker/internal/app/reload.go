package app

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/wxbroker/wxbroker/broker/internal/config"
	"github.com/wxbroker/wxbroker/broker/internal/snapshot"
	"github.com/wxbroker/wxbroker/pkg/follow"
)

// currentConfig is the configuration in use.
type currentConfig struct {
	reloading sync.Mutex // one at a time

	mu      sync.Mutex
	config  config.Config
	loaded  time.Time
	failure error // of the last reload
	warned  []string
}

// state returns what operators are told.
func (c *currentConfig) state() snapshot.Configuration {
	c.mu.Lock()
	defer c.mu.Unlock()
	told := snapshot.Configuration{Loaded: c.loaded, Apps: c.config.Policy.Apps()}
	if c.failure != nil {
		told.Failure = c.failure.Error()
	}
	return told
}

// inUse returns the configuration in use.
func (c *currentConfig) inUse() config.Config {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.config
}

// Reload takes the configuration that was read from the file at path into use. It
// takes all of it or nothing: the error says why. What it revokes ends on open
// streams at once.
func (a *App) Reload(ctx context.Context, path string, read follow.Contents) error {
	a.configuration.reloading.Lock()
	defer a.configuration.reloading.Unlock()
	next, err := config.Parse(ctx, path, read)
	if err == nil {
		err = a.replace(ctx, next)
	}
	if err != nil {
		a.configuration.mu.Lock()
		defer a.configuration.mu.Unlock()
		a.configuration.failure = err
		return fmt.Errorf("reloading, the configuration in use stays: %w", err)
	}
	return nil
}

// replace puts next in the place of the configuration in use.
func (a *App) replace(ctx context.Context, next config.Config) error {
	before := a.configuration.inUse()
	if keys := before.NeedsRestart(next); len(keys) > 0 {
		return fmt.Errorf("%s cannot change while the broker runs: restart it, or take that back", strings.Join(keys, ", "))
	}
	next.Policy.Succeed(before.Policy, a.clock())
	a.access.Use(next.Policy)
	a.states.Renew() // before the accounts, so that what is revoked ends now
	a.accounts.apply(next.Accounts)
	a.use(ctx, next)
	a.log.Info("the configuration has changed", "accounts", len(next.Accounts), "apps", next.Policy.Apps())
	return nil
}

// use notes that c is in use. It logs the warnings about c that the configuration
// before did not have.
func (a *App) use(ctx context.Context, c config.Config) {
	a.configuration.mu.Lock()
	defer a.configuration.mu.Unlock()
	now := a.clock()
	a.configuration.config, a.configuration.loaded, a.configuration.failure = c, now, nil
	warnings := c.Warnings
	if c.Policy.IsOpen() {
		warnings = append(warnings, fmt.Sprintf("the configuration has no apps: whoever can connect to %s may do everything", c.GRPC))
	}
	if c.Insecure && !c.GRPC.IsLocal() {
		warnings = append(warnings, fmt.Sprintf("insecure: credentials, and the tokens of apps, cross the network to %s in plain text", c.GRPC))
	}
	for _, w := range warnings {
		if !slices.Contains(a.configuration.warned, w) {
			a.log.Warn("configuration", "warning", w)
		}
	}
	a.configuration.warned = warnings
	// This may take seconds, so nobody waits for it.
	go func() {
		if err := c.Policy.Check(context.WithoutCancel(ctx), now); err != nil {
			a.log.Warn("Kubernetes tokens cannot be verified yet", "error", err)
		}
	}()
}

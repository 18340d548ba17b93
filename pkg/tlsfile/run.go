package tlsfile

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/wxbroker/wxbroker/pkg/follow"
)

// validityCheck is how often Run compares the certificates' times with the clock.
const validityCheck = time.Minute

// Run follows the files until ctx ends. Run must not run twice at the same time.
func (s *Source) Run(ctx context.Context, log *slog.Logger) {
	var following sync.WaitGroup
	defer following.Wait()
	following.Go(func() {
		s.files.group().Run(ctx, log, s.current.Load().read, func(c follow.Contents) error {
			m, err := s.files.parse(c)
			if err != nil {
				return err
			}
			if m.read == s.current.Load().read {
				return nil // back to the content in use, after content that could not be used
			}
			log.Info("the TLS files have changed, using the new ones from now on", m.attributes()...)
			s.current.Store(m)
			s.warn(log)
			return nil
		})
	})
	ticker := time.NewTicker(validityCheck)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			s.warn(log)
		}
	}
}

// warn logs the warnings that are new.
func (s *Source) warn(log *slog.Logger) {
	s.mu.Lock()
	defer s.mu.Unlock()
	warnings := s.current.Load().warnings(s.files, time.Now())
	for _, w := range warnings {
		if !slices.Contains(s.warned, w) {
			log.Warn("TLS needs attention", "what", w)
		}
	}
	s.warned = warnings
}

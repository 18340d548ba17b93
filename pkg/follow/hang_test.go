package follow

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// These tests have no file system that hangs. They replace the reading alone.
func TestAFileSystemThatHangs(t *testing.T) {
	for _, tt := range []struct {
		name  string
		leave time.Duration // when the caller's context ends
		takes time.Duration
		says  error
	}{
		{"for ever", time.Hour, readTimeout, errHangs},
		{"until the caller leaves", time.Second, time.Second, context.DeadlineExceeded},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				begun, release := 0, make(chan struct{})
				hang := func() (File, error) {
					begun++
					<-release
					return File{Bytes: []byte("late")}, nil
				}
				ctx, cancel := context.WithTimeout(t.Context(), tt.leave)
				defer cancel()
				start := time.Now()
				if _, err := within(ctx, "file", hang); !errors.Is(err, tt.says) || time.Since(start) != tt.takes {
					t.Errorf("%v after %v, want %v after %v", err, time.Since(start), tt.says, tt.takes)
				}
				for range 10 { // further attempts hold no second thread
					if _, err := within(t.Context(), "file", hang); !errors.Is(err, errHangs) {
						t.Errorf("again: %v", err)
					}
				}
				synctest.Wait()
				if begun != 1 {
					t.Errorf("%d readings were begun", begun)
				}
				good := func() (File, error) { return File{Bytes: []byte("good")}, nil }
				if file, err := within(t.Context(), "other", good); err != nil || string(file.Bytes) != "good" {
					t.Errorf("another file: %q, %v", file.Bytes, err)
				}
				close(release)
				synctest.Wait()
				if file, err := within(t.Context(), "file", good); err != nil || string(file.Bytes) != "good" {
					t.Errorf("once it answers again: %q, %v", file.Bytes, err)
				}
			})
		})
	}
}

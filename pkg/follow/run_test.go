package follow_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wxbroker/wxbroker/pkg/follow"
	"github.com/wxbroker/wxbroker/pkg/logtest"
)

// world is Run in a bubble, with two files that hold "1" at the start.
type world struct {
	t             *testing.T
	first, second string // paths
	stop          context.CancelFunc
	ended         chan struct{}
	log           logtest.Log

	mu      sync.Mutex
	refuses func(string) error // the error of use for a content
	asked   int                // how often use was called
	used    []string           // contents that use accepted, as "first second"
}

func inBubble(t *testing.T, test func(*testing.T, *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		w := &world{
			t: t, first: filepath.Join(dir, "first"), second: filepath.Join(dir, "second"),
			ended: make(chan struct{}), refuses: func(string) error { return nil },
		}
		write(t, w.first, "1")
		write(t, w.second, "1")
		files := follow.Group{What: "things", Paths: []string{w.first, "", w.second}, Limit: 100}
		inUse := read(t, files).Fingerprint
		ctx, stop := context.WithCancel(t.Context())
		w.stop = stop
		go func() {
			defer close(w.ended)
			files.Run(ctx, w.log.Logger(), inUse, w.use)
		}()
		t.Cleanup(func() { stop(); <-w.ended })
		test(t, w)
	})
}

func (w *world) use(c follow.Contents) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.asked++
	content := string(c.Files[0].Bytes) + " " + string(c.Files[2].Bytes)
	if err := w.refuses(content); err != nil {
		return err
	}
	w.used = append(w.used, content)
	return nil
}

// refuse changes what use refuses.
func (w *world) refuse(f func(string) error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.refuses = f
}

// pass lets time pass, and waits until everything that was due has happened.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// settled is long enough for a change to be in use: two looks and a bit.
const settled = 5 * time.Second

// takes checks which contents were taken into use since the last call.
func (w *world) takes(want ...string) {
	w.t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	if !slices.Equal(w.used, want) {
		w.t.Errorf("took %q, want %q", w.used, want)
	}
	w.used = nil
}

// says checks the lines that were logged since the last call: their number, and that
// each contains its words.
func (w *world) says(want ...string) {
	w.t.Helper()
	lines := w.log.Take()
	if len(lines) != len(want) {
		w.t.Errorf("logged %q, want %q", lines, want)
		return
	}
	for i, words := range want {
		if !strings.Contains(lines[i], words) || !strings.Contains(lines[i], "files=things") {
			w.t.Errorf("logged %q, want %q", lines[i], words)
		}
	}
}

// Two looks in a row have to find the same content, so that half of a change is not
// taken for the whole.
func TestChangeIsTakenOnce(t *testing.T) {
	for _, gap := range []time.Duration{0, time.Second, 3 * time.Second, 9900 * time.Millisecond} {
		t.Run("with a gap of "+gap.String(), func(t *testing.T) {
			inBubble(t, func(_ *testing.T, w *world) {
				w.refuse(func(content string) error {
					if content[0] != content[2] {
						return errors.New("they do not go together")
					}
					return nil
				})
				pass(time.Hour + 1500*time.Millisecond)
				write(w.t, w.first, "2")
				pass(gap)
				write(w.t, w.second, "2")
				pass(settled)
				w.takes("2 2")
				pass(time.Hour)
				w.takes()
				w.says()
			})
		})
	}
}

func TestOneLookIsNotEnough(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		pass(time.Second)
		for range 20 {
			write(t, w.first, "2")
			pass(1900 * time.Millisecond) // there is one look
			write(t, w.first, "1")
			pass(4100 * time.Millisecond)
		}
		w.takes()
		w.says()
	})
}

func TestLooksInARow(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		pass(time.Second)
		write(t, w.first, "2")
		pass(2 * time.Second) // there is one look
		if err := os.Remove(w.first); err != nil {
			t.Fatal(err)
		}
		pass(2 * time.Second) // this one finds nothing
		write(t, w.first, "2")
		pass(2 * time.Second) // so this one counts as the first again
		w.takes()
		pass(2 * time.Second)
		w.takes("2 1")
	})
}

// Kubernetes swaps a link to a directory, others rename files. The times of the file
// system do not matter.
func TestWaysToReplace(t *testing.T) {
	for _, tt := range []struct {
		name    string
		replace func(t *testing.T, path string)
	}{
		{"renamed into place", func(t *testing.T, path string) {
			write(t, path+".new", "2")
			if err := os.Rename(path+".new", path); err != nil {
				t.Fatal(err)
			}
		}},
		{"behind a link", func(t *testing.T, path string) {
			write(t, path+".2", "2")
			if err := errors.Join(os.Remove(path), os.Symlink(path+".2", path)); err != nil {
				t.Fatal(err)
			}
		}},
		{"in place, of the same age and length", func(t *testing.T, path string) {
			info, err := os.Stat(path)
			if err != nil {
				t.Fatal(err)
			}
			write(t, path, "2")
			if err := os.Chtimes(path, info.ModTime(), info.ModTime()); err != nil {
				t.Fatal(err)
			}
		}},
		{"gone for a moment", func(t *testing.T, path string) {
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
			pass(settled)
			write(t, path, "2")
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, w *world) {
				tt.replace(t, w.second)
				pass(settled)
				w.takes("1 2")
				w.says()
			})
		})
	}
}

// Content is compared with what is in use, not with what was there at the start.
func TestBackToTheStart(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		write(t, w.first, "2")
		pass(settled)
		write(t, w.first, "1")
		pass(settled)
		w.takes("2 1", "1 1")
	})
}

func TestRunEndsWithItsContext(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		pass(time.Minute)
		w.stop()
		synctest.Wait()
		select {
		case <-w.ended:
		default:
			t.Error("it goes on")
		}
		write(t, w.first, "2")
		pass(time.Minute)
		w.takes()
	})
}

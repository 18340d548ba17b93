package follow_test

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

// What was in use stays in use. The trouble is logged once, and its end too.
func TestUnusableFiles(t *testing.T) {
	for _, tt := range []struct {
		name  string
		spoil func(*world) error
		says  string
	}{
		{"gone", func(w *world) error { return os.Remove(w.second) }, "no such file"},
		{"emptied", func(w *world) error { return os.Truncate(w.second, 0) }, "the file is empty"},
		{"too long", func(w *world) error { return os.Truncate(w.second, 101) }, "more than 100 bytes"},
		{"no good", func(w *world) error { return os.WriteFile(w.second, []byte("bad"), 0o600) }, "bad as it is"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, w *world) {
				w.refuse(func(content string) error {
					if strings.Contains(content, "bad") {
						return errors.New("bad as it is")
					}
					return nil
				})
				if err := tt.spoil(w); err != nil {
					t.Fatal(err)
				}
				pass(9 * time.Second) // a writer may need a moment
				w.says()
				pass(6 * time.Second)
				w.says(`level=WARN msg="the files on disk cannot be used, going on with what was read before" files=things error=`)
				pass(5 * time.Minute)
				w.says()

				write(t, w.second, "1") // the content in use is no change, except after content that use refused
				pass(settled)
				if tt.name == "no good" {
					w.takes("1 1")
				} else {
					w.takes()
				}
				w.says(`level=INFO msg="the files can be used again"`)

				if err := tt.spoil(w); err != nil {
					t.Fatal(err)
				}
				pass(time.Minute)
				w.says(tt.says)
				write(t, w.second, "2")
				pass(settled)
				w.takes("1 2")
				w.says("can be used again")
			})
		})
	}
}

// A person who mends one fault has to learn of the next.
func TestAnotherFaultIsNews(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.refuse(func(content string) error { return fmt.Errorf("no good: %.3s", content) })
		write(t, w.first, "two")
		pass(time.Minute)
		w.says("no good: two")
		write(t, w.first, "three")
		pass(settled)
		w.says("no good: thr")
		for i := range 30 { // a script that runs wild does not flood the log
			write(t, w.first, fmt.Sprint("three", i))
			pass(3 * time.Second)
		}
		w.says()
	})
}

// use may accept the same content later: the cause may lie outside the files.
func TestUseIsAskedAgain(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.refuse(func(string) error { return errors.New("another file is missing") })
		write(t, w.first, "2")
		pass(time.Minute)
		w.takes()
		w.says("another file is missing")
		w.refuse(func(string) error { return nil })
		pass(2 * time.Second)
		w.takes("2 1")
		w.says("can be used again")
		if w.asked > 40 {
			t.Errorf("asked %d times in a minute", w.asked)
		}
	})
}

// Files that change at each look are logged as well.
func TestEndlessWriting(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		for i := range 40 {
			write(t, w.first, fmt.Sprint(i))
			pass(time.Second)
		}
		w.says("they keep changing")
		pass(settled)
		w.takes("39 1")
		w.says("can be used again")
	})
}

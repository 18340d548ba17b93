package store_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wxbroker/wxbroker/broker/internal/store"
	"github.com/wxbroker/wxbroker/broker/internal/store/storetest"
)

// has checks what the disk has, as APPID/KEY=VALUE.
func has(t *testing.T, d *storetest.Disk, want ...string) {
	t.Helper()
	var got []string
	for at, value := range d.Values() {
		got = append(got, at.AppID+"/"+at.Key+"="+string(value))
	}
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("the disk has %q, want %q", got, want)
	}
}

func written(ctx context.Context, w *store.Writer, appid, key, value string) error {
	return w.Put(ctx, appid, map[string][]byte{key: []byte(value)})
}

func withWriter(t *testing.T, test func(*testing.T, *storetest.Disk, *store.Writer)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		d := new(storetest.Disk)
		test(t, d, d.Writer())
	})
}

func TestWriter(t *testing.T) {
	withWriter(t, func(t *testing.T, d *storetest.Disk, w *store.Writer) {
		for _, put := range [][3]string{{"wx1", "a", "1"}, {"wx1", "b", "2"}, {"wx2", "a", "3"}, {"wx1", "a", "4"}} {
			if err := written(t.Context(), w, put[0], put[1], put[2]); err != nil {
				t.Fatal(err)
			}
		}
		has(t, d, "wx1/a=4", "wx1/b=2", "wx2/a=3")
		d.Fill(true)
		if err := written(t.Context(), w, "wx1", "a", "5"); !errors.Is(err, storetest.ErrFull) {
			t.Errorf("error %v", err)
		}
		d.Fill(false)
		has(t, d, "wx1/a=4", "wx1/b=2", "wx2/a=3")
		if all, err := w.All("wx1"); err != nil || len(all) != 2 {
			t.Errorf("all of wx1: %q, %v", all, err)
		}
		if err := w.Close(); err != nil || !d.Closed() {
			t.Errorf("closed %v, %v", d.Closed(), err)
		}
		if err := written(t.Context(), w, "wx1", "a", "6"); err == nil {
			t.Error("it can be written after its end")
		}
	})
}

// TestADiskThatHangsRefuses: nobody waits longer than a second. Once the disk is
// known to hang, nobody waits at all.
func TestADiskThatHangsRefuses(t *testing.T) {
	withWriter(t, func(t *testing.T, d *storetest.Disk, w *store.Writer) {
		answer := d.Hang()
		defer answer()
		for i, want := range []time.Duration{time.Second, 0, 0} {
			time.Sleep(time.Millisecond)
			start := time.Now()
			err := written(t.Context(), w, "wx1", "a", "1")
			if took := time.Since(start); err == nil || took != want {
				t.Errorf("%d: %v after %v, want an error after %v", i, err, took, want)
			}
			if err != nil && !strings.Contains(err.Error(), "the disk does not answer") {
				t.Errorf("%d: %v", i, err)
			}
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := written(ctx, w, "wx1", "a", "1"); err == nil {
			t.Error("it was written for somebody who has left")
		}
		if n := len(d.Writes()); n != 1 {
			t.Errorf("%d writes were begun, want one at a time", n)
		}
	})
}

// TestALateWriteOverwritesNothingNewer, and the values that waited are written
// together, of each place only the newest.
func TestALateWriteOverwritesNothingNewer(t *testing.T) {
	withWriter(t, func(t *testing.T, d *storetest.Disk, w *store.Writer) {
		answer := d.Hang()
		for i := range 1000 {
			_ = written(t.Context(), w, "wx1", "a", fmt.Sprint("a", i))
			_ = written(t.Context(), w, "wx1", fmt.Sprint("key", i%10), fmt.Sprint("b", i))
		}
		answer()
		synctest.Wait()
		want := []string{"wx1/a=a999"}
		for i := range 10 {
			want = append(want, fmt.Sprintf("wx1/key%d=b%d", i, 990+i))
		}
		has(t, d, want...)
		if writes := d.Writes(); len(writes) != 2 || len(writes[1]) != 11 {
			t.Errorf("%d writes, the last of %d values", len(writes), len(writes[len(writes)-1]))
		}
		if err := written(t.Context(), w, "wx1", "a", "last"); err != nil {
			t.Errorf("it answers again: %v", err)
		}
	})
}

// TestASlowDiskIsWaitedFor: values that many put at the same time are written
// together, so that the last does not wait for all the others.
func TestASlowDiskIsWaitedFor(t *testing.T) {
	withWriter(t, func(t *testing.T, d *storetest.Disk, w *store.Writer) {
		d.Slow(400 * time.Millisecond)
		var putting sync.WaitGroup
		for i := range 1000 {
			putting.Go(func() {
				if err := written(t.Context(), w, fmt.Sprint("wx", i), "a", "1"); err != nil {
					t.Error(err)
				}
			})
		}
		start := time.Now()
		putting.Wait()
		if took := time.Since(start); took != 800*time.Millisecond {
			t.Errorf("took %v", took)
		}
		if n := len(d.Values()); n != 1000 {
			t.Errorf("%d values", n)
		}
	})
}

// TestValuesAreWrittenTogetherOrNotAtAll: the values of one Put are one
// transaction.
func TestValuesAreWrittenTogetherOrNotAtAll(t *testing.T) {
	withWriter(t, func(t *testing.T, d *storetest.Disk, w *store.Writer) {
		both := map[string][]byte{"a": []byte("1"), "b": []byte("2")}
		if err := w.Put(t.Context(), "wx1", both); err != nil {
			t.Fatal(err)
		}
		if want := (store.Values{{"wx1", "a"}: both["a"], {"wx1", "b"}: both["b"]}); len(d.Writes()) != 1 || !maps.EqualFunc(d.Writes()[0], want, slices.Equal) {
			t.Errorf("written %v", d.Writes())
		}
	})
}

func TestCloseWaitsNoLongerThanItMust(t *testing.T) {
	for _, tt := range []struct {
		name  string
		takes time.Duration // the write under way; 0 hangs
		want  time.Duration
		ok    bool
	}{
		{"a write under way", 500 * time.Millisecond, 400 * time.Millisecond, true},
		{"a disk that hangs", 0, 2 * time.Second, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			withWriter(t, func(t *testing.T, d *storetest.Disk, w *store.Writer) {
				if d.Slow(tt.takes); tt.takes == 0 {
					defer d.Hang()()
				}
				go func() { _ = written(t.Context(), w, "wx1", "a", "1") }()
				time.Sleep(100 * time.Millisecond)
				start := time.Now()
				err := w.Close()
				if took := time.Since(start); took != tt.want || (err == nil) != tt.ok || d.Closed() != tt.ok {
					t.Errorf("%v after %v; closed %v", err, took, d.Closed())
				}
			})
		})
	}
}

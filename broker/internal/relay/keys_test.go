package relay_test

import (
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wxbroker/wxbroker/broker/internal/relay"
	"github.com/wxbroker/wxbroker/broker/internal/store/storetest"
)

// TestAliasKeys: one for each app and account, which outlive a restart, and
// which an account has from its own store.
func TestAliasKeys(t *testing.T) {
	disk := new(storetest.Disk)
	open := func() *relay.Keys {
		return &relay.Keys{Store: disk.Writer(), Log: slog.New(slog.DiscardHandler)}
	}
	first := open()
	key := first.Alias(t.Context(), "wx1", "shop")
	if len(key.Reveal()) != 32 {
		t.Errorf("a key of %d bytes", len(key.Reveal()))
	}
	for _, of := range [][2]string{{"wx1", "other"}, {"wx2", "shop"}, {"wx1sh", "op"}} {
		if first.Alias(t.Context(), of[0], of[1]).Equal(key) {
			t.Errorf("%v has the same key", of)
		}
	}
	if !first.Alias(t.Context(), "wx1", "shop").Equal(key) {
		t.Error("another key, asked twice")
	}
}

// TestAKeyThatCannotBeWritten serves all the same, and is written once it can be.
func TestAKeyThatCannotBeWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		synctest.Wait()
		w.disk.Fill(true)
		kept := w.Keys.Alias(t.Context(), appid, "shop")
		if !w.Keys.Alias(t.Context(), appid, "shop").Equal(kept) {
			t.Error("it changes")
		}
		time.Sleep(time.Minute)
		w.disk.Fill(false)
		time.Sleep(time.Minute)
		again := &relay.Keys{Store: w.disk.Writer(), Log: slog.New(slog.DiscardHandler)}
		if !again.Alias(t.Context(), appid, "shop").Equal(kept) {
			t.Error("another key after a restart")
		}
	})
}

// TestAKeyThatCannotBeRead is not overwritten: edges use what was made with it
// again once it can be read.
func TestAKeyThatCannotBeRead(t *testing.T) {
	disk := new(storetest.Disk)
	open := func() *relay.Keys {
		return &relay.Keys{Store: disk.Writer(), Log: slog.New(slog.DiscardHandler)}
	}
	before := open().Alias(t.Context(), "wx1", "shop")
	disk.Spoil(true)
	meanwhile := open()
	first := meanwhile.Alias(t.Context(), "wx1", "shop")
	if first.Equal(before) || first.IsZero() {
		t.Error("there is no other key meanwhile: this test shows nothing")
	}
	disk.Spoil(false)
	if !meanwhile.Alias(t.Context(), "wx1", "shop").Equal(first) {
		t.Error("the key changes while the broker runs")
	}
	if !open().Alias(t.Context(), "wx1", "shop").Equal(before) {
		t.Error("the key from before is lost")
	}
}

package relay_test

import (
	"log/slog"
	"testing"

	"github.com/wxbroker/wxbroker/broker/internal/relay"
	"github.com/wxbroker/wxbroker/broker/internal/store/storetest"
)

// TestAliasKeys: one for each app and account, which outlive a restart, and
// which an account has from its own store.
func TestAliasKeys(t *testing.T) {
	disk := new(storetest.Disk)
	open := func() *relay.AliasKeys {
		return &relay.AliasKeys{Store: disk.Writer(), Log: slog.New(slog.DiscardHandler)}
	}
	first := open()
	key := first.Of("wx1", "shop")
	if len(key.Reveal()) != 32 {
		t.Errorf("a key of %d bytes", len(key.Reveal()))
	}
	for _, of := range [][2]string{{"wx1", "other"}, {"wx2", "shop"}, {"wx1sh", "op"}} {
		if first.Of(of[0], of[1]).Equal(key) {
			t.Errorf("%v has the same key", of)
		}
	}
	if !first.Of("wx1", "shop").Equal(key) {
		t.Error("another key, asked twice")
	}
	one := new(storetest.Disk)
	one.Fill(true)
	unsaved := &relay.AliasKeys{Store: one.Writer(), Log: slog.New(slog.DiscardHandler)}
	kept := unsaved.Of("wx1", "shop")
	if !unsaved.Of("wx1", "shop").Equal(kept) {
		t.Error("a key that cannot be written changes")
	}
	one.Fill(false)
	if !unsaved.Of("wx1", "shop").Equal(kept) {
		t.Error("it changes once it can be written")
	}
	again := &relay.AliasKeys{Store: one.Writer(), Log: slog.New(slog.DiscardHandler)}
	if !again.Of("wx1", "shop").Equal(kept) {
		t.Error("another key after a restart")
	}
}

// TestAKeyThatCannotBeRead is not overwritten: edges use what was made with it
// again once it can be read.
func TestAKeyThatCannotBeRead(t *testing.T) {
	disk := new(storetest.Disk)
	open := func() *relay.AliasKeys {
		return &relay.AliasKeys{Store: disk.Writer(), Log: slog.New(slog.DiscardHandler)}
	}
	before := open().Of("wx1", "shop")
	disk.Spoil(true)
	meanwhile := open()
	first := meanwhile.Of("wx1", "shop")
	if first.Equal(before) || first.IsZero() {
		t.Error("there is no other key meanwhile: this test shows nothing")
	}
	disk.Spoil(false)
	if !meanwhile.Of("wx1", "shop").Equal(first) {
		t.Error("the key changes while the broker runs")
	}
	if !open().Of("wx1", "shop").Equal(before) {
		t.Error("the key from before is lost")
	}
}

package app

import (
	"log/slog"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestConfigure(t *testing.T) {
	c := serveCommand{Broker: "127.0.0.1:7600", AppID: []string{pay, shop, pay}}
	config, err := c.configure(t.Context(), "v1.2.3", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(config.AppIDs, []string{shop, pay}) {
		t.Errorf("an appid given twice is another account: %v", config.AppIDs)
	}
	if config.Name == "" || config.Version != "v1.2.3" || config.Keys != nil {
		t.Errorf("config %+v", config)
	}
}

// A broker takes names of 128 bytes of UTF-8. A longer name, or one that is not UTF-8,
// would end every stream.
func TestFit(t *testing.T) {
	tests := []struct {
		name, given string
		want        int // bytes
	}{
		{"empty", "", 0},
		{"short", "edge-1", 6},
		{"to the limit", strings.Repeat("e", 128), 128},
		{"over it", strings.Repeat("e", 129), 128},
		{"over it in the middle of a character", strings.Repeat("店", 50), 126},
		{"not UTF-8", "edge\xff-1", 6},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := fit(test.given, maxName); len(got) != test.want || !utf8.ValidString(got) {
				t.Errorf("%q", got)
			}
		})
	}
}

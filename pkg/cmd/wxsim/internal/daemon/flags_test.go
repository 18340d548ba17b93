package daemon

import (
	"testing"
	"time"

	"github.com/alecthomas/kong"

	"github.com/wxbroker/wxbroker/pkg/wechatsim"
)

func TestZeroMeansZeroAtTheCommandLine(t *testing.T) {
	whole := wechatsim.Settings{
		TokenLifetime: 2 * time.Hour, TicketLifetime: 2 * time.Hour, TokenOverlap: 5 * time.Minute, MediaLifetime: 72 * time.Hour, TemplateQuota: 100000,
		ClassicQuota: 2000, StableQuota: 500000, ForceQuota: 20, TicketQuota: wechatsim.None, ClearsPerMonth: 10, WrongSecretCode: 40125,
	}
	with := func(change func(*wechatsim.Settings)) wechatsim.Settings {
		s := whole
		change(&s)
		return s
	}
	tests := []struct {
		name string
		args []string
		want wechatsim.Settings
	}{
		{"nothing given", nil, whole},
		{"no overlap", []string{"--token-overlap=0s"}, with(func(s *wechatsim.Settings) { s.TokenOverlap = wechatsim.None })},
		{"no window", []string{"--stable-window=0s"}, with(func(s *wechatsim.Settings) { s.StableWindow = wechatsim.None })},
		{"ticket overlap", []string{"--ticket-overlap=9s"}, with(func(s *wechatsim.Settings) { s.TicketOverlap = 9 * time.Second })},
		{"lifetimes", []string{"--token-lifetime=20s", "--ticket-lifetime=30s"}, with(func(s *wechatsim.Settings) {
			s.TokenLifetime, s.TicketLifetime = 20*time.Second, 30*time.Second
		})},
		{"quotas", []string{"--classic-quota=1", "--stable-quota=2", "--force-quota=-1", "--ticket-quota=3"}, with(func(s *wechatsim.Settings) {
			s.ClassicQuota, s.StableQuota, s.ForceQuota, s.TicketQuota = 1, 2, -1, 3
		})},
		{"media", []string{"--media-lifetime=30s", "--media-ranges"}, with(func(s *wechatsim.Settings) {
			s.MediaLifetime, s.MediaRanges = 30*time.Second, true
		})},
		{"template messages", []string{"--template-quota=-1"}, with(func(s *wechatsim.Settings) { s.TemplateQuota = -1 })},
		{"clears", []string{"--clears-per-month=-1"}, with(func(s *wechatsim.Settings) { s.ClearsPerMonth = -1 })},
		{"styles", []string{"--fresh-expiry", "--expires-in-string"}, with(func(s *wechatsim.Settings) {
			s.FreshTicketExpiry, s.ExpiresInString = true, true
		})},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var f flags
			parser, err := kong.New(&f)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := parser.Parse(tt.args); err != nil {
				t.Fatal(err)
			}
			config, err := f.config()
			if err != nil || config.Settings != tt.want {
				t.Errorf("got %+v, error %v, want %+v", config.Settings, err, tt.want)
			}
		})
	}
}

func TestLoopback(t *testing.T) {
	for host, want := range map[string]bool{
		"127.0.0.1": true, "127.9.9.9": true, "::1": true, "::ffff:127.0.0.1": true, "localhost": true,
		"": false, "0.0.0.0": false, "::": false, "203.0.113.7": false, "localhost.example.com": false,
	} {
		if got := loopback(host); got != want {
			t.Errorf("%q: %t, want %t", host, got, want)
		}
	}
}

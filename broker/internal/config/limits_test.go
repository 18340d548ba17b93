package config

import (
	"maps"
	"strings"
	"testing"

	"github.com/wxbroker/wxbroker/broker/internal/wechat"
)

// TestLimits: a limit that is written counts. A limit that is not written is left
// to the keeper.
func TestLimits(t *testing.T) {
	for _, tt := range []struct {
		name, yaml string
		want       map[wechat.API]int
	}{
		{"none", "", nil},
		{"an empty map", "limits: {}", nil},
		{"one", "limits: {ticket: 500}", map[wechat.API]int{wechat.TicketAPI: 500}},
		{
			"the least", "limits: {token: 10, stable_token: 10, force_refresh: 0, ticket: 10, get_api_domain_ip: 10, quota: 0}",
			map[wechat.API]int{
				wechat.TokenAPI: 10, wechat.StableTokenAPI: 10, wechat.ForceRefreshAPI: 0,
				wechat.TicketAPI: 10, wechat.ProbeAPI: 10, wechat.QuotaAPI: 0,
			},
		},
		{
			"the most", "limits: {token: 100000, stable_token: 500000, force_refresh: 20, ticket: 1000000, get_api_domain_ip: 1000000, quota: 1000000}",
			map[wechat.API]int{
				wechat.TokenAPI: 100_000, wechat.StableTokenAPI: 500_000, wechat.ForceRefreshAPI: 20,
				wechat.TicketAPI: 1_000_000, wechat.ProbeAPI: 1_000_000, wechat.QuotaAPI: 1_000_000,
			},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, err := Load(t.Context(), write(t, "accounts:\n  - appid: wx1\n    secret_file: SECRET\n    "+tt.yaml+"\n  - appid: wx2\n    secret_file: SECRET\n"))
			if err != nil {
				t.Fatal(err)
			}
			if got := c.Accounts[0].Limits; !maps.Equal(got, tt.want) {
				t.Errorf("limits %v, want %v", got, tt.want)
			}
			if got := c.Accounts[1].Limits; len(got) != 0 {
				t.Errorf("the other account has limits %v", got)
			}
		})
	}
}

func TestLimitsRefused(t *testing.T) {
	for _, tt := range []struct {
		name, yaml string
		want       []string // the first after the file's name
	}{
		{"too few", "token: 9", []string{":5: accounts[0].limits.token: ", "between 10 and 100000"}},
		{"none", "ticket: 0", []string{":5: accounts[0].limits.ticket: ", "between 10 and 1000000"}},
		{"a fraction", "token: 10.5", []string{":5: accounts[0].limits.token: ", "between 10 and 100000"}},
		{"no number", "token: many", []string{":5: accounts[0].limits.token: "}},
		{"negative", "quota: -1", []string{":5: accounts[0].limits.quota: ", "between 0 and 1000000"}},
		{"more than WeChat allows", "force_refresh: 21", []string{":5: accounts[0].limits.force_refresh: ", "between 0 and 20"}},
		{"absurd", "stable_token: 500001", []string{":5: accounts[0].limits.stable_token: ", "between 10 and 500000"}},
		{"probes", "get_api_domain_ip: 1000001", []string{":5: accounts[0].limits.get_api_domain_ip: "}},
		{"the second of two", "token: 100\n      ticket: 1", []string{":6: accounts[0].limits.ticket: "}},
		{"both", "token: 1\n      ticket: 1", []string{":5: accounts[0].limits.token: ", ":6: accounts[0].limits.ticket: "}},
		{"a typo", "tikket: 100", []string{":5:7: ", `unknown key "tikket"`, `did you mean "ticket"?`}},
		{"what WeChat fixes", "clear_quota: 100", []string{":5:7: ", `unknown key "clear_quota"`}},
		{"a word", "token: many", []string{":5:"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path := write(t, "accounts:\n  - appid: wx1\n    secret_file: SECRET\n    limits:\n      "+tt.yaml+"\n")
			_, err := Load(t.Context(), path)
			if err == nil {
				t.Fatal("accepted")
			}
			tt.want[0] = path + tt.want[0]
			for _, want := range tt.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error %q lacks %q", err, want)
				}
			}
		})
	}
}

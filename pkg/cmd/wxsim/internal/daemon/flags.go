package daemon

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/alecthomas/kong"

	"github.com/wxbroker/wxbroker/pkg/wechatsim"
)

const description = `A simulated WeChat: the calls of api.weixin.qq.com that hand out an Official
Account's access_token and its tickets, or tell and clear their daily quotas, and
a judge of JS-SDK signatures; with template messages, temporary media, a user's
OAuth and some other calls to try a token on.

Appids and secrets given here are fake by nature: they are good for this
simulator only, so nothing keeps them off the command line. Never give it a real
AppSecret.

Open the address it listens on in a browser for its state and its control calls.`

// flags is the command line. Zero and negative numbers mean what they say here;
// see settings.
type flags struct {
	Listen         string `default:"127.0.0.1:7699" env:"WXSIM_LISTEN" placeholder:"ADDR" help:"Where to listen: host:port (port 0 takes a free one) or unix:/path. Default: ${default}."`
	InsecureListen bool   `env:"WXSIM_INSECURE_LISTEN" help:"Listen on an address that is not loopback, in plaintext and for anybody."`

	AppID   string   `name:"appid" default:"wx0123456789abcdef" env:"WXSIM_APPID" placeholder:"APPID" help:"The account. Default: ${default}."`
	Secret  string   `default:"0123456789abcdef0123456789abcdef" env:"WXSIM_SECRET" placeholder:"SECRET" help:"Its fake secret. Default: ${default}."`
	Account []string `env:"WXSIM_ACCOUNT" placeholder:"APPID:SECRET" help:"A further account. Repeat it or separate by commas."`
	Allow   []string `env:"WXSIM_ALLOW" placeholder:"ADDR" help:"An address or prefix that may fetch tokens; every other one is answered 40164. Repeat it or separate by commas. Default: all."`
	Seen    string   `name:"seen-address" env:"WXSIM_SEEN_ADDRESS" placeholder:"ADDR" help:"The address every caller is seen to come from. Default: the connection's."`

	TokenLifetime  time.Duration  `default:"2h" env:"WXSIM_TOKEN_LIFETIME" placeholder:"TIME" help:"Life of an access token. Default: ${default}."`
	TicketLifetime time.Duration  `default:"2h" env:"WXSIM_TICKET_LIFETIME" placeholder:"TIME" help:"Life of a ticket. Default: ${default}."`
	TokenOverlap   time.Duration  `default:"5m" env:"WXSIM_TOKEN_OVERLAP" placeholder:"TIME" help:"How long a replaced classic token lives on. Default: ${default}."`
	TicketOverlap  *time.Duration `env:"WXSIM_TICKET_OVERLAP" placeholder:"TIME" help:"The last part of a ticket's life, in which a call gets a new one. Default: 5m, or a quarter of its life if that is less."`
	StableWindow   *time.Duration `env:"WXSIM_STABLE_WINDOW" placeholder:"TIME" help:"The last part of a stable token's life, in which a call gets a new one. Default: 5m, or a quarter of its life if that is less."`

	MediaLifetime time.Duration `default:"72h" env:"WXSIM_MEDIA_LIFETIME" placeholder:"TIME" help:"How long temporary media can be had. Default: ${default}."`
	MediaRanges   bool          `env:"WXSIM_MEDIA_RANGES" help:"Let a download ask for a range of bytes. WeChat's documents do not say that it may."`

	ClassicQuota int `default:"2000" env:"WXSIM_CLASSIC_QUOTA" placeholder:"N" help:"Classic token calls a day; -1: no limit. Default: ${default}."`
	StableQuota  int `default:"500000" env:"WXSIM_STABLE_QUOTA" placeholder:"N" help:"Stable token calls a day; -1: no limit. Default: ${default}."`
	ForceQuota   int `default:"20" env:"WXSIM_FORCE_QUOTA" placeholder:"N" help:"Forced refreshes a day; -1: no limit. Default: ${default}."`
	TicketQuota  int `default:"-1" env:"WXSIM_TICKET_QUOTA" placeholder:"N" help:"Ticket calls a day; -1: no limit. Default: ${default}."`

	TemplateQuota int `default:"100000" env:"WXSIM_TEMPLATE_QUOTA" placeholder:"N" help:"Template messages a day; -1: no limit. Default: ${default}."`

	ClearsPerMonth int `default:"10" env:"WXSIM_CLEARS_PER_MONTH" placeholder:"N" help:"How often a month the account may clear its quotas; -1: no limit. Default: ${default}."`

	FreshExpiry     bool `env:"WXSIM_FRESH_EXPIRY" help:"A repeated ticket comes with the full lifetime as its expires_in, though less is left."`
	ExpiresInString bool `env:"WXSIM_EXPIRES_IN_STRING" help:"Write expires_in as a JSON string."`
	WrongSecretCode int  `default:"40125" enum:"40125,40001" env:"WXSIM_WRONG_SECRET_CODE" placeholder:"CODE" help:"The answer to a wrong secret: ${enum}. Default: ${default}."`

	Version kong.VersionFlag `help:"Print the version and exit."`
}

// config turns the command line into what the simulator starts with.
func (f *flags) config() (wechatsim.Config, error) {
	allow, err := parseAllow(f.Allow)
	if err != nil {
		return wechatsim.Config{}, fmt.Errorf("--allow: %w", err)
	}
	if f.AppID == "" || f.Secret == "" {
		return wechatsim.Config{}, errors.New("--appid and --secret cannot be empty")
	}
	accounts := []wechatsim.Account{{AppID: f.AppID, Secret: f.Secret, Allow: allow}}
	for i, pair := range f.Account {
		appid, secret, found := strings.Cut(pair, ":")
		if !found || appid == "" || secret == "" {
			return wechatsim.Config{}, fmt.Errorf("--account: entry %d is not APPID:SECRET", i+1)
		}
		accounts = append(accounts, wechatsim.Account{AppID: appid, Secret: secret, Allow: allow})
	}
	settings, err := f.settings()
	return wechatsim.Config{Accounts: accounts, Settings: settings}, err
}

// settings translates a zero, which the library takes for "WeChat's own value"
// and a person at the command line for zero.
func (f *flags) settings() (wechatsim.Settings, error) {
	if f.TokenLifetime < time.Second || f.TicketLifetime < time.Second || f.MediaLifetime < time.Second {
		return wechatsim.Settings{}, errors.New("--token-lifetime, --ticket-lifetime and --media-lifetime: a second at least, since WeChat counts in seconds")
	}
	for flag, n := range map[string]int{
		"--classic-quota": f.ClassicQuota, "--stable-quota": f.StableQuota,
		"--force-quota": f.ForceQuota, "--ticket-quota": f.TicketQuota,
		"--template-quota": f.TemplateQuota,
	} {
		if n == 0 {
			return wechatsim.Settings{}, fmt.Errorf("%s: a quota of 0 is not simulated; inject an errcode fault of 45009 instead", flag)
		}
	}
	if f.ClearsPerMonth == 0 {
		return wechatsim.Settings{}, errors.New("--clears-per-month: 0 is not simulated; inject an errcode fault of 48006 instead")
	}
	s := wechatsim.Settings{
		TokenLifetime:     f.TokenLifetime,
		TicketLifetime:    f.TicketLifetime,
		TokenOverlap:      literal(&f.TokenOverlap),
		TicketOverlap:     literal(f.TicketOverlap),
		StableWindow:      literal(f.StableWindow),
		MediaLifetime:     f.MediaLifetime,
		MediaRanges:       f.MediaRanges,
		ClassicQuota:      f.ClassicQuota,
		StableQuota:       f.StableQuota,
		ForceQuota:        f.ForceQuota,
		TicketQuota:       f.TicketQuota,
		TemplateQuota:     f.TemplateQuota,
		ClearsPerMonth:    f.ClearsPerMonth,
		FreshTicketExpiry: f.FreshExpiry,
		ExpiresInString:   f.ExpiresInString,
		WrongSecretCode:   f.WrongSecretCode,
	}
	if f.Seen != "" {
		seen, err := netip.ParseAddr(f.Seen)
		if err != nil {
			return wechatsim.Settings{}, fmt.Errorf("--seen-address: %q is not an address", f.Seen)
		}
		s.SeenAddress = seen
	}
	return s, nil
}

func literal(d *time.Duration) time.Duration {
	switch {
	case d == nil:
		return 0 // left open: the library's own rule
	case *d <= 0:
		return wechatsim.None
	default:
		return *d
	}
}

func parseAllow(entries []string) ([]netip.Prefix, error) {
	var allow []netip.Prefix
	for _, entry := range entries {
		prefix, err := wechatsim.ParseAllow(entry)
		if err != nil {
			return nil, err
		}
		allow = append(allow, prefix)
	}
	return allow, nil
}

package wechatsim

import (
	"fmt"
	"net/netip"
	"slices"
)

// What other people do to an account. Each of these methods fails if there is no such
// account. Methods that end a value also fail if there is no value.

// RotateToken fetches a classic token as somebody else who has the secret
// would: the current one is replaced. No quota is spent and no call counted.
func (s *Sim) RotateToken(appid string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	a, err := s.account(appid)
	if err != nil {
		return err
	}
	s.mintClassic(a, s.settings.resolved(), s.now())
	return nil
}

// ForceToken forces a refresh of the stable token as somebody else who has the
// secret would: the current one is dead at once, however young it is. No quota is
// spent and no call counted. But WeChat's least time between two forced refreshes
// begins here: a forced refresh of our own that comes sooner returns the current token.
func (s *Sim) ForceToken(appid string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	a, err := s.account(appid)
	if err != nil {
		return err
	}
	s.forceStable(a, s.settings.resolved(), s.now())
	return nil
}

// KillToken makes WeChat refuse the current token of an endpoint from now on,
// with 40001. The next call for a token gets a new one.
func (s *Sim) KillToken(appid string, api TokenAPI) error {
	return s.killToken(appid, api, false)
}

// KillStuckToken makes WeChat refuse the current stable token while the stable
// endpoint goes on handing it out, until its last minutes or a forced refresh.
func (s *Sim) KillStuckToken(appid string) error {
	return s.killToken(appid, Stable, true)
}

func (s *Sim) killToken(appid string, api TokenAPI, stuck bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	a, err := s.account(appid)
	if err != nil {
		return err
	}
	tokens := a.tokens[api]
	if tokens == nil {
		return fmt.Errorf("wechatsim: no token endpoint %q: %s or %s", api, Classic, Stable)
	}
	return s.kill(a, tokens, stuck)
}

// KillTicket makes WeChat refuse the current ticket of a type from now on. The
// next call for a ticket gets a new one.
func (s *Sim) KillTicket(appid string, kind TicketType) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	a, err := s.account(appid)
	if err != nil {
		return err
	}
	tickets := a.tickets[kind]
	if tickets == nil {
		return fmt.Errorf("wechatsim: no ticket type %q: %s or %s", kind, JSAPI, WxCard)
	}
	return s.kill(a, tickets, false)
}

func (s *Sim) kill(a *account, values *series, stuck bool) error {
	now := s.now()
	v := values.current()
	if v == nil || !v.alive(now) {
		return fmt.Errorf("wechatsim: %s has no live %s to kill", a.appid, values.name)
	}
	v.end(now)
	v.killed, v.stuck = true, stuck
	s.history.add(Event{At: now, AppID: a.appid, Kind: EventKill, Detail: values.name, Number: v.number})
	return nil
}

// SetSecret resets the AppSecret. Tokens already handed out stay good.
func (s *Sim) SetSecret(appid, secret string) error {
	return s.alter(appid, "secret", func(a *account) { a.secret = secret })
}

// SetAllowList sets the addresses that may fetch tokens; none at all allows
// every address. Tokens already handed out stay good everywhere.
func (s *Sim) SetAllowList(appid string, allow ...netip.Prefix) error {
	return s.alter(appid, "allow-list", func(a *account) { a.allow = slices.Clone(allow) })
}

func (s *Sim) alter(appid, what string, change func(*account)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	a, err := s.account(appid)
	if err != nil {
		return err
	}
	change(a)
	s.history.add(Event{At: s.now(), AppID: appid, Kind: EventChange, Detail: what})
	return nil
}

// ParseAllow reads an entry of an allow-list: an address or a CIDR prefix.
func ParseAllow(entry string) (netip.Prefix, error) {
	if addr, err := netip.ParseAddr(entry); err == nil {
		addr = addr.Unmap()
		return netip.PrefixFrom(addr, addr.BitLen()), nil
	}
	prefix, err := netip.ParsePrefix(entry)
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("wechatsim: allow-list entry %q is neither an address nor a prefix", entry)
	}
	return prefix.Masked(), nil
}

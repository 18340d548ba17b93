package wechatsim

import (
	"net/netip"
	"time"
)

// None switches a setting off: an overlap of None is no overlap, a quota of
// None is no quota.
const None = -1

// Settings are the numbers that WeChat works with. In every field zero means WeChat's
// own value, and [None] (any negative value) means that there is no such limit, life or
// overlap.
type Settings struct {
	// TokenLifetime is how long an access token lives. WeChat: 7200 s.
	TokenLifetime time.Duration
	// TicketLifetime is how long a ticket lives. WeChat: 7200 s.
	TicketLifetime time.Duration
	// TokenOverlap is how long a replaced classic token lives on, but not past its own
	// expiry. WeChat: 5 minutes.
	TokenOverlap time.Duration
	// StableWindow is the last part of a stable token's life, in which a call
	// gets a new token. WeChat: 5 minutes; a quarter of the lifetime where that
	// is less, so that short-lived tokens are not replaced by every call.
	StableWindow time.Duration
	// TicketOverlap is the last part of a ticket's life, in which a call gets a
	// new ticket; the default follows the rule of StableWindow.
	TicketOverlap time.Duration
	// ForceInterval is the least time between two forced refreshes. A forced refresh that
	// comes sooner returns the current token. WeChat: 30 s.
	ForceInterval time.Duration

	// MediaLifetime is how long temporary media can be had. WeChat: 3 days.
	MediaLifetime time.Duration

	// ClassicQuota is how many classic token calls a day get a token. WeChat: 2000.
	ClassicQuota int
	// StableQuota is the same for all stable token calls. WeChat: 500000.
	StableQuota int
	// ForceQuota is how many forced refreshes a day take effect. WeChat: 20.
	ForceQuota int
	// TicketQuota limits ticket calls of both types together. WeChat says "very
	// limited" and gives no number, so there is no limit by default.
	TicketQuota int
	// TemplateQuota limits the calls that send template messages, also those whose message
	// was sent before and is not sent again. WeChat: 100000, more for an account with many
	// followers.
	TemplateQuota int
	// ClearsPerMonth is how often a month an account may clear its own quotas
	// by calling the API; [Sim.ClearQuota] is not counted. WeChat: 10.
	ClearsPerMonth int

	// MediaRanges makes a download honour the Range header. WeChat's documents
	// do not mention it, so it is ignored by default: the whole file comes.
	MediaRanges bool
	// FreshTicketExpiry makes a ticket that is handed out again have the full lifetime as
	// its expires_in, though less of it is left.
	FreshTicketExpiry bool
	// ExpiresInString writes expires_in as a JSON string instead of a number.
	ExpiresInString bool
	// WrongSecretCode answers a wrong secret: 40125 (the default) or 40001.
	WrongSecretCode int
	// SeenAddress is the caller's address as WeChat claims to see it. The zero
	// Addr takes it from the connection, and 127.0.0.1 where that has none.
	SeenAddress netip.Addr
}

// resolved replaces zeros by WeChat's values, and negative values by no time at all or
// by no limit.
func (s Settings) resolved() Settings {
	s.TokenLifetime = duration(s.TokenLifetime, 7200*time.Second)
	s.TicketLifetime = duration(s.TicketLifetime, 7200*time.Second)
	s.TokenOverlap = duration(s.TokenOverlap, 5*time.Minute)
	s.StableWindow = duration(s.StableWindow, min(5*time.Minute, s.TokenLifetime/4))
	s.TicketOverlap = duration(s.TicketOverlap, min(5*time.Minute, s.TicketLifetime/4))
	s.ForceInterval = duration(s.ForceInterval, 30*time.Second)
	s.MediaLifetime = duration(s.MediaLifetime, 72*time.Hour)
	s.ClassicQuota = quota(s.ClassicQuota, 2000)
	s.StableQuota = quota(s.StableQuota, 500000)
	s.ForceQuota = quota(s.ForceQuota, 20)
	s.TicketQuota = quota(s.TicketQuota, unlimited)
	s.TemplateQuota = quota(s.TemplateQuota, 100000)
	s.ClearsPerMonth = quota(s.ClearsPerMonth, 10)
	if s.WrongSecretCode == 0 {
		s.WrongSecretCode = codeInvalidSecret
	}
	return s
}

func duration(value, standard time.Duration) time.Duration {
	if value == 0 {
		return standard
	}
	return max(value, 0)
}

func quota(value, standard int) int {
	if value == 0 {
		return standard
	}
	return value
}

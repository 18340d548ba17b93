package wechatsim

import (
	"maps"
	"slices"
)

// Paths are all APIs there are.
func Paths() []string { return slices.Sorted(maps.Keys(apis)) }

// PlantTicket makes value the current jsapi ticket of an account, for published
// signatures that were made with a published ticket.
func (s *Sim) PlantTicket(appid, value string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.accounts[appid].tickets[JSAPI].mint(value, s.now(), s.settings.resolved().TicketLifetime)
}

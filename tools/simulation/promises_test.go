package simulation

import (
	"net/http"
	"time"

	"github.com/wxbroker/wxbroker/broker/brokertest"
	"github.com/wxbroker/wxbroker/pkg/credential"
	"github.com/wxbroker/wxbroker/tools/internal/page"
)

// reach is how long an edge may take to find its broker again after the network failed
// silently: keepalive notices after 15 s, and the longest wait before the next try is
// 5 s.
const reach = 25 * time.Second

// settled is how long a new version may take to reach every edge.
const settled = 2 * time.Second

// check checks whether the promises hold at this moment.
func (w *world) check() {
	w.t.Helper()
	if over := w.calls.over(); over != "" {
		w.failf("promise 2: %s", over)
	}
	if now := time.Now(); now.Before(w.noTokenUntil) && w.tokenCalls() != w.tokens {
		w.failf("promise 2: a restart cost a token call, %v before the token is due", w.noTokenUntil.Sub(now))
	}
	calm := w.calm()
	for _, e := range w.edges {
		w.checkVersions(e)
		w.checkSignature(e, calm)
		if calm {
			e.uneven = false
		}
	}
	w.checkSpread(calm)
	w.checkAhead()
	w.checkDeaths()
	w.checkBudget()
	w.checkQuiet(calm)
}

// calm reports whether nothing is wrong and the consequences of earlier faults have to be
// over.
func (w *world) calm() bool {
	w.mu.Lock()
	up := w.broker != nil && w.plan == nil
	w.mu.Unlock()
	return up && w.underway == 0 && !time.Now().Before(w.calmFrom) && time.Since(w.linkSince) >= reach && w.elapsed() > settled
}

// checkVersions: no edge goes back.
func (w *world) checkVersions(e *edge) {
	if back := e.holding.wentBack(); back != "" {
		w.failf("promise 1: %s went back %s", e.name, back)
	}
	for _, a := range e.Held() {
		for _, c := range a.Credentials {
			if c.Version < e.versions[c.Kind] {
				w.failf("promise 1: %s went back from version %d of %s to %d", e.name, e.versions[c.Kind], c.Kind, c.Version)
			}
			e.versions[c.Kind] = c.Version
			w.remember(c)
		}
	}
}

// checkSignature lets the edge sign, and WeChat judge the signature.
func (w *world) checkSignature(e *edge, calm bool) {
	s, err := page.Sign(w.t.Context(), e.Handler())
	w.must(err)
	switch s.Status {
	case http.StatusOK:
		verdict := s.Judge(w.sim)
		switch {
		case verdict.Accepted:
		case verdict.Ended == "expired":
			w.failf("promise 1: %s signs with a dead ticket: %s", e.name, verdict.Reason)
		case verdict.Ended != "killed":
			w.failf("%s signs with no ticket of WeChat's: %s", e.name, verdict.Reason)
		case calm:
			w.failf("it is calm and %s signs with a dead ticket: %s", e.name, verdict.Reason)
		}
	case http.StatusServiceUnavailable:
		if calm {
			w.failf("it is calm and %s does not sign: %s", e.name, s.ErrMsg)
		}
		if !e.uneven {
			w.checkGivenUp(e, s.ErrMsg)
		}
	default:
		w.failf("%s answers %d: %s", e.name, s.Status, s.ErrMsg)
	}
}

// soonOver is how long before its end at WeChat an edge may give up a ticket. The broker
// counts the life in whole seconds from before the call, which may have taken ten seconds.
const soonOver = 30 * time.Second

// checkGivenUp: an edge that has a ticket which WeChat honours signs with it.
func (w *world) checkGivenUp(e *edge, reason string) {
	for _, a := range e.Held() {
		ticket, ok := a.Credential(credential.JSAPITicket)
		if !ok || !w.sim.TicketAlive(ticket.Value.Reveal()) {
			continue
		}
		state, err := w.sim.State(appid)
		w.must(err)
		for _, c := range state.Credentials {
			if c.Series == "jsapi ticket" && c.Alive && time.Duration(c.EndsIn)*time.Second < soonOver {
				return // perhaps this one
			}
		}
		w.failf("promises 3 and 4: %s has a ticket that WeChat honours and does not sign: %s", e.name, reason)
	}
}

// checkSpread: what the broker has had for two seconds, every edge that can
// reach it has.
func (w *world) checkSpread(calm bool) {
	w.mu.Lock()
	b := w.broker
	w.mu.Unlock()
	if b == nil || time.Since(w.linkSince) < reach {
		clear(w.published)
		return
	}
	for _, k := range b.Status(appid).Kinds {
		if k.Kind == credential.WXCardTicket {
			continue // edges do not ask for it
		}
		// A few calls may fail before the second host is asked.
		if calm && k.Failures > 5 {
			w.failf("it is calm, and %d calls for the %s failed in a row: %v", k.Failures, k.Kind, k.LastError)
		}
		if calm && !k.Refused {
			for _, e := range w.edges {
				if v := e.versions[k.Kind]; v > k.Version {
					w.failf("it is calm, %s has version %d of %s and the broker only %d", e.name, v, k.Kind, k.Version)
				}
			}
		}
		known := w.published[k.Kind]
		if known.version == k.Version && k.Version > 0 && time.Since(known.since) >= settled {
			for _, e := range w.edges {
				if v := e.versions[k.Kind]; v < k.Version && !e.deaf && !k.Refused {
					w.failf("promise 5: the broker has had version %d of %s for %v, and %s has %d", k.Version, k.Kind, time.Since(known.since), e.name, v)
				}
			}
		}
		if known.version != k.Version {
			w.published[k.Kind] = heldVersion{k.Version, time.Now()}
		}
	}
}

// checkAhead: no edge has pushed versions further into the future than it may.
func (w *world) checkAhead() {
	if now := w.clock.Now(); now.After(w.latest) {
		w.latest = now
	}
	w.mu.Lock()
	b := w.broker
	w.mu.Unlock()
	if b == nil {
		return
	}
	const roundings = time.Second // each version is a millisecond above the one before at least
	for _, k := range b.Status(appid).Kinds {
		if ahead := time.UnixMilli(k.Version).Sub(w.latest); ahead > brokertest.MaxClaim+roundings {
			w.failf("version %d of %s is %v ahead of the broker's clock", k.Version, k.Kind, ahead)
		}
	}
}

// checkDeaths: the broker does not tell people to look for another refresher if there is
// none.
func (w *world) checkDeaths() {
	w.mu.Lock()
	b := w.broker
	w.mu.Unlock()
	if b == nil || w.profile.early {
		return
	}
	for _, k := range b.Status(appid).Kinds {
		if len(k.EarlyEnds) > 0 {
			w.failf("the broker believes that a %s ended before its time", k.Kind)
		}
	}
}

// checkBudget: what the broker allows itself lasts until WeChat counts anew.
func (w *world) checkBudget() {
	w.mu.Lock()
	b := w.broker
	w.mu.Unlock()
	if b == nil || w.profile.limits == nil {
		return
	}
	for _, s := range b.Status(appid).Budget {
		if left := s.Reset.Sub(w.clock.Now()); s.Limit > 50 && s.Used >= s.Limit && left > time.Hour {
			w.failf("promise 2: the %d calls of %s are spent %v before WeChat counts anew", s.Limit, s.API, left)
		}
	}
}

// perQuietHour returns how many calls an hour without trouble may cost. For each lifetime
// of a token there are three calls at most: the stable one is asked for again until WeChat
// has the next. For each kind of ticket there is a reading every ten minutes, and four
// more at the end of each lifetime.
func (w *world) perQuietHour() int {
	perHour := func(lifetime time.Duration) int { return 1 + int(time.Hour/(lifetime*4/5)) }
	most := 3*perHour(w.lifetime) + w.tickets*(7+4*perHour(w.ticketLifetime))
	switch {
	case w.clock.Stepped() != 0 || w.profile.crashes:
		// After a step of the clock a ticket can look older than it is. It is then read
		// every three minutes until its end.
		most += w.tickets * 20
	case w.profile.unseen:
		// A ticket may be older than it looks, if an answer was lost before it was seen.
		// It is then read every four minutes from the soonest end on: 15 times an hour
		// in place of six.
		most += w.tickets * 9
	}
	return most
}

// checkQuiet: when nothing is wrong, calls are few.
func (w *world) checkQuiet(calm bool) {
	switch {
	case !calm:
		w.calmSince = time.Time{}
	case w.calmSince.IsZero():
		w.calmSince = time.Now()
		w.calls.quietHour()
	case time.Since(w.calmSince) >= time.Hour:
		if n := w.calls.quietHour(); n > w.perQuietHour() {
			w.failf("promise 2: %d calls in an hour without trouble", n)
		}
		w.calmSince = time.Now()
	}
}

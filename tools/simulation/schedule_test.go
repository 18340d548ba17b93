package simulation

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/wxbroker/wxbroker/pkg/wechatsim"
)

// profile is a class of faults. A seed has the faults of one profile.
type profile struct {
	name  string
	kinds []fault
	// crashes is set if the broker may crash. Then the database is a file.
	crashes bool
	// early is set if values may end before their time, or seem to.
	early bool
	// unseen is set if WeChat may hand out a value of which the broker learns only later.
	unseen bool
	// forgets is set if the broker may forget when it saw a value first.
	forgets bool
	// limits are calls a day by path, for faults that cannot reach the default limits.
	limits map[string]int
}

// fault returns a disturbance of its kind. Everything random about it is decided when it
// is returned, so that the seed fixes it.
type fault func(r *rand.Rand) (name string, do func(*world))

var profiles = []profile{
	{name: "none"},
	{name: "transient", unseen: true, kinds: []fault{outage, lostAnswers, slowness, hostDown}},
	{name: "rate", kinds: []fault{code(45011, 4*time.Minute), status(429, 4*time.Minute)}},
	{name: "quota", kinds: []fault{code(45009, 62*time.Minute)}},
	{name: "configuration", kinds: []fault{code(48001, 12*time.Minute), code(40013, 12*time.Minute), code(99999, 12*time.Minute), newSecret}},
	{name: "address", kinds: []fault{blockedAddress}},
	{name: "approval", kinds: []fault{code(89501, 12*time.Minute), code(89503, 12*time.Minute), code(89507, 62*time.Minute)}},
	{name: "refused", early: true, kinds: []fault{killedToken, killedToken, killedTicket, always40001, report, report}},
	{name: "outside", early: true, kinds: []fault{refresher}},
	{name: "network", kinds: []fault{cutNetwork, deafNetwork, edgeRestart, brokerRestart, brokerRestart, claims, claims}},
	{name: "clock", early: true, unseen: true, kinds: []fault{brokerClock, brokerClock, edgeClock, outage}},
	{name: "crash", crashes: true, early: true, unseen: true, forgets: true, kinds: []fault{crashing, crashing, crashing, backup, restored, turnedBits, freshLooking, freshLooking}},
	{name: "crash loop", crashes: true, early: true, unseen: true, forgets: true, kinds: []fault{crashLoop, crashLoop, cutFile}, limits: fewCalls},
	{name: "crash and clock", crashes: true, early: true, unseen: true, forgets: true, kinds: []fault{crashing, restored, newMachine, brokerClock, outage, edgeRestart}},
	{name: "disk", crashes: true, early: true, unseen: true, forgets: true, kinds: []fault{fullDisk, fullDisk, fullDisk, killedToken, crashing, outage}},
	{name: "hang", crashes: true, early: true, unseen: true, forgets: true, kinds: []fault{
		hangingDisk, hangingDisk, hangingDisk, hangingLog, hangingLog, fullDisk, killedToken, crashing, outage, lostAnswers,
	}},
	{name: "everything", crashes: true, early: true, unseen: true, forgets: true, kinds: []fault{
		outage, lostAnswers, slowness, hostDown, code(45011, 4*time.Minute), code(45009, 62*time.Minute), code(40013, 12*time.Minute),
		newSecret, blockedAddress, code(89507, 62*time.Minute), killedToken, killedTicket, always40001, report,
		cutNetwork, deafNetwork, edgeRestart, crashing, crashing, backup, restored, turnedBits, newMachine, fullDisk, hangingDisk, hangingLog, brokerClock, edgeClock,
	}},
}

// fewCalls are limits that a crash loop reaches.
var fewCalls = map[string]int{wechatsim.PathToken: 60, wechatsim.PathStableToken: 60, wechatsim.PathTicket: 250}

// settings are WeChat's habits in one seed.
func (p profile) settings(r *rand.Rand) wechatsim.Settings {
	s := wechatsim.Settings{ExpiresInString: r.IntN(4) == 0}
	if r.IntN(4) == 0 {
		s.WrongSecretCode = 40001
	}
	if p.limits != nil {
		return s // short lives would need more calls than these limits allow
	}
	if r.IntN(4) == 0 {
		s.TokenLifetime = time.Duration(10+r.IntN(110)) * time.Minute
	}
	if r.IntN(4) == 0 {
		s.TicketLifetime = time.Duration(20+r.IntN(100)) * time.Minute
	}
	// With this setting a ticket always looks young, and a broker that has forgotten when
	// it saw it first cannot know when it ends.
	if !p.forgets && r.IntN(3) == 0 {
		s.FreshTicketExpiry = true
	}
	return s
}

// schedule returns what happens, in order: four to twelve faults a day, which
// may overlap.
func schedule(r *rand.Rand, p profile, duration time.Duration) []event {
	var events []event
	if len(p.kinds) == 0 {
		return nil
	}
	gap := 24 * time.Hour / time.Duration(4+r.IntN(9))
	for at := time.Duration(r.Int64N(int64(gap))); at < duration; at += time.Duration(r.Int64N(int64(2 * gap))) {
		name, do := p.kinds[r.IntN(len(p.kinds))](r)
		events = append(events, event{at, name, do})
	}
	return events
}

// lasting returns how long a fault lasts: minutes mostly, hours at times.
func lasting(r *rand.Rand) time.Duration {
	if r.IntN(5) == 0 {
		return time.Duration(r.Int64N(int64(4 * time.Hour)))
	}
	return time.Duration(r.Int64N(int64(20 * time.Minute)))
}

// injected makes calls go wrong for a while.
func injected(name string, f wechatsim.Fault, r *rand.Rand, consequences time.Duration) (string, func(*world)) {
	d := lasting(r)
	return fmt.Sprintf("%s on %q for %v", name, f.Path, d), func(w *world) {
		f := &f
		w.faults = append(w.faults, f)
		w.inject()
		over := w.disturb(consequences)
		w.after(d, name+" is over", func(w *world) {
			w.faults = slices.DeleteFunc(w.faults, func(other *wechatsim.Fault) bool { return other == f })
			w.inject()
			over()
		})
	}
}

// inject gives the simulator the faults that are under way. Delays come first: only a
// delay lets the faults after it apply as well.
func (w *world) inject() {
	w.sim.ClearFaults()
	// No answer comes at once: in fake time a call would otherwise be over
	// before anything else can happen.
	w.must(w.sim.Inject(wechatsim.Fault{Kind: wechatsim.FaultDelay, Duration: w.latency}))
	for _, delays := range []bool{true, false} {
		for _, f := range w.faults {
			if (f.Kind == wechatsim.FaultDelay) != delays {
				continue
			}
			if err := w.sim.Inject(*f); err != nil {
				w.failf("%v", err)
			}
		}
	}
}

// somePath returns the API that a fault hits, or "" for all.
func somePath(r *rand.Rand) string {
	return []string{"", "", wechatsim.PathToken, wechatsim.PathStableToken, wechatsim.PathTicket, wechatsim.PathDomainIP}[r.IntN(6)]
}

func outage(r *rand.Rand) (string, func(*world)) {
	kinds := []wechatsim.Fault{
		{Kind: wechatsim.FaultHang},
		{Kind: wechatsim.FaultReset},
		{Kind: wechatsim.FaultStatus, Status: 502},
		{Kind: wechatsim.FaultHTML},
		{Kind: wechatsim.FaultMalformed},
		{Kind: wechatsim.FaultEmpty},
		{Kind: wechatsim.FaultLost},
		{Kind: wechatsim.FaultTruncate},
		{Kind: wechatsim.FaultCode, Code: -1},
		{Kind: wechatsim.FaultRedirect, Location: "http://wechat.invalid/elsewhere"},
	}
	f := kinds[r.IntN(len(kinds))]
	f.Path = somePath(r)
	return injected("outage: "+string(f.Kind), f, r, 4*time.Minute)
}

// lostAnswers: WeChat does what it is asked, and the answer does not arrive.
func lostAnswers(r *rand.Rand) (string, func(*world)) {
	f := wechatsim.Fault{Kind: []wechatsim.FaultKind{wechatsim.FaultLost, wechatsim.FaultTruncate}[r.IntN(2)], Path: somePath(r)}
	return injected("lost answers: "+string(f.Kind), f, r, 4*time.Minute)
}

func slowness(r *rand.Rand) (string, func(*world)) {
	f := wechatsim.Fault{Kind: wechatsim.FaultDelay, Path: somePath(r), Duration: time.Duration(1+r.IntN(12)) * time.Second}
	return injected("slow answers: "+f.Duration.String(), f, r, 4*time.Minute)
}

func code(code int, consequences time.Duration) fault {
	return func(r *rand.Rand) (string, func(*world)) {
		return injected(fmt.Sprintf("errcode %d", code), wechatsim.Fault{Kind: wechatsim.FaultCode, Code: code, Path: somePath(r)}, r, consequences)
	}
}

func status(status int, consequences time.Duration) fault {
	return func(r *rand.Rand) (string, func(*world)) {
		return injected(fmt.Sprintf("HTTP %d", status), wechatsim.Fault{Kind: wechatsim.FaultStatus, Status: status, Path: somePath(r)}, r, consequences)
	}
}

// hostDown: the preferred host cannot be reached. The other one can, so nobody may notice
// for long.
func hostDown(r *rand.Rand) (string, func(*world)) {
	d := lasting(r)
	return fmt.Sprintf("the first host is down for %v", d), func(w *world) {
		w.hostsDown.Add(1)
		w.disturb(4 * time.Minute)()
		w.after(d, "the first host is up", func(w *world) { w.hostsDown.Add(-1) })
	}
}

package simulation

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/wxbroker/wxbroker/broker/brokertest"
	"github.com/wxbroker/wxbroker/pkg/credential"
	"github.com/wxbroker/wxbroker/pkg/wechatsim"
)

// point is a moment between two steps of the broker's: count, fetch, persist,
// publish.
type point int

const (
	now         point = iota // whatever it is doing
	beforeCount              // the call is due and not counted
	afterCount               // it is counted and not made
	duringCall               // WeChat has answered, and the answer is lost
	beforeSave               // the value has arrived and is not in the database
	afterSave                // the value is in the database and not published
	points
)

func (p point) String() string {
	return [...]string{"now", "before the count", "after the count", "during the call", "before the persist", "after the persist"}[p]
}

// crash is a plan for how the broker dies.
type crash struct {
	at     point
	times  int // how often in a row
	down   func() time.Duration
	damage func(w *world) // damages the database after each death; nil for no damage
	over   func()         // once it is up again for good
}

var (
	errDead = errors.New("the process is dead")
	errFull = &os.PathError{Op: "write", Path: "wxbroker.db", Err: syscall.ENOSPC}
)

// write wraps each write of the broker.
func (w *world) write(kind brokertest.Write, write func() error) error {
	switch {
	case w.reached(beforeCount) && kind.Counts, w.reached(beforeSave) && kind.Answer:
		w.cut()
	}
	w.mu.Lock()
	died := w.died // of the broker that writes
	w.mu.Unlock()
	w.diskGate.pass(died)
	select {
	case <-died:
		return errDead
	default:
	}
	w.mu.Lock()
	full := w.full > 0
	w.mu.Unlock()
	if full {
		return errFull
	}
	err := write()
	if w.reached(afterCount) && kind.Counts || w.reached(afterSave) && kind.Answer {
		w.cut()
		return errDead
	}
	return err
}

// reached reports whether the broker is to die at this point.
func (w *world) reached(p point) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.plan != nil && w.plan.at == p && !w.dead && w.broker != nil
}

// called is called by WeChat for every call, before it answers.
func (w *world) called(c wechatsim.Call) {
	w.calls.made(c)
	if w.reached(duringCall) {
		w.cut()
	}
	if c.Outcome == "ok" {
		w.mu.Lock()
		w.rotation = time.Now()
		w.mu.Unlock()
	}
}

// cut kills the broker at this moment. Its goroutines run on for a little, but what they
// do reaches nobody.
func (w *world) cut() {
	w.mu.Lock()
	w.dead = true
	b := w.broker
	close(w.died)
	w.mu.Unlock()
	w.history.addf("the broker is killed")
	b.Cut()
}

// afterCrash buries a broker that was cut, and starts another in time.
func (w *world) afterCrash() {
	w.mu.Lock()
	dead, b, plan := w.dead, w.broker, w.plan
	w.mu.Unlock()
	if !dead {
		return
	}
	b.Stop()
	w.mu.Lock()
	w.broker, w.dead = nil, false
	plan.times--
	w.mu.Unlock()
	w.link()
	if plan.damage != nil {
		plan.damage(w)
	}
	w.after(plan.down(), "the broker starts", func(w *world) {
		if plan.times <= 0 {
			w.mu.Lock()
			w.plan = nil
			w.mu.Unlock()
			plan.over()
		}
		w.startBroker()
		if plan.times > 0 && plan.at == now {
			w.after(plan.down()/4, "", func(w *world) { w.cutNow() })
		}
	})
}

// cutNow kills the broker if there is one to kill.
func (w *world) cutNow() {
	w.mu.Lock()
	b, alive := w.broker, w.broker != nil && !w.dead && w.plan != nil
	w.mu.Unlock()
	if !alive {
		return
	}
	if w.plan.damage == nil && w.underway == 1 { // this crash, and nothing else is wrong
		w.expectNoToken(b)
	}
	w.cut()
}

// expectNoToken notes until when the token is not due. A restart before that must not ask
// for one.
func (w *world) expectNoToken(b *brokertest.Broker) {
	for _, k := range b.Status(appid).Kinds {
		if k.Kind == credential.AccessToken && k.Version > 0 && k.LastError == nil && !k.Unsaved {
			w.tokens = w.tokenCalls()
			w.noTokenUntil = k.NextTry.Add(-w.clock.Stepped())
		}
	}
}

// tokenCalls returns the number of token calls that WeChat has seen.
func (w *world) tokenCalls() int {
	return w.sim.Count(wechatsim.Call{AppID: appid, API: wechatsim.PathToken}) + w.sim.Count(wechatsim.Call{AppID: appid, API: wechatsim.PathStableToken})
}

// crashing returns a fault that makes the broker crash, once or several times in a row.
func crashing(r *rand.Rand) (name string, do func(*world)) {
	at := point(r.IntN(int(points)))
	times := 1
	if r.IntN(3) == 0 {
		times = 2 + r.IntN(30)
	}
	slow := r.IntN(4) == 0
	down := func() time.Duration {
		if slow {
			return time.Duration(r.Int64N(int64(40 * time.Minute)))
		}
		return time.Duration(r.Int64N(int64(10 * time.Second)))
	}
	damaging, damage := damaging(r)
	return fmt.Sprintf("crash %s, %d times%s", at, times, damaging), func(w *world) {
		w.kill(&crash{at: at, times: times, down: down, damage: damage})
	}
}

// crashLoop: the broker dies at the same point hundreds of times in a row, for
// hours. What it fetches each time is lost.
func crashLoop(r *rand.Rand) (string, func(*world)) {
	at := point(r.IntN(int(points)))
	times, most := 50+r.IntN(300), 5*time.Second+time.Duration(r.Int64N(int64(time.Minute)))
	down := func() time.Duration { return time.Duration(r.Int64N(int64(most))) }
	return fmt.Sprintf("crash loop %s, %d times", at, times), func(w *world) {
		w.kill(&crash{at: at, times: times, down: down})
		// The calls that are left have to last until midnight at WeChat.
		w.disturb(25 * time.Hour)()
	}
}

// cutFile: the broker is stopped for a moment and most of its file is gone.
func cutFile(*rand.Rand) (string, func(*world)) {
	return "the file is cut", func(w *world) {
		w.kill(&crash{at: now, times: 1, down: func() time.Duration { return time.Second }, damage: change(func(raw []byte) []byte { return raw[:min(len(raw), 3*4096)] })})
	}
}

// kill begins a plan, unless another is under way.
func (w *world) kill(plan *crash) {
	w.mu.Lock()
	busy := w.plan != nil
	w.mu.Unlock()
	if busy {
		return
	}
	// A value that was lost is fetched again at once. A value that is old, as edges prove,
	// is fetched again after the overlap of five minutes.
	plan.over = w.disturb(8 * time.Minute)
	w.mu.Lock()
	w.plan = plan
	w.mu.Unlock()
	if plan.at == now {
		w.cutNow()
	}
}

// damaging returns what happens to the database while the broker is down.
func damaging(r *rand.Rand) (name string, damage func(*world)) {
	switch r.IntN(12) {
	case 0:
		return ", and the file is cut short", change(func(raw []byte) []byte { return raw[:r.IntN(len(raw)+1)] })
	case 1:
		return ", and a page is zero", change(func(raw []byte) []byte {
			if pages := len(raw) / 4096; pages > 0 {
				page := r.IntN(pages)
				clear(raw[page*4096 : (page+1)*4096])
			}
			return raw
		})
	case 2:
		return ", and bytes are garbled", change(func(raw []byte) []byte {
			for range 1 + r.IntN(200) {
				if len(raw) > 0 {
					raw[r.IntN(len(raw))] = byte(r.IntN(256))
				}
			}
			return raw
		})
	case 3:
		return ", and the file is lost", lose
	case 4:
		return ", and an old copy is restored", restore
	}
	return "", nil
}

// change returns a damage that changes the database's file by f.
func change(f func(raw []byte) []byte) func(*world) {
	return func(w *world) {
		raw, err := os.ReadFile(w.config.Data)
		if err != nil {
			return // the broker had not made a file yet
		}
		if err := os.WriteFile(w.config.Data, f(raw), 0o600); err != nil {
			w.failf("damaging the database: %v", err)
		}
		w.calls.damaged()
	}
}

// turnedBits: one bit of every value in the file has turned. Otherwise the file is sound.
func turnedBits(*rand.Rand) (string, func(*world)) {
	turn := change(func(raw []byte) []byte {
		const before = `{"value":"`
		for at := 0; ; at += len(before) {
			next := bytes.Index(raw[at:], []byte(before))
			if next < 0 {
				return raw
			}
			at += next
			raw[min(at+len(before)+20, len(raw)-1)] ^= 1
		}
	})
	return "a bit of each value in the database is turned", func(w *world) {
		w.kill(&crash{at: now, times: 1, damage: turn, down: func() time.Duration { return time.Second }})
	}
}

// restored: the broker is stopped for a moment and an old copy of its database
// restored.
func restored(*rand.Rand) (string, func(*world)) {
	return "an old copy of the database is restored", func(w *world) {
		w.kill(&crash{at: now, times: 1, damage: restore, down: func() time.Duration { return time.Second }})
	}
}

// newMachine: the broker is started on another machine, without its database, and that
// machine's clock is behind. Its versions would be behind too, but edges say which
// versions they hold.
func newMachine(r *rand.Rand) (string, func(*world)) {
	behind := time.Duration(r.Int64N(int64(3 * time.Hour)))
	return fmt.Sprintf("the broker moves to a machine whose clock is %v behind, without its database", behind), func(w *world) {
		w.kill(&crash{at: now, times: 1, down: func() time.Duration { return time.Second }, damage: func(w *world) {
			lose(w)
			w.clock.Step(-behind)
			for _, e := range w.edges {
				e.uneven = true
			}
		}})
	}
}

func lose(w *world) {
	_ = os.Remove(w.config.Data) // it may not be there
	w.calls.lost()
}

// restore puts the last copy in the database's place.
func restore(w *world) {
	raw, err := os.ReadFile(filepath.Join(filepath.Dir(w.config.Data), "backup"))
	if err != nil {
		backUp(w) // there is no copy yet: this is the one for the next time
		return
	}
	if err := os.WriteFile(w.config.Data, raw, 0o600); err != nil {
		w.failf("restoring the database: %v", err)
	}
	w.calls.lost()
}

// backUp copies the database, as it is on the disk while the broker runs.
func backUp(w *world) {
	raw, err := os.ReadFile(w.config.Data)
	if err != nil {
		return
	}
	if err := os.WriteFile(filepath.Join(filepath.Dir(w.config.Data), "backup"), raw, 0o600); err != nil {
		w.failf("copying the database: %v", err)
	}
}

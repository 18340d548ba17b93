package keeper_test

import (
	"crypto/sha256"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wxbroker/wxbroker/broker/internal/keeper"
	"github.com/wxbroker/wxbroker/broker/internal/wechat"
	"github.com/wxbroker/wxbroker/pkg/credential"
	"github.com/wxbroker/wxbroker/pkg/wechatsim"
)

func hashOf(c credential.Credential) [sha256.Size]byte {
	return sha256.Sum256([]byte(c.Value.Reveal()))
}

// report reports c from 200 callers at once and checks that each is told what
// is current afterwards; live says whether anything is to be.
func (w *world) report(t *testing.T, c credential.Credential, live bool) {
	t.Helper()
	answers := make([]credential.Versions, 200)
	var reporting sync.WaitGroup
	for i := range answers {
		reporting.Go(func() {
			var err error
			if answers[i], err = w.keeper.Report(t.Context(), c.Kind, hashOf(c)); err != nil {
				t.Error(err)
			}
		})
	}
	reporting.Wait()
	want := credential.Versions{Reported: c.Version}
	if now, isLive := w.get(c.Kind); isLive != live {
		t.Errorf("there is a live %s: %v", c.Kind, isLive)
	} else if live {
		want.Current = now.Version
	}
	for _, got := range answers {
		if got != want {
			t.Fatalf("answered %+v, want %+v", got, want)
		}
	}
}

// TestReports: however many report a value, WeChat is asked about it once, and
// only what WeChat refuses is replaced.
func TestReports(t *testing.T) {
	const classic, stableAPI = wechatsim.Classic, wechatsim.Stable
	kill := func(api wechatsim.TokenAPI) func(*testing.T, *world) {
		return func(t *testing.T, w *world) {
			t.Helper()
			if err := w.sim.KillToken(appid, api); err != nil {
				t.Fatal(err)
			}
		}
	}
	type calls struct{ probes, tokens, tickets int }
	for _, tt := range []struct {
		name    string
		stable  bool
		kind    credential.Kind
		before  func(*testing.T, *world) // nil: the value is good
		calls   calls
		rotated bool
		live    bool // afterwards
	}{
		{"a good token", false, credential.AccessToken, nil, calls{probes: 1}, false, true},
		{"a good stable token", true, credential.AccessToken, nil, calls{probes: 1}, false, true},
		{"a dead classic token", false, credential.AccessToken, kill(classic), calls{probes: 1, tokens: 1}, true, true},
		{"a dead stable token", true, credential.AccessToken, kill(stableAPI), calls{probes: 1, tokens: 1}, true, true},
		{"a good ticket", true, credential.JSAPITicket, nil, calls{tickets: 1}, false, true},
		{"a dead ticket", true, credential.JSAPITicket, func(t *testing.T, w *world) {
			t.Helper()
			if err := w.sim.KillTicket(appid, wechatsim.JSAPI); err != nil {
				t.Fatal(err)
			}
		}, calls{tickets: 1}, true, true},
		{"a good ticket while the token is dead", true, credential.JSAPITicket, kill(stableAPI), calls{probes: 1, tokens: 1, tickets: 2}, false, true},
		{"a dead token that cannot be replaced", false, credential.AccessToken, func(t *testing.T, w *world) {
			t.Helper()
			kill(classic)(t, w)
			w.inject(t, wechatsim.Fault{Kind: wechatsim.FaultCode, Path: wechatsim.PathToken, Code: 40164})
		}, calls{probes: 1, tokens: 1}, false, false},
		{"a token that nobody can probe", false, credential.AccessToken, func(t *testing.T, w *world) {
			t.Helper()
			kill(classic)(t, w)
			w.inject(t, wechatsim.Fault{Kind: wechatsim.FaultReset, Path: wechatsim.PathDomainIP})
		}, calls{probes: 1}, false, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, wechatsim.Settings{}, func(o *keeper.Options) { o.Stable = tt.stable })
				w.start(t)
				time.Sleep(time.Minute)
				before, _ := w.get(tt.kind)
				count := func() calls {
					return calls{
						w.calls(wechatsim.PathDomainIP) + w.sim.Count(wechatsim.Call{AppID: wechatsim.UnknownApp}),
						w.calls(wechatsim.PathToken) + w.calls(wechatsim.PathStableToken), w.calls(wechatsim.PathTicket),
					}
				}
				if tt.before != nil {
					tt.before(t, w)
				}
				start := count()
				check := func(when string) {
					t.Helper()
					n := count()
					if got := (calls{n.probes - start.probes, n.tokens - start.tokens, n.tickets - start.tickets}); got != tt.calls {
						t.Errorf("%s: %+v calls, want %+v", when, got, tt.calls)
					}
				}
				w.report(t, before, tt.live)
				check("after 200 reports")
				after, _ := w.get(tt.kind)
				if (after.Version > before.Version) != tt.rotated {
					t.Errorf("version %d became %d", before.Version, after.Version)
				}
				time.Sleep(59 * time.Second)
				w.report(t, before, tt.live)
				w.report(t, after, tt.live)
				check("after 600 in a minute")
			})
		})
	}
}

// TestReportOfAValueBefore is answered from memory, however often it comes.
func TestReportOfAValueBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, wechatsim.Settings{}, nil)
		w.start(t)
		first := map[credential.Kind]credential.Credential{}
		for _, kind := range []credential.Kind{credential.AccessToken, credential.JSAPITicket} {
			first[kind], _ = w.get(kind)
		}
		time.Sleep(5 * time.Hour)
		synctest.Wait()
		w.stop()
		w.start(t) // a restart does not forget them
		calls := w.allCalls()
		for _, c := range first {
			w.report(t, c, true)
		}
		if n := w.allCalls() - calls; n != 0 {
			t.Errorf("%d calls for values that were replaced long ago", n)
		}
	})
}

func TestReportOfNoValueOfOurs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, wechatsim.Settings{}, nil)
		w.start(t)
		token, _ := w.get(credential.AccessToken)
		calls := w.allCalls()
		for name, report := range map[string]struct {
			kind credential.Kind
			hash [sha256.Size]byte
		}{
			"nobody's":             {credential.AccessToken, sha256.Sum256([]byte("80_not-ours"))},
			"the empty one":        {credential.AccessToken, sha256.Sum256(nil)},
			"no hash":              {credential.AccessToken, [sha256.Size]byte{}},
			"of another kind":      {credential.JSAPITicket, hashOf(token)},
			"of a kind not kept":   {credential.WXCardTicket, hashOf(token)},
			"of a kind not a kind": {credential.Kind("sdk_ticket"), hashOf(token)},
		} {
			if got, err := w.keeper.Report(t.Context(), report.kind, report.hash); !errors.Is(err, keeper.ErrUnknownValue) {
				t.Errorf("%s: answered %+v, %v", name, got, err)
			}
		}
		if n := w.allCalls() - calls; n != 0 {
			t.Errorf("%d calls for values that are not ours", n)
		}
	})
}

// TestReportsOfLongAgo: of each kind the last 32 values before the current one
// are known, so that neither memory nor store grows with time.
func TestReportsOfLongAgo(t *testing.T) {
	const known = 32
	synctest.Test(t, func(t *testing.T) {
		short := wechatsim.Settings{TokenLifetime: 20 * time.Second, TicketLifetime: 20 * time.Second, ClassicQuota: wechatsim.None}
		w := newWorld(t, short, func(o *keeper.Options) {
			o.Limits = keeper.Limits{wechat.TokenAPI: 1e6, wechat.TicketAPI: 1e6}
		})
		w.start(t)
		time.Sleep(15 * time.Minute)
		synctest.Wait()
		for _, restart := range []bool{false, true} {
			if restart {
				w.stop()
				w.start(t)
			}
			for _, kind := range []credential.Kind{credential.AccessToken, credential.JSAPITicket} {
				values := w.handedOut(kind)
				if len(values) < known+2 {
					t.Fatalf("only %d values of the %s were handed out: this test shows nothing", len(values), kind)
				}
				for i, c := range values[:len(values)-1] {
					versions, err := w.keeper.Report(t.Context(), kind, hashOf(c))
					age := len(values) - 1 - i // how many values ago
					switch {
					case age <= known && (err != nil || versions.Reported != c.Version):
						t.Errorf("after a restart %v: the %s of %d values ago: %+v, %v", restart, kind, age, versions, err)
					case age > known && !errors.Is(err, keeper.ErrUnknownValue):
						t.Errorf("after a restart %v: the %s of %d values ago is still known: %v", restart, kind, age, err)
					}
				}
			}
		}
	})
}

// handedOut returns every value of a kind that was published, the oldest first.
func (w *world) handedOut(kind credential.Kind) []credential.Credential {
	w.mu.Lock()
	defer w.mu.Unlock()
	var values []credential.Credential
	for _, account := range w.history {
		c, ok := account.Credential(kind)
		if ok && (len(values) == 0 || c.Version != values[len(values)-1].Version) {
			values = append(values, c)
		}
	}
	return values
}

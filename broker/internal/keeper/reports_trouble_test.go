package keeper_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wxbroker/wxbroker/broker/internal/keeper"
	"github.com/wxbroker/wxbroker/pkg/credential"
	"github.com/wxbroker/wxbroker/pkg/wechatsim"
)

// TestReportsEndNoBackOff: while WeChat refuses our address a report is no
// reason to ask before the time.
func TestReportsEndNoBackOff(t *testing.T) {
	for _, tt := range []struct {
		kind credential.Kind
		path string
	}{
		{credential.AccessToken, wechatsim.PathToken},
		{credential.JSAPITicket, wechatsim.PathTicket},
	} {
		t.Run(string(tt.kind), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, wechatsim.Settings{}, nil)
				w.start(t)
				w.inject(t, wechatsim.Fault{Kind: wechatsim.FaultCode, Path: tt.path, Code: 40164})
				failing := func() bool {
					for _, s := range w.keeper.Status().Kinds {
						if s.Kind == tt.kind {
							return s.LastError != nil
						}
					}
					return false
				}
				for !failing() {
					time.Sleep(time.Second)
					synctest.Wait()
				}
				c, _ := w.get(tt.kind)
				count := func() int { return w.calls(tt.path) + w.calls(wechatsim.PathDomainIP) }
				calls := count()
				w.report(t, c, true)
				time.Sleep(50 * time.Second)
				synctest.Wait()
				w.report(t, c, true)
				if n := count() - calls; n != 0 {
					t.Errorf("%d calls within a back-off of a minute", n)
				}
			})
		})
	}
}

// TestReportsAgainstAnAPIThatAlwaysSays40001: apps that believe it report good
// credentials all day. Nothing is rotated out of turn, and WeChat is asked once
// a minute at most.
func TestReportsAgainstAnAPIThatAlwaysSays40001(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, wechatsim.Settings{}, stable)
		w.start(t)
		ticket, _ := w.get(credential.JSAPITicket)
		w.inject(t, wechatsim.Fault{Kind: wechatsim.FaultCode, Path: wechatsim.PathTicket, Code: 40001})
		minute := w.calls(wechatsim.PathDomainIP)
		during(day, 10*time.Second, func(elapsed time.Duration) {
			token, live := w.get(credential.AccessToken)
			if !live {
				t.Fatalf("after %v there is no live token", elapsed)
			}
			for _, c := range []credential.Credential{token, ticket} {
				if _, err := w.keeper.Report(t.Context(), c.Kind, hashOf(c)); err != nil {
					t.Fatal(err)
				}
			}
			if elapsed%time.Minute == 0 {
				n := w.calls(wechatsim.PathDomainIP)
				if n-minute > 1 {
					t.Fatalf("%d probes in the minute before %v", n-minute, elapsed)
				}
				minute = n
			}
		})
		// As many as without any report: see TestTokenOverADay.
		if n := w.calls(wechatsim.PathStableToken); n > 86400/6910+1 {
			t.Errorf("%d token calls", n)
		}
		if n := w.calls(wechatsim.PathTicket); n > 24*6*2+10 {
			t.Errorf("%d ticket calls", n)
		}
		for _, s := range w.keeper.Status().Kinds {
			if len(s.EarlyEnds) != 0 {
				t.Errorf("%s is said to have died early", s.Kind)
			}
		}
	})
}

// TestReportToAKeeperThatIsBusyOrGone: whoever waits does so no longer than it
// wants, and learns when there is nobody left to answer.
func TestReportToAKeeperThatIsBusyOrGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, wechatsim.Settings{}, nil)
		w.start(t)
		token, _ := w.get(credential.AccessToken)
		report := func(ctx context.Context) error {
			_, err := w.keeper.Report(ctx, token.Kind, hashOf(token))
			return err
		}
		w.inject(t, wechatsim.Fault{Kind: wechatsim.FaultHang, Path: wechatsim.PathDomainIP})
		soon, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		for _, who := range []string{"whose report makes WeChat hang", "behind it"} {
			if err := report(soon); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("the caller %s is told %v", who, err)
			}
		}
		if took := time.Since(start); took != time.Second {
			t.Errorf("waited for %v", took)
		}
		cancelled, cancel := context.WithCancel(t.Context())
		cancel()
		if err := report(cancelled); !errors.Is(err, context.Canceled) {
			t.Errorf("a caller that has left is told %v", err)
		}
		waiting := make(chan error, 1)
		go func() { waiting <- report(t.Context()) }()
		synctest.Wait()
		w.stop()
		// Whether it is still answered is chance.
		if err := <-waiting; err != nil && !errors.Is(err, keeper.ErrStopped) {
			t.Errorf("a caller that waits while the keeper stops is told %v", err)
		}
		if err := report(t.Context()); !errors.Is(err, keeper.ErrStopped) {
			t.Errorf("afterwards: %v", err)
		}
	})
}

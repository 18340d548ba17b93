package app

import (
	"errors"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wxbroker/wxbroker/broker/internal/store"
	"github.com/wxbroker/wxbroker/broker/internal/store/storetest"
	"github.com/wxbroker/wxbroker/pkg/tlstest"
	"github.com/wxbroker/wxbroker/pkg/wechatsim"
)

// TestWarningsAtTheStart: what a person should mend is logged, whichever part of the
// broker noticed it.
func TestWarningsAtTheStart(t *testing.T) {
	for _, tt := range []struct {
		name   string
		before func(*testing.T, *site)
		says   []string // texts in one line; none where nothing is to be logged
	}{
		{"nothing is wrong", func(t *testing.T, s *site) {
			ca := tlstest.NewCA(t, "ours")
			keys, _ := s.secured(ca, ca.Issue(t))
			s.more = keys + apps("web , accounts: ['*'], grants: [sign]")
		}, nil},
		{"TLS files", func(t *testing.T, s *site) {
			ca := tlstest.NewCA(t, "ours")
			keys, _ := s.secured(ca, ca.Issue(t))
			_, key, _ := strings.Cut(keys, "key_file: '")
			key, _, _ = strings.Cut(key, "'")
			if err := os.Chmod(key, 0o644); err != nil {
				t.Fatal(err)
			}
			s.more = keys + apps("web , accounts: ['*'], grants: [sign]")
		}, []string{"level=WARN", "TLS needs attention", "can be read by every user"}},
		{"the configuration", func(*testing.T, *site) {}, []string{"level=WARN", "msg=configuration", "the configuration has no apps"}},
		{"the cluster's keys", func(_ *testing.T, s *site) {
			s.more = "kubernetes: {issuer: a-cluster, discovery_url: 'http://127.0.0.1:1'}\n" +
				"apps: [{name: web, identities: ['k8s:shop:web'], accounts: ['*'], grants: [sign]}]\n"
		}, []string{"level=WARN", "Kubernetes tokens cannot be verified yet", "connection refused"}},
		{"the database", func(_ *testing.T, s *site) {
			s.more = apps("web , accounts: ['*'], grants: [sign]")
			s.found.Warnings = []string{"its directory can be written by everybody"}
		}, []string{"level=WARN", "msg=database", "its directory can be written by everybody"}},
		{"a damaged database", func(_ *testing.T, s *site) {
			s.more = apps("web , accounts: ['*'], grants: [sign]")
			s.found.Aside = &store.Aside{Path: "wxbroker.db.damaged", Reason: errors.New("page 3: bad checksum")}
		}, []string{"level=ERROR", "the database was damaged and is set aside", "now=wxbroker.db.damaged", "page 3: bad checksum"}},
		{"a database that no key opens", func(_ *testing.T, s *site) {
			s.more = apps("web , accounts: ['*'], grants: [sign]")
			s.found.Unreadable = errors.New("sealed with another key")
		}, []string{"level=ERROR", "the database cannot be read", "sealed with another key"}},
		{"no database and no room", func(_ *testing.T, s *site) {
			s.more = apps("web , accounts: ['*'], grants: [sign]")
			s.found.Full = storetest.ErrFull
		}, []string{"level=ERROR", "everything is kept in memory", "no space left on device"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSite(t)
				tt.before(t, s)
				s.start("wx1")
				synctest.Wait()
				said := false
				for line := range strings.Lines(s.log.String()) {
					if strings.Contains(line, "level=INFO") {
						continue
					}
					said = true
					for _, words := range tt.says {
						if !strings.Contains(line, words) {
							t.Errorf("it says %s and not %q", line, words)
						}
					}
				}
				if want := len(tt.says) > 0; said != want {
					t.Errorf("it says %s", s.log.String())
				}
				s.end()
			})
		})
	}
}

// TestWarningsAfterAReload: what was said before is not said again, and what is new is.
func TestWarningsAfterAReload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := startSite(t, false, "wx1")
		said := func(when string, open, exposed int) {
			t.Helper()
			synctest.Wait()
			log := s.log.String()
			if o, e := strings.Count(log, "the configuration has no apps"), strings.Count(log, "can be read by every user"); o != open || e != exposed {
				t.Errorf("%s it has said %d times that it is open, and %d times that a secret can be read, want %d and %d", when, o, e, open, exposed)
			}
		}
		said("at first", 1, 0)
		if err := os.Chmod(s.beside("secret"), 0o644); err != nil {
			t.Fatal(err)
		}
		for range 3 {
			s.reload("wx1")
			said("with a secret that can be read", 1, 1)
		}
		if err := os.Chmod(s.beside("secret"), 0o600); err != nil {
			t.Fatal(err)
		}
		s.reload("wx1")
		said("with the secret mended", 1, 1)
		if err := os.Chmod(s.beside("secret"), 0o644); err != nil {
			t.Fatal(err)
		}
		s.reload("wx1")
		said("with the secret spoilt again", 1, 2)
		s.end()
	})
}

// TestLostDatabase: nobody knows how many calls were made today for the accounts that
// were in the database. So half of each limit counts as spent. It does not for an
// account that is added later.
func TestLostDatabase(t *testing.T) {
	for _, tt := range []struct {
		name string
		lose func(*store.Findings)
		used float64 // calls that count as made at the start, with the first one
		set  float64 // the metric of databases that were set aside
	}{
		{"nothing is lost", func(*store.Findings) {}, 1, 0},
		{"it was damaged", func(f *store.Findings) { f.Aside = &store.Aside{Path: "bad", Reason: errors.New("damaged")} }, 5001, 1},
		{"there is no room", func(f *store.Findings) { f.Full = storetest.ErrFull }, 5001, 0},
		{"no key opens it", func(f *store.Findings) { f.Unreadable = errors.New("another key") }, 5001, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSite(t)
				tt.lose(&s.found)
				s.start("wx1")
				synctest.Wait()
				s.reload("wx1", "wx2")
				s.has("with another account", map[string]float64{
					`wxbroker_budget_used{api="stable_token",appid="wx1"}`: tt.used,
					`wxbroker_budget_used{api="stable_token",appid="wx2"}`: 1,
					`wxbroker_database_set_aside`:                          tt.set,
				})
				s.end()
			})
		})
	}
}

// TestUndatedValues: while nobody knows how old a value is, no expiry is shown for it.
func TestUndatedValues(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		expiry := map[string]float64{}
		for _, kind := range []string{"access_token", "jsapi_ticket"} {
			expiry[`wxbroker_credential_expiry_timestamp_seconds{appid="wx1",kind="`+kind+`"}`] = seconds(time.Now().Add(2 * time.Hour))
		}
		s := startSite(t, false, "wx1")
		s.has("at first", expiry)
		s.end()

		if err := s.sim.Inject(wechatsim.Fault{Kind: wechatsim.FaultReset}); err != nil {
			t.Fatal(err)
		}
		s.clock.Step(-time.Hour) // the machine was off, and its clock is set back
		s.start("wx1")
		synctest.Wait()
		for series := range expiry {
			expiry[series] = -1
		}
		s.has("with a clock that was set back", expiry)
		s.end()
	})
}

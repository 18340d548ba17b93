package app

import (
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/wxbroker/wxbroker/pkg/credential"
	wxbrokerv1 "github.com/wxbroker/wxbroker/proto/wxbroker/v1"
)

// TestWhatEdgesHoldReachesTheKeeper: the database is an old copy, so an edge holds a
// newer version than the broker's. The broker then hands out a version above the
// edge's, or the edge would take nothing more.
func TestWhatEdgesHoldReachesTheKeeper(t *testing.T) {
	for _, kind := range []credential.Kind{credential.AccessToken, credential.JSAPITicket} {
		t.Run(string(kind), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSite(t)
				s.more = apps("web , accounts: [wx1], grants: [sign, token]")
				s.start("wx1")
				synctest.Wait()
				version := func() int64 {
					account, _ := s.app.states.Account("wx1")
					c, _ := account.Credential(kind)
					return c.Version
				}
				held := version() + time.Hour.Milliseconds()
				edge := s.subscribe("web", s.connect(), &wxbrokerv1.Subscription{
					Kinds: []wxbrokerv1.CredentialKind{kind.Wire()},
					Held:  []*wxbrokerv1.HeldVersion{{Appid: "wx1", Kind: kind.Wire(), Version: held}},
				})
				edge.check(t, "at first", "wx1", false, codes.OK)
				time.Sleep(2 * time.Minute) // claims cause no more than one call a minute
				synctest.Wait()
				if got := version(); got <= held {
					t.Errorf("the broker has version %d, and the edge %d", got, held)
				}
				s.end()
			})
		})
	}
}

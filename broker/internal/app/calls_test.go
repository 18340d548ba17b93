package app

import (
	"testing"
	"testing/synctest"

	wxbrokerv1 "github.com/wxbroker/wxbroker/proto/wxbroker/v1"
)

// TestCallsSurviveARestart: the calls of the day are still counted, and an edge gets
// the key with which it has made aliases, of each app its own.
func TestCallsSurviveARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t)
		s.more = apps("web , accounts: ['*'], grants: [call]", "shop , accounts: ['*'], grants: [call]")
		aliasKey := func(app string) string {
			t.Helper()
			stream, err := wxbrokerv1.NewCredentialServiceClient(s.connect()).Watch(s.by(app))
			if err != nil {
				t.Fatal(err)
			}
			_ = stream.Send(&wxbrokerv1.WatchRequest{Request: &wxbrokerv1.WatchRequest_Subscription{Subscription: &wxbrokerv1.Subscription{Calls: true}}}) // Recv says why not
			state, err := stream.Recv()
			if err != nil || len(state.GetAccounts()) != 1 {
				t.Fatalf("%v, %v", state, err)
			}
			return string(state.GetAccounts()[0].GetAliasKey())
		}
		s.start("wx1")
		synctest.Wait()
		s.send(s.connect(), "web")
		web, shop := aliasKey("web"), aliasKey("shop")
		if web == "" || shop == "" || web == shop {
			t.Errorf("the alias keys have %d and %d bytes, the same: %v", len(web), len(shop), web == shop)
		}
		s.end()

		s.start("wx1")
		synctest.Wait()
		if again := aliasKey("web"); again != web {
			t.Error("after a restart there is another alias key")
		}
		if calls := s.app.relay.Today("wx1"); len(calls) != 1 || calls[0].App != "web" || calls[0].Used != 1 {
			t.Errorf("after a restart the calls of the day are %+v", calls)
		}
		s.end()
	})
}

package app

import (
	"slices"
	"testing"
	"testing/synctest"

	wxbrokerv1 "github.com/wxbroker/wxbroker/proto/wxbroker/v1"
)

// TestWhoAdministersAnAccountSeesItsEdges, also those that make calls only, and no
// others.
func TestWhoAdministersAnAccountSeesItsEdges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t)
		s.more = apps(
			"sign1 , accounts: [wx1], grants: [sign]", "call1 , accounts: [wx1], grants: [call]", "ops1 , accounts: [wx1], grants: [admin]",
			"sign2 , accounts: [wx2], grants: [sign]", "call2 , accounts: [wx2], grants: [call]", "ops2 , accounts: [wx2], grants: [admin]",
			"call , accounts: ['*'], grants: [call]", "ops , accounts: ['*'], grants: [admin]", "ops3 , accounts: [wx3], grants: [admin]",
		)
		s.start("wx1", "wx2", "wx3")
		conn := s.connect()
		for _, app := range []string{"sign1", "sign2"} {
			s.watch(app, conn)
		}
		for _, app := range []string{"call", "call1", "call2"} {
			s.subscribe(app, conn, &wxbrokerv1.Subscription{Calls: true})
		}
		for viewer, want := range map[string][]string{
			"ops":  {"call", "call1", "call2", "sign1", "sign2"},
			"ops1": {"call", "call1", "sign1"},
			"ops2": {"call", "call2", "sign2"},
			"ops3": {"call"},
		} {
			got, err := wxbrokerv1.NewOperatorServiceClient(conn).GetStatus(s.by(viewer), new(wxbrokerv1.GetStatusRequest))
			if err != nil {
				t.Fatal(err)
			}
			var seen []string
			for _, edge := range got.GetEdges() {
				seen = append(seen, edge.GetApp())
			}
			slices.Sort(seen)
			if !slices.Equal(seen, want) {
				t.Errorf("%s sees the edges of %q, want %q", viewer, seen, want)
			}
		}
		s.end()
	})
}

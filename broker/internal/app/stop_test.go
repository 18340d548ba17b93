package app

import (
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/wxbroker/wxbroker/pkg/wechatsim"
	wxbrokerv1 "github.com/wxbroker/wxbroker/proto/wxbroker/v1"
)

// TestStreamsEndBeforeKeepers: at a stop the streams end at once. Keepers run on until
// everybody who asked something before is answered.
func TestStreamsEndBeforeKeepers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t)
		s.more = apps("ops , grants: [admin]", "web , accounts: ['*'], grants: [sign]")
		s.start("wx1")
		conn := s.connect()
		edge := s.watch("web", conn)
		s.slow(wechatsim.PathStableToken)
		const asked = 2 // one after the other
		answered := make(chan error, asked)
		for range asked {
			go func() {
				_, err := wxbrokerv1.NewOperatorServiceClient(conn).Refresh(s.by("ops"), &wxbrokerv1.RefreshRequest{Appid: "wx1"})
				answered <- err
			}()
		}
		synctest.Wait()
		start := time.Now()
		s.stop()
		edge.check(t, "at once", "", true, codes.OK)
		for range asked {
			if err := <-answered; err != nil {
				t.Errorf("after %v: %v", time.Since(start), err)
			}
		}
		if took := time.Since(start); took <= 2*time.Second {
			t.Errorf("all was answered after %v, so this shows nothing", took)
		}
		s.end()
	})
}

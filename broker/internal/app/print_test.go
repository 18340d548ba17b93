package app

import (
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	wxbrokerv1 "github.com/wxbroker/wxbroker/proto/wxbroker/v1"
)

// TestPrintQuotaOfApps: the example in docs/operations.md.
func TestPrintQuotaOfApps(t *testing.T) {
	out := new(strings.Builder)
	err := printQuota(out, "wx1", &wxbrokerv1.GetQuotaResponse{
		Apps: []*wxbrokerv1.AppCalls{
			{App: "shop-web", Api: "/cgi-bin/message/template/send", Used: 1841, Limit: new(int64(20000))},
			{App: "shop-web", Api: "/cgi-bin/media/get", Used: 3},
		},
		Stopped: []*wxbrokerv1.StoppedAPI{{
			Api: "/cgi-bin/message/custom/send", Errcode: 45011,
			UntilTime: timestamppb.New(time.Date(2026, 11, 21, 8, 31, 0, 0, time.UTC)),
		}},
	})
	const want = `
APP       API                             TODAY  LIMIT
shop-web  /cgi-bin/message/template/send  1841   20000
shop-web  /cgi-bin/media/get              3      -

NOT CALLED NOW                WECHAT SAID  UNTIL
/cgi-bin/message/custom/send  45011        2026-11-21T08:31:00Z
`
	if err != nil || !strings.Contains(out.String(), want) {
		t.Errorf("%v\n%s", err, out)
	}
}

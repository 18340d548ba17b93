package operator_test

import (
	"errors"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/wxbroker/wxbroker/broker/internal/access"
	"github.com/wxbroker/wxbroker/broker/internal/snapshot"
	"github.com/wxbroker/wxbroker/broker/internal/store"
	"github.com/wxbroker/wxbroker/pkg/wechatsim"
	wxbrokerv1 "github.com/wxbroker/wxbroker/proto/wxbroker/v1"
)

const (
	tokenKind  = wxbrokerv1.CredentialKind_CREDENTIAL_KIND_ACCESS_TOKEN
	ticketKind = wxbrokerv1.CredentialKind_CREDENTIAL_KIND_JSAPI_TICKET
)

// status returns the state of an account, or of all for "".
func (w *world) status(t *testing.T, appid string) *wxbrokerv1.GetStatusResponse {
	t.Helper()
	got, err := w.GetStatus(as(t, access.EveryAccount), &wxbrokerv1.GetStatusRequest{Appid: appid})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func TestStatusOfAHealthyBroker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil, appid, other)
		start := time.Now()
		time.Sleep(5 * time.Minute)
		got := w.status(t, "")
		if got.GetVersion() != "v1.2.3" || !got.GetStartTime().AsTime().Equal(start) || !got.GetServerTime().AsTime().Equal(time.Now()) {
			t.Errorf("version %s, started %v, now %v", got.GetVersion(), got.GetStartTime().AsTime(), got.GetServerTime().AsTime())
		}
		if len(got.GetAccounts()) != 2 || got.GetAccounts()[0].GetAppid() != other || got.GetAccounts()[1].GetAppid() != appid {
			t.Fatalf("accounts %v, want both in order", got.GetAccounts())
		}
		if one := w.status(t, appid).GetAccounts(); len(one) != 1 || one[0].GetAppid() != appid {
			t.Errorf("asked for %s: %v", appid, one)
		}
		a := got.GetAccounts()[1]
		if len(a.GetAdvice()) != 0 || len(a.GetCredentials()) != 2 {
			t.Errorf("account %v", a)
		}
		for i, kind := range []wxbrokerv1.CredentialKind{tokenKind, ticketKind} {
			c := a.GetCredentials()[i]
			if c.GetKind() != kind || c.GetVersion() == 0 || c.GetRefused() || c.GetUnsaved() || c.GetFailure() != nil || c.GetEarlyDeaths() != 0 || c.GetLastEarlyDeathTime() != nil {
				t.Errorf("credential %v", c)
			}
			if left := c.GetExpireTime().AsTime().Sub(start); left != 2*time.Hour {
				t.Errorf("%v expires %v after the start", kind, left)
			}
			if next := c.GetNextCallTime().AsTime(); !next.After(time.Now()) {
				t.Errorf("the next call for %v is at %v", kind, next)
			}
		}
		used := map[string]int64{}
		for _, b := range a.GetBudget() {
			used[b.GetApi()] = b.GetUsed()
			if b.GetLimit() == 0 || !b.GetResetTime().AsTime().After(time.Now()) || b.GetUnsaved() {
				t.Errorf("budget %v", b)
			}
		}
		if len(used) != 7 || used["token"] != 1 || used["ticket"] != 1 || used["stable_token"] != 0 {
			t.Errorf("calls %v", used)
		}
		if u := got.GetUpstreams(); len(u) != 2 || u[0].GetHost() != "127.0.0.1:1" || !u[0].GetInUse() || u[1].GetInUse() || u[0].GetFailure() != "" || u[0].GetFailedTime() != nil {
			t.Errorf("upstreams %v", u)
		}
		if got.GetSetAside() != nil || len(got.GetEdges()) != 0 {
			t.Errorf("set aside %v, edges %v", got.GetSetAside(), got.GetEdges())
		}
	})
}

func TestStatusOfABrokerInTrouble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		w := newWorld(t, func(sim *wechatsim.Sim) {
			sim.Change(func(s *wechatsim.Settings) { s.SeenAddress = netip.MustParseAddr("203.0.113.7") })
			_ = sim.SetAllowList(appid, netip.MustParsePrefix("192.0.2.1/32"))
		}, appid)
		w.SetAside = &store.Aside{Path: "wxbroker.db.bad", Reason: errors.New("page 3: bad checksum")}
		time.Sleep(61 * time.Second)
		synctest.Wait()
		got := w.status(t, "")
		a := got.GetAccounts()[0]
		if advice := strings.Join(a.GetAdvice(), "\n"); !strings.Contains(advice, "203.0.113.7") || !strings.Contains(advice, "allow-list") {
			t.Errorf("advice %q", advice)
		}
		c := a.GetCredentials()[0]
		if c.GetVersion() != 0 || c.GetExpireTime() != nil {
			t.Errorf("credential %v", c)
		}
		f := c.GetFailure()
		if f.GetClass() != "address" || f.GetErrcode() != 40164 || f.GetSeenAddress() != "203.0.113.7" || f.GetCount() != 2 || f.GetAdvice() == "" ||
			!strings.Contains(f.GetMessage(), "calling token at 127.0.0.1:1") {
			t.Errorf("failure %v", f)
		}
		if since, retry := f.GetSince().AsTime(), f.GetRetryTime().AsTime(); !since.Equal(start) || !retry.Equal(start.Add(3*time.Minute)) {
			t.Errorf("since %v, retry %v", since, retry)
		}
		if aside := got.GetSetAside(); aside.GetPath() != "wxbroker.db.bad" || aside.GetReason() != "page 3: bad checksum" {
			t.Errorf("set aside %v", aside)
		}
		text := protojson.Format(got)
		for _, value := range append(w.sim.Issued(appid), secret) {
			if strings.Contains(text, value) {
				t.Errorf("the status shows a secret: %s", text)
			}
		}
	})
}

// TestStatusOfDeadAndFailing: a host that failed, a token that was ended early
// and cannot be replaced.
func TestStatusOfDeadAndFailing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil, appid)
		if err := w.sim.KillToken(appid, wechatsim.Classic); err != nil {
			t.Fatal(err)
		}
		inject(t, w.sim, wechatsim.Fault{Kind: wechatsim.FaultStatus, Path: wechatsim.PathToken, Status: 502, Count: 1})
		inject(t, w.sim, wechatsim.Fault{Kind: wechatsim.FaultCode, Path: wechatsim.PathToken, Code: 45009})
		time.Sleep(10*time.Minute + 5*time.Second) // the ticket's reading finds out
		synctest.Wait()
		got := w.status(t, appid)
		c := got.GetAccounts()[0].GetCredentials()[0]
		if !c.GetRefused() || c.GetVersion() == 0 || c.GetEarlyDeaths() != 1 || c.GetLastEarlyDeathTime() == nil || c.GetFailure().GetClass() != "quota" || c.GetFailure().GetCount() != 2 {
			t.Errorf("credential %v", c)
		}
		first, second := got.GetUpstreams()[0], got.GetUpstreams()[1]
		if first.GetInUse() || !strings.Contains(first.GetFailure(), "HTTP 502") || first.GetFailedTime() == nil {
			t.Errorf("the host that failed: %v", first)
		}
		if !second.GetInUse() || second.GetFailure() != "" || second.GetFailedTime() != nil {
			t.Errorf("the host that refused: %v", second)
		}
		time.Sleep(5 * time.Minute)
		if u := w.status(t, appid).GetUpstreams(); !u[0].GetInUse() || u[1].GetInUse() {
			t.Errorf("five minutes later: %v", u)
		}
	})
}

func TestAnotherAccount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil, appid)
		for _, name := range []string{other, "wx", "WX1"} {
			_, err := w.GetStatus(as(t, access.EveryAccount), &wxbrokerv1.GetStatusRequest{Appid: name})
			_, quotaErr := w.GetQuota(as(t, access.EveryAccount), &wxbrokerv1.GetQuotaRequest{Appid: name})
			_, clearErr := w.ClearQuota(as(t, access.EveryAccount), &wxbrokerv1.ClearQuotaRequest{Appid: name})
			for _, err := range []error{err, quotaErr, clearErr} {
				if status.Code(err) != codes.NotFound || !strings.Contains(err.Error(), name) {
					t.Errorf("account %s: %v", name, err)
				}
			}
		}
	})
}

// TestStatusIsOfWhatOneAdministers: who asks for an account of others is told
// nothing of it, and who is nobody of none.
func TestStatusIsOfWhatOneAdministers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil, appid, other)
		if got, err := w.GetStatus(as(t, appid), &wxbrokerv1.GetStatusRequest{Appid: other}); status.Code(err) != codes.NotFound {
			t.Errorf("who administers %s sees %v, %v", appid, got, err)
		}
		if got, err := w.GetStatus(t.Context(), new(wxbrokerv1.GetStatusRequest)); err != nil || len(got.GetAccounts()) > 0 {
			t.Errorf("nobody sees %v, %v", got, err)
		}
	})
}

func TestStatusOfTheConfiguration(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil, appid)
		w.Configuration = func() snapshot.Configuration {
			return snapshot.Configuration{Loaded: time.Now(), Failure: "line 5 is wrong"}
		}
		got, err := w.GetStatus(as(t, access.EveryAccount), new(wxbrokerv1.GetStatusRequest))
		if err != nil || got.GetConfiguration().GetFailure() != "line 5 is wrong" || !got.GetConfiguration().GetLoadTime().AsTime().Equal(time.Now()) {
			t.Errorf("%v, %v", got.GetConfiguration(), err)
		}
	})
}

// TestRefresh: what is asked is done, and the code says whether it is of use
// to try again.
func TestRefresh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil, appid)
		time.Sleep(time.Hour)
		before := w.Keepers()[0].Status().Kinds[0].Version
		got, err := w.Refresh(as(t, appid), &wxbrokerv1.RefreshRequest{Appid: appid, Force: true})
		if err != nil || got.GetAccount().GetCredentials()[0].GetVersion() <= before {
			t.Errorf("%v, %v", got, err)
		}
		for _, tt := range []struct {
			appid string
			code  codes.Code
		}{{appid, codes.ResourceExhausted}, {"wx9", codes.NotFound}} {
			if _, err := w.Refresh(as(t, appid), &wxbrokerv1.RefreshRequest{Appid: tt.appid, Force: true}); status.Code(err) != tt.code {
				t.Errorf("%s: %v", tt.appid, err)
			}
		}
	})
}

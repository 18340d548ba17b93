package app

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	wxbrokerv1 "github.com/wxbroker/wxbroker/proto/wxbroker/v1"
)

// inBubble runs a test with a broker, in a synctest bubble.
func inBubble(t *testing.T, test func(*testing.T, *fakeBroker)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { test(t, startBroker(t)) })
}

func TestReadyWithTheFirstTicket(t *testing.T) {
	inBubble(t, func(t *testing.T, b *fakeBroker) {
		e := startEdge(t, b, "")
		e.ready(503, "the broker has not sent any account")
		e.refuses("", 503)
		if code, _ := e.get(e.ops, "/healthz", ""); code != 200 {
			t.Errorf("/healthz: HTTP %d", code)
		}
		starting := b.account(shop)
		starting.Credentials = nil
		b.say(starting)
		e.ready(503, "no jsapi_ticket of "+shop+" yet")
		e.refuses("", 503)
		b.say(b.account(shop))
		e.ready(200, "ready")
		e.signsWith("", 1)
	})
}

func TestReadyForEachWantedAccount(t *testing.T) {
	inBubble(t, func(t *testing.T, b *fakeBroker) {
		e := startEdge(t, b, "", shop, pay)
		b.say(b.account(shop))
		e.ready(503, "not sent anything for "+pay)
		e.refuses(pay, 503)
		e.signsWith(shop, 1)
		b.say(b.account(shop), b.account(pay))
		e.ready(200, "ready")
		e.signsWith(pay, 1)
		subscription, _, _ := b.last()
		if got := strings.Join(subscription.GetAppids(), " "); got != shop+" "+pay {
			t.Errorf("asked for %q", got)
		}
	})
}

// An account of --appid that the broker does not grant may be a typo: the log says so,
// once, until the account is there.
func TestAbsentAccountsAreWarnedOf(t *testing.T) {
	inBubble(t, func(t *testing.T, b *fakeBroker) {
		e := startEdge(t, b, "", shop, " "+pay+" ")
		warnings := func(want int) {
			t.Helper()
			if got := strings.Count(e.log.String(), "grants nothing for an account of --appid"); got != want {
				t.Errorf("%d warnings, want %d: %s", got, want, e.log)
			}
		}
		warnings(0) // before the broker is heard nobody knows
		for range 2 {
			b.say(b.account(shop))
			warnings(1)
		}
		if !strings.Contains(e.log.String(), "appid="+pay+"\n") {
			t.Errorf("the log does not say which: %s", e.log)
		}
		b.say(b.account(shop), b.account(pay))
		warnings(1)
		b.say(b.account(shop))
		warnings(2)
	})
}

func TestPolicyTravels(t *testing.T) {
	inBubble(t, func(t *testing.T, b *fakeBroker) {
		e := startEdge(t, b, "")
		account := b.account(shop)
		account.Policy.SignHosts = []string{"other.example.com"}
		b.say(account)
		e.refuses("", 403)
		account.Policy.SignHosts = append(account.Policy.SignHosts, "*.example.com")
		b.say(account)
		e.signsWith("", 1)
	})
}

func TestRefusalDropsEverything(t *testing.T) {
	for _, code := range []codes.Code{codes.PermissionDenied, codes.Unauthenticated} {
		t.Run(code.String(), func(t *testing.T) {
			inBubble(t, func(t *testing.T, b *fakeBroker) {
				e := startEdge(t, b, "k")
				b.say(b.account(shop), b.account(pay))
				e.ready(200, "")
				b.end(status.Error(code, "not in the list"))
				e.ready(503, "the broker has not sent any account")
				for _, appid := range []string{shop, pay} {
					e.refuses(appid, 503)
				}
				if code, body := e.get(e.api, "/token?appid="+shop, "Bearer k"); code != 503 {
					t.Errorf("/token: HTTP %d, %s", code, body)
				}
				if _, body := e.get(e.ops, "/metrics", ""); strings.Contains(body, "wxedge_credential_version") {
					t.Errorf("the metrics still know a credential:\n%s", body)
				}
				// The edge asks again, and gets what it may have then.
				b.say(b.account(shop))
				if subscription, _, _ := b.last(); len(subscription.GetHeld()) != 0 {
					t.Errorf("claims to hold %v", subscription.GetHeld())
				}
				e.ready(200, "")
			})
		})
	}
}

// Promise 4: an outage of the broker is invisible until the ticket expires.
func TestOutageIsInvisibleUntilTheTicketExpires(t *testing.T) {
	inBubble(t, func(t *testing.T, b *fakeBroker) {
		e := startEdge(t, b, "")
		b.say(b.account(shop))
		start := time.Now()
		b.end(status.Error(codes.Unavailable, "restarting"))
		for time.Since(start) < 2*time.Hour {
			e.ready(200, "")
			e.signsWith("", 1)
			time.Sleep(5 * time.Minute)
			b.end(status.Error(codes.Unavailable, "restarting"))
		}
		e.ready(503, "expired")
		e.refuses("", 503)
		b.say(b.account(shop))
		e.ready(200, "")
		e.signsWith("", 2)
	})
}

// Promise 1: no edge ever goes back to an older version.
func TestOlderVersionIsNotTaken(t *testing.T) {
	inBubble(t, func(t *testing.T, b *fakeBroker) {
		e := startEdge(t, b, "")
		old := b.account(shop)
		b.say(old)
		e.signsWith("", 1)
		rotated := b.rotate(shop)
		b.say(rotated)
		e.signsWith("", 2)

		want := rotated.GetCredentials()[1].GetVersion()
		b.say(old) // as if the broker's database were an old copy
		e.signsWith("", 2)
		b.end(nil)
		b.say(old) // the same on another stream
		e.signsWith("", 2)
		subscription, held, _ := b.last()
		for where, versions := range map[string][]*wxbrokerv1.HeldVersion{"subscription": subscription.GetHeld(), "acknowledgement": held} {
			if !holds(versions, shop, wxbrokerv1.CredentialKind_CREDENTIAL_KIND_JSAPI_TICKET, want) {
				t.Errorf("the %s does not tell the broker of version %d: %v", where, want, versions)
			}
		}
	})
}

func holds(held []*wxbrokerv1.HeldVersion, appid string, kind wxbrokerv1.CredentialKind, version int64) bool {
	for _, h := range held {
		if h.GetAppid() == appid && h.GetKind() == kind {
			return h.GetVersion() == version
		}
	}
	return false
}

// A kind that comes without a credential is granted, but the broker has no credential
// just now: the edge keeps what it holds until that expires. A kind that does not
// come is no longer granted: the edge drops what it holds.
func TestKindWithoutCredential(t *testing.T) {
	inBubble(t, func(t *testing.T, b *fakeBroker) {
		e := startEdge(t, b, "")
		b.say(b.account(shop))
		restarting := b.account(shop)
		restarting.Credentials = nil
		b.say(restarting)
		e.ready(200, "")
		e.signsWith("", 1)

		time.Sleep(2 * time.Hour)
		e.ready(503, "expired")
		e.refuses("", 503)

		b.say(b.account(shop))
		e.ready(200, "")
		restarting.Kinds = nil
		b.say(restarting)
		e.ready(503, "")
		e.refuses("", 403)
	})
}

func TestAbsentAccountIsDropped(t *testing.T) {
	inBubble(t, func(t *testing.T, b *fakeBroker) {
		e := startEdge(t, b, "")
		b.say(b.account(pay), b.account(shop))
		e.signsWith(shop, 1)
		b.say(b.account(pay))
		e.refuses(shop, 400)
		e.signsWith(pay, 1)
	})
}

// The broker's clock counts, not the edge's. The two differ by an hour, either way.
func TestClocksThatDiffer(t *testing.T) {
	for name, ahead := range map[string]time.Duration{"broker ahead": time.Hour, "broker behind": -time.Hour} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, b *fakeBroker) {
				b.ahead = ahead
				e := startEdge(t, b, "")
				b.say(b.account(shop))
				time.Sleep(2*time.Hour - time.Second)
				e.signsWith("", 1)
				time.Sleep(time.Second)
				e.refuses("", 503)
			})
		})
	}
}

// The edge does not ask for kinds that it may give to nobody.
func TestKindsAskedFor(t *testing.T) {
	const ticket = wxbrokerv1.CredentialKind_CREDENTIAL_KIND_JSAPI_TICKET
	tests := []struct {
		name, keys string
		kinds      []wxbrokerv1.CredentialKind
		token      int // HTTP status
	}{
		{"without a local key", "", []wxbrokerv1.CredentialKind{ticket}, http.StatusForbidden},
		{"with one", "k", []wxbrokerv1.CredentialKind{
			wxbrokerv1.CredentialKind_CREDENTIAL_KIND_ACCESS_TOKEN, ticket, wxbrokerv1.CredentialKind_CREDENTIAL_KIND_WX_CARD_TICKET,
		}, http.StatusOK},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, b *fakeBroker) {
				e := startEdge(t, b, test.keys)
				b.say(b.account(shop))
				subscription, _, _ := b.last()
				if got := subscription.GetKinds(); !slices.Equal(got, test.kinds) {
					t.Errorf("asked for %v", got)
				}
				if !strings.HasPrefix(subscription.GetEdgeName(), "edge-1店") || subscription.GetEdgeVersion() != "v1.2.3" {
					t.Errorf("calls itself %s %s", subscription.GetEdgeName(), subscription.GetEdgeVersion())
				}
				if code, _ := e.get(e.api, "/token", "Bearer k"); code != test.token {
					t.Errorf("/token: HTTP %d", code)
				}
			})
		})
	}
}

func TestMetrics(t *testing.T) {
	inBubble(t, func(t *testing.T, b *fakeBroker) {
		e := startEdge(t, b, "")
		account := b.account(shop)
		b.say(account)
		e.signsWith("", 1)
		_, body := e.get(e.ops, "/metrics", "")
		for _, line := range []string{
			`wxedge_build_info{version="v1.2.3"} 1`,
			`wxedge_broker_connected 1`,
			`wxedge_http_requests_total{route="/all",status="200"} 1`,
			`wxedge_credential_expiry_timestamp_seconds{appid="` + shop + `",kind="jsapi_ticket"} 9.46692e+08`,
		} {
			if !strings.Contains(body, line+"\n") {
				t.Errorf("no line %s", line)
			}
		}
		for _, c := range account.GetCredentials() {
			if strings.Contains(body, c.GetValue()) {
				t.Errorf("the metrics show a %v", c.GetKind())
			}
		}
		b.end(nil)
		if _, body := e.get(e.ops, "/metrics", ""); !strings.Contains(body, "wxedge_broker_connected 0\n") {
			t.Error("the metrics do not show that the stream ended")
		}
	})
}

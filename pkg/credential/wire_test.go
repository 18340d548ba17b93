package credential_test

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/wxbroker/wxbroker/pkg/clocktest"
	"github.com/wxbroker/wxbroker/pkg/credential"
	wxbrokerv1 "github.com/wxbroker/wxbroker/proto/wxbroker/v1"
)

var everyKind = []credential.Kind{credential.AccessToken, credential.JSAPITicket, credential.WXCardTicket}

func sentAccount(t *testing.T, now credential.Instant) credential.Account {
	t.Helper()
	return credential.Account{
		AppID: "wx1", SignHosts: rulesOf(t, "shop.example.com", "*.例子.测试:8443"), Kinds: everyKind,
		Credentials: []credential.Credential{
			{Kind: credential.AccessToken, Value: credential.NewSecret("token"), Version: 1700000000001, Expiry: now.Add(2 * time.Hour), Replaced: now.Add(110 * time.Minute)},
			{Kind: credential.JSAPITicket, Value: credential.NewSecret("ticket"), Version: 1700000000002, Expiry: now.Add(90 * time.Second)},
		},
		Calls: []credential.Grant{credential.Template, credential.Media, credential.OAuth, credential.Call}, AliasKey: credential.NewSecret("key"),
	}
}

func TestRemainingLifeSurvivesClocksThatDisagree(t *testing.T) {
	for _, tt := range []struct {
		name     string
		receiver time.Duration // how far the receiver's wall clock is from the sender's
		stepped  time.Duration // how far the sender's was stepped before it sent
	}{
		{"clocks agree", 0, 0},
		{"receiver a day ahead", 24 * time.Hour, 0},
		{"receiver a day behind", -24 * time.Hour, 0},
		{"receiver in 1970", -50 * 365 * 24 * time.Hour, 0},
		// If the wall clock is set back, the monotonic clock counts, and what is sent
		// follows it.
		{"sender's clock was set back", 24 * time.Hour, -time.Hour},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var sender, receiver clocktest.Wall
				receiver.Step(tt.receiver)
				sent := sentAccount(t, nowBy(&sender))
				time.Sleep(30 * time.Second)
				sender.Step(tt.stepped)
				now := nowBy(&sender)

				raw, err := proto.Marshal(sent.Wire(now))
				if err != nil {
					t.Fatal(err)
				}
				message := new(wxbrokerv1.Account)
				if err := proto.Unmarshal(raw, message); err != nil {
					t.Fatal(err)
				}
				got, err := credential.FromWire(message, now.Wall(), nowBy(&receiver))
				if err != nil {
					t.Fatal(err)
				}
				if got.AppID != sent.AppID || !slices.Equal(got.Kinds, sent.Kinds) || !slices.Equal(got.SignHosts, sent.SignHosts) {
					t.Errorf("got %+v, want %+v", got, sent)
				}
				if !slices.Equal(got.Calls, sent.Calls) || !got.AliasKey.Equal(sent.AliasKey) {
					t.Errorf("calls %v and their key arrive as %v", sent.Calls, got.Calls)
				}
				if len(got.Credentials) != len(sent.Credentials) {
					t.Fatalf("got %d credentials, want %d", len(got.Credentials), len(sent.Credentials))
				}
				for i, want := range sent.Credentials {
					c := got.Credentials[i]
					if c.Kind != want.Kind || c.Version != want.Version || !c.Value.Equal(want.Value) {
						t.Errorf("got %+v, want %+v", c, want)
					}
					if left, had := c.Expiry.Sub(nowBy(&receiver)), want.Expiry.Sub(now); left != had {
						t.Errorf("%s has %v left, want %v", c.Kind, left, had)
					}
					if c.Replaced.IsZero() != want.Replaced.IsZero() || !c.Replaced.IsZero() && c.Replaced.Sub(nowBy(&receiver)) != want.Replaced.Sub(now) {
						t.Errorf("%s is replaced at %v, want %v", c.Kind, c.Replaced, want.Replaced)
					}
				}
			})
		})
	}
}

// newerKind is a kind that this build does not know.
const newerKind = wxbrokerv1.CredentialKind(99)

func TestFromWireSkipsUnknownKinds(t *testing.T) {
	now := credential.Clock(credential.WallClock).Now()
	message := sentAccount(t, now).Wire(now)
	message.Kinds = append([]wxbrokerv1.CredentialKind{newerKind, 0}, message.GetKinds()...)
	message.Calls = append([]wxbrokerv1.CallGrant{99, 0}, message.GetCalls()...)
	// Its form is not known either, so nothing in it counts as malformed.
	message.Credentials = append([]*wxbrokerv1.Credential{{Kind: newerKind}, {}}, message.GetCredentials()...)
	got, err := credential.FromWire(message, now.Wall(), now)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(got.Kinds, everyKind) || len(got.Credentials) != 2 || len(got.Calls) != 4 {
		t.Errorf("got kinds %v and %d credentials, want %v and 2", got.Kinds, len(got.Credentials), everyKind)
	}
}

func TestFromWireRefusesMalformed(t *testing.T) {
	for _, tt := range []struct {
		name  string
		spoil func(*wxbrokerv1.Account)
	}{
		{"no appid", func(a *wxbrokerv1.Account) { a.Appid = "" }},
		{"bad rule", func(a *wxbrokerv1.Account) { a.Policy.SignHosts = []string{"https://a.example/"} }},
		{"empty rule", func(a *wxbrokerv1.Account) { a.Policy.SignHosts = []string{""} }},
		{"no value", func(a *wxbrokerv1.Account) { a.Credentials[1].Value = "" }},
		{"no version", func(a *wxbrokerv1.Account) { a.Credentials[1].Version = 0 }},
		{"negative version", func(a *wxbrokerv1.Account) { a.Credentials[1].Version = -1 }},
		{"no expiry", func(a *wxbrokerv1.Account) { a.Credentials[1].ExpireTime = nil }},
		{"expiry out of range", func(a *wxbrokerv1.Account) {
			a.Credentials[1].ExpireTime = &timestamppb.Timestamp{Seconds: 1 << 60}
		}},
		{"a kind twice", func(a *wxbrokerv1.Account) { a.Credentials[1].Kind = a.GetCredentials()[0].GetKind() }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			now := credential.Clock(credential.WallClock).Now()
			message := sentAccount(t, now).Wire(now)
			tt.spoil(message)
			got, err := credential.FromWire(message, now.Wall(), now)
			if err == nil {
				t.Fatalf("read as %+v", got)
			}
			if got.AppID != "" || len(got.Credentials) > 0 {
				t.Errorf("beside the error there is %+v", got)
			}
		})
	}
}

func TestCopyLife(t *testing.T) {
	now := credential.Clock(credential.WallClock).Now()
	for _, tt := range []struct {
		name             string
		expiry, replaced time.Duration // from now, replaced 0 for never
		want             time.Duration
	}{
		{"good until it expires", 2 * time.Hour, 0, 2 * time.Hour},
		{"replaced before", 2 * time.Hour, 110 * time.Minute, 110*time.Minute + 290*time.Second},
		{"replaced just before", 2 * time.Hour, 119 * time.Minute, 2 * time.Hour},
		{"it should be replaced already", 10 * time.Minute, -time.Minute, 290 * time.Second},
		{"and ends soon", 10 * time.Second, -time.Minute, 10 * time.Second},
		{"expired", -time.Second, -time.Minute, -time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := credential.Credential{Expiry: now.Add(tt.expiry)}
			if tt.replaced != 0 {
				c.Replaced = now.Add(tt.replaced)
			}
			if got := c.CopyLife(now); got != tt.want {
				t.Errorf("%v, want %v", got, tt.want)
			}
		})
	}
}

func TestOnly(t *testing.T) {
	for _, tt := range []struct {
		name        string
		wanted      []credential.Kind
		kinds, held []credential.Kind
	}{
		{"all", everyKind, everyKind, everyKind[:2]},
		{"one", []credential.Kind{credential.JSAPITicket}, []credential.Kind{credential.JSAPITicket}, []credential.Kind{credential.JSAPITicket}},
		{"one without a credential", []credential.Kind{credential.WXCardTicket}, []credential.Kind{credential.WXCardTicket}, nil},
		{"none", nil, nil, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			whole := sentAccount(t, credential.Clock(credential.WallClock).Now())
			got := whole.Only(tt.wanted)
			var held []credential.Kind
			for _, c := range got.Credentials {
				held = append(held, c.Kind)
			}
			if !slices.Equal(got.Kinds, tt.kinds) || !slices.Equal(held, tt.held) {
				t.Errorf("got kinds %v, credentials %v, want %v, %v", got.Kinds, held, tt.kinds, tt.held)
			}
			if got.AppID != whole.AppID || !slices.Equal(got.SignHosts, whole.SignHosts) {
				t.Error("appid or sign_hosts are not the account's")
			}
			// All streams call Only on the same shared account.
			if !slices.Equal(whole.Kinds, everyKind) || len(whole.Credentials) != 2 || whole.Credentials[1].Kind != credential.JSAPITicket {
				t.Errorf("the account itself was changed to %+v", whole)
			}
		})
	}
}

func TestAccountCredential(t *testing.T) {
	a := sentAccount(t, credential.Clock(credential.WallClock).Now())
	if c, ok := a.Credential(credential.JSAPITicket); !ok || c.Value.Reveal() != "ticket" {
		t.Errorf("got %q, %v", c.Value.Reveal(), ok)
	}
	if c, ok := a.Credential(credential.WXCardTicket); ok {
		t.Errorf("got %+v though there is none", c)
	}
}

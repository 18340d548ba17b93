package wechatsim_test

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wxbroker/wxbroker/pkg/wechatsim"
)

// post calls an API with the account's stable token.
func (w *wechat) post(path, body string) reply {
	w.t.Helper()
	return w.do("POST", path+"?access_token="+w.granted(w.stable(false)), body)
}

func template(touser, clientMsgID string) string {
	b, _ := json.Marshal(map[string]string{"touser": touser, "template_id": "T", "client_msg_id": clientMsgID})
	return string(b)
}

func TestTemplateMessageArrivesAsItWasSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := inMemory(t, wechatsim.Settings{})
		const body = `{"touser":"oUser-1_A","template_id":"ngqIpbwh8bUfcSsECmogfXcV14J0tQlEpBO27izEYtY","url":"https://a/?b=1&c=2",
			"miniprogram":{"appid":"wxmini","pagepath":"index?foo=bar"},"client_msg_id":"MSG_000001","msgid":"mine","at":1,
			"data":{"keyword1":{"value":"巧克力","color":"#173177"},"keyword2":{"value":"39.8元"}},"color":"#000000","topcolor":"#FF0000"}`
		token := w.granted(w.stable(false))
		_, _, text, err := w.exchange("POST", wechatsim.PathTemplateSend+"?access_token="+token, body)
		if want := `{"errcode":0,"errmsg":"ok","msgid":3000000000000000001}`; err != nil || text != want {
			t.Errorf("%s, error %v, want %s", text, err, want)
		}
		want := []wechatsim.Message{{
			ID: 3000000000000000001, At: time.Now(), ToUser: "oUser-1_A",
			TemplateID:  "ngqIpbwh8bUfcSsECmogfXcV14J0tQlEpBO27izEYtY",
			URL:         "https://a/?b=1&c=2",
			MiniProgram: &wechatsim.MiniProgram{AppID: "wxmini", PagePath: "index?foo=bar"},
			ClientMsgID: "MSG_000001",
			Data: map[string]wechatsim.DataString{
				"keyword1": {Value: "巧克力", Color: "#173177"}, "keyword2": {Value: "39.8元"},
			},
			Color: "#000000", TopColor: "#FF0000",
		}}
		if got := w.Messages(appid); !reflect.DeepEqual(got, want) {
			t.Errorf("got %+v, want %+v", got, want)
		}
		if w.Messages("wxother") != nil {
			t.Error("messages of nobody")
		}
	})
}

func TestMessageIDsAreUniqueAndNoFloats(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := inMemory(t, wechatsim.Settings{})
		w.AddAccount(wechatsim.Account{AppID: "wxother", Secret: secret})
		other := w.granted(w.do("GET", classicPath("wxother", secret), ""))
		seen := map[int64]bool{}
		for range 600 { // in 512 steps some number would be exact as a float64, if that were possible
			for _, r := range []reply{
				w.post(wechatsim.PathTemplateSend, template("o1", "")),
				w.do("POST", wechatsim.PathTemplateSend+"?access_token="+other, template("o1", "")),
			} {
				if r.Code != 0 || r.MessageID < 1<<53 || seen[r.MessageID] || int64(float64(r.MessageID)) == r.MessageID {
					t.Fatalf("%d, msgid %d after %d others", r.Code, r.MessageID, len(seen))
				}
				seen[r.MessageID] = true
			}
		}
	})
}

func TestTemplateRefusals(t *testing.T) {
	tests := []struct {
		name, body string
		code       int
		message    string
	}{
		{"nothing", "", 44002, "empty post data"},
		{"spaces", " \n", 44002, "empty post data"},
		{"a form", "touser=o1", 47001, "data format error"},
		{"a number for a text", `{"touser":"o1","template_id":"T","data":{"k":{"value":1}}}`, 47001, "data format error"},
		{"nobody", `{"template_id":"T"}`, 40003, "invalid openid"},
		{"an openid that is none", template("o 1", ""), 40003, "invalid openid"},
		{"an openid too long", template(strings.Repeat("o", 65), ""), 40003, "invalid openid"},
		{"an openid of another account", template("unknown1", ""), 40003, "invalid openid"},
		{"no template", `{"touser":"o1"}`, 40037, "invalid template_id"},
		{"a template that is none", `{"touser":"o1","template_id":"T/1"}`, 40037, "invalid template_id"},
		{"an absent template", `{"touser":"o1","template_id":"unknown"}`, 40037, "invalid template_id"},
		{"somebody who does not follow", template("oLeft", ""), 43004, "require subscribe"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := inMemory(t, wechatsim.Settings{})
				if err := w.SetSubscribed(appid, "oLeft", false); err != nil {
					t.Fatal(err)
				}
				r := w.post(wechatsim.PathTemplateSend, tt.body)
				if r.Code != tt.code || !withRID(r.Message, tt.message) {
					t.Errorf("%d %q, want %d %q", r.Code, r.Message, tt.code, tt.message)
				}
				if len(w.Messages(appid)) != 0 {
					t.Error("sent all the same")
				}
				st, err := w.State(appid)
				if err != nil || st.UsedToday["template_send"] != 0 {
					t.Errorf("used today: %v, error %v", st.UsedToday, err)
				}
			})
		})
	}
}

func TestAUserWhoFollowsAgainGetsMessages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := inMemory(t, wechatsim.Settings{})
		for _, follows := range []bool{false, true} {
			if err := w.SetSubscribed(appid, "o1", follows); err != nil {
				t.Fatal(err)
			}
			if r := w.post(wechatsim.PathTemplateSend, template("o1", "")); (r.Code == 0) != follows {
				t.Errorf("follows %t: %d", follows, r.Code)
			}
		}
		if w.SetSubscribed(appid, "unknown", false) == nil || w.SetSubscribed("wx1", "o1", false) == nil {
			t.Error("declared somebody who is not there")
		}
	})
}

func TestTemplateQuota(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := inMemory(t, wechatsim.Settings{TemplateQuota: 2})
		token := w.granted(w.stable(false))
		w.post(wechatsim.PathTemplateSend, template("o1", "same"))
		w.post(wechatsim.PathTemplateSend, template("o1", "same"))
		w.used(token, wechatsim.PathTemplateSend, 2, 2)
		if r := w.post(wechatsim.PathTemplateSend, template("o1", "")); r.Code != 45009 {
			t.Errorf("%d, want 45009", r.Code)
		}
		w.Change(func(s *wechatsim.Settings) { s.TemplateQuota = 0 })
		w.used(token, wechatsim.PathTemplateSend, 100000, 2)
	})
}

func TestSameClientMsgIDIsNotSentTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := inMemory(t, wechatsim.Settings{})
		send := func(touser, id string) int64 {
			t.Helper()
			r := w.post(wechatsim.PathTemplateSend, template(touser, id))
			if r.Code != 0 {
				t.Fatalf("%d %s", r.Code, r.Message)
			}
			return r.MessageID
		}
		first := send("o1", "M")
		time.Sleep(10*time.Minute - time.Second)
		if again := send("o1", "M"); again != first {
			t.Errorf("within ten minutes: msgid %d, want %d", again, first)
		}
		for _, other := range [][2]string{{"o2", "M"}, {"o1", "N"}, {"o1", ""}, {"o1", ""}} {
			if id := send(other[0], other[1]); id == first {
				t.Errorf("%q was taken for the first", other)
			}
		}
		time.Sleep(time.Second)
		second := send("o1", "M")
		if second == first {
			t.Error("not sent again after ten minutes")
		}
		time.Sleep(10*time.Minute - time.Second)
		if again := send("o1", "M"); again != second {
			t.Errorf("within ten minutes of the second: msgid %d, want %d", again, second)
		}
		if n := len(w.Messages(appid)); n != 6 {
			t.Errorf("%d messages sent, want 6", n)
		}
	})
}

func TestTheLastTenThousandMessagesAreKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := inMemory(t, wechatsim.Settings{})
		path := wechatsim.PathTemplateSend + "?access_token=" + w.granted(w.stable(false))
		const sent = 20003
		for i := range sent {
			w.handle("POST", path, template(fmt.Sprintf("o%d", i), ""))
		}
		got := w.Messages(appid)
		if len(got) != 10000 || got[0].ToUser != "o10003" || got[9999].ToUser != "o20002" {
			t.Errorf("%d messages from %s", len(got), got[0].ToUser)
		}
		if st, err := w.State(appid); err != nil || st.Messages != sent {
			t.Errorf("state tells %d, error %v", st.Messages, err)
		}
	})
}

func TestManySendAtOnce(t *testing.T) {
	w := overTCP(t, nil)
	path := wechatsim.PathTemplateSend + "?access_token=" + w.granted(w.stable(false))
	var senders sync.WaitGroup
	for range 8 {
		senders.Go(func() {
			for i := range 50 {
				w.handle("POST", path, template("o1", fmt.Sprint(i)))
				w.Messages(appid)
			}
		})
	}
	senders.Wait()
	if n := len(w.Messages(appid)); n != 50 {
		t.Errorf("%d messages, want each once", n)
	}
}

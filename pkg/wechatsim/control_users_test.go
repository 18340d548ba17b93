package wechatsim_test

import (
	"encoding/json"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/wxbroker/wxbroker/pkg/wechatsim"
)

func TestControlCallsOfUsers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := inMemory(t, wechatsim.Settings{})
		ask := func(method, path, body string, answer any) {
			t.Helper()
			status, text := w.control(method, path, body)
			if err := json.Unmarshal([]byte(text), answer); status != 200 || err != nil {
				t.Fatalf("%s: status %d, body %s, error %v", path, status, text, err)
			}
		}
		id := `"appid":"` + appid + `"`

		var done struct{ OK bool }
		ask("POST", "/sim/subscribed", `{`+id+`,"openid":"o1"}`, &done)
		if r := w.post(wechatsim.PathTemplateSend, template("o1", "")); r.Code != 43004 || !done.OK {
			t.Errorf("subscribed: %d", r.Code)
		}
		if _, text := w.control("GET", "/sim/messages", ""); text != "[]" {
			t.Errorf("messages: %s", text)
		}
		ask("POST", "/sim/subscribed", `{`+id+`,"openid":"o1","subscribed":true}`, &done)
		w.post(wechatsim.PathTemplateSend, template("o1", "M"))
		var sent []wechatsim.Message
		ask("GET", "/sim/messages?appid="+appid, "", &sent)
		if len(sent) != 1 || sent[0].ToUser != "o1" || sent[0].ClientMsgID != "M" || sent[0].ID != w.Messages(appid)[0].ID {
			t.Errorf("messages: %+v", sent)
		}

		var authorized struct{ Code string }
		ask("POST", "/sim/authorize", `{`+id+`,"scope":"snsapi_base","user":{"openid":"o1","snapshot":true}}`, &authorized)
		if r := w.exchangeCode(authorized.Code); r.OpenID != "o1" || r.Snapshot != 1 {
			t.Errorf("authorize: %+v", r)
		}

		var media struct {
			ID string `json:"media_id"`
		}
		ask("POST", "/sim/media", `{`+id+`,"type":"image","file_name":"a.png","content_type":"image/png","content":"aGVsbG8="}`, &media)
		if _, header, text, err := w.exchange("GET", w.mediaPath(wechatsim.PathMedia, media.ID), ""); err != nil || text != "hello" || header.Get("Content-Type") != "image/png" {
			t.Errorf("media: %q, header %v, error %v", text, header, err)
		}
		ask("POST", "/sim/media", `{`+id+`,"type":"voice","size":5000000,"hd_voice":true}`, &media)
		res, err := w.send("GET", w.mediaPath(wechatsim.PathMediaHD, media.ID), "")
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		if n, err := same(res.Body, wechatsim.Generated(media.ID, 5000000)); n != 5000000 || err != nil {
			t.Errorf("generated media: %d bytes, error %v", n, err)
		}
		_, page := w.control("GET", "/", "")
		if !strings.Contains(page, "Template messages sent: 1. Temporary media held: 2.") {
			t.Errorf("page: %s", page)
		}
	})
}

func TestControlCallsOfUsersThatAreWrong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := inMemory(t, wechatsim.Settings{})
		for _, tt := range []struct{ method, path, body, want string }{
			{"GET", "/sim/messages?appid=wx1", "", "no account"},
			{"POST", "/sim/subscribed", `{"appid":"wx1","openid":"o1"}`, "no account"},
			{"POST", "/sim/authorize", `{"appid":"wx1","scope":"snsapi_base","user":{"openid":"o1"}}`, "no account"},
			{"POST", "/sim/authorize", `{"scope":"snsapi_base","openid":"o1"}`, "unknown field"},
			{"POST", "/sim/media", `{"appid":"wx1","type":"image","size":1}`, "no account"},
			{"POST", "/sim/media", `{"appid":"` + appid + `","type":"image","content":"?"}`, "base64"},
		} {
			status, text := w.control(tt.method, tt.path, tt.body)
			var e struct{ Error string }
			if err := json.Unmarshal([]byte(text), &e); err != nil || status != 400 || !strings.Contains(e.Error, tt.want) {
				t.Errorf("%s: status %d, body %s, want %q", tt.path, status, text, tt.want)
			}
		}
	})
}

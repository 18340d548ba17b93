package wechatsim_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wxbroker/wxbroker/pkg/wechatsim"
)

func TestCallsThatAreRefusedOrNot(t *testing.T) {
	const (
		custom  = wechatsim.PathCustomSend
		summary = wechatsim.PathUserSummary
		check   = wechatsim.PathTextCheck
		clears  = wechatsim.PathClearQuotaByToken
	)
	days := func(begin, end string) string { return fmt.Sprintf(`{"begin_date":%q,"end_date":%q}`, begin, end) }
	text := func(content string, version, scene int, openid string) string {
		return fmt.Sprintf(`{"content":%q,"version":%d,"scene":%d,"openid":%q}`, content, version, scene, openid)
	}
	tests := []struct {
		name, path, body string
		code             int
		message          string
	}{
		{"custom", custom, `{"touser":"o1","msgtype":"text","text":{"content":"x"}}`, 0, "ok"},
		{"custom to nobody", custom, `{"msgtype":"text"}`, 40003, "invalid openid"},
		{"custom to an unknown openid", custom, `{"touser":"unknown","msgtype":"text"}`, 40003, "invalid openid"},
		{"custom to one who left", custom, `{"touser":"oLeft","msgtype":"text"}`, 43004, "require subscribe"},
		{"custom of no type", custom, `{"touser":"o1"}`, 40008, "invalid message type"},
		{"custom of another type", custom, `{"touser":"o1","msgtype":"hologram"}`, 40008, "invalid message type"},
		{"custom with nothing", custom, "", 44002, "empty post data"},
		{"custom with a form", custom, "touser=o1", 47001, "data format error"},

		// A bubble begins on 2000-01-01 at 08:00 in China: yesterday was 1999.
		{"a day", summary, days("1999-12-31", "1999-12-31"), 0, ""},
		{"seven days", summary, days("1999-12-25", "1999-12-31"), 0, ""},
		{"eight days", summary, days("1999-12-24", "1999-12-31"), 61501, "date range error"},
		{"backwards", summary, days("1999-12-31", "1999-12-30"), 61501, "date range error"},
		{"today", summary, days("1999-12-31", "2000-01-01"), 61501, "date range error"},
		{"no dates", summary, "{}", 61500, "date format error"},
		{"dates of another form", summary, days("19991231", "19991231"), 61500, "date format error"},
		{"days with nothing", summary, "", 44002, "empty post data"},

		{"text", check, text("x", 2, 1, "o1"), 0, "ok"},
		{"no text", check, text("", 2, 1, "o1"), 44002, "empty post data"},
		{"text for version 1", check, text("x", 1, 1, "o1"), 40097, "invalid args"},
		{"text of nobody", check, text("x", 2, 1, ""), 40003, "invalid openid"},
		{"text in no scene", check, text("x", 2, 5, "o1"), 40129, "invalid scene"},
		{"text with nothing", check, "", 44002, "empty post data"},

		{"clear", clears, `{"appid":"` + appid + `"}`, 0, "ok"},
		{"clear nothing", clears, "{}", 41002, "appid missing"},
		{"clear another's", clears, `{"appid":"wxother"}`, 40013, "invalid appid"},
		{"clear with nothing", clears, "", 44002, "empty post data"},
		{"clear with a form", clears, "appid=" + appid, 47001, "data format error"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := inMemory(t, wechatsim.Settings{})
				w.AddAccount(wechatsim.Account{AppID: "wxother", Secret: secret})
				if err := w.SetSubscribed(appid, "oLeft", false); err != nil {
					t.Fatal(err)
				}
				r := w.post(tt.path, tt.body)
				if r.Code != tt.code || r.Message != tt.message && !withRID(r.Message, tt.message) {
					t.Errorf("%d %q, want %d %q", r.Code, r.Message, tt.code, tt.message)
				}
			})
		})
	}
}

func TestEveryCallWithATokenChecksIt(t *testing.T) {
	gets := []string{wechatsim.PathUserInfo, wechatsim.PathMedia, wechatsim.PathMediaHD}
	posts := []string{
		wechatsim.PathTemplateSend, wechatsim.PathCustomSend, wechatsim.PathUserSummary, wechatsim.PathTextCheck,
		wechatsim.PathClearQuotaByToken, wechatsim.PathMediaUpload,
	}
	synctest.Test(t, func(t *testing.T) {
		w := inMemory(t, wechatsim.Settings{TokenLifetime: time.Minute})
		expired := w.granted(w.classic())
		time.Sleep(time.Minute)
		try := func(method, other, path string, wrongMethod int) {
			t.Helper()
			for query, want := range map[string]int{
				"":                41001,
				"?access_token=x": 40014,
				"?access_token=80_" + strings.Repeat("A", 147): 40001,
				"?access_token=" + expired:                     42001,
			} {
				if r := w.do(method, path+query, ""); r.Code != want {
					t.Errorf("%s%s: %d, want %d", path, query, r.Code, want)
				}
			}
			if r := w.do(other, path, ""); r.Code != wrongMethod {
				t.Errorf("%s %s: %d, want %d", other, path, r.Code, wrongMethod)
			}
		}
		for _, path := range gets {
			try("GET", "POST", path, 43001)
		}
		for _, path := range posts {
			try("POST", "GET", path, 43002)
		}
	})
}

func TestUserInfo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := inMemory(t, wechatsim.Settings{})
		w.authorize(wechatsim.User{OpenID: "oKnown", UnionID: "U1"}, wechatsim.ScopeBase)
		if err := w.SetSubscribed(appid, "oLeft", false); err != nil {
			t.Fatal(err)
		}
		token := w.granted(w.stable(false))
		const rest = `"remark":"","groupid":0,"tagid_list":[],"subscribe_scene":"ADD_SCENE_QR_CODE","qr_scene":98765,"qr_scene_str":""}`
		for openid, want := range map[string]string{
			"oKnown":   `{"subscribe":1,"openid":"oKnown","subscribe_time":1382694957,"unionid":"U1",` + rest,
			"oOther":   `{"subscribe":1,"openid":"oOther","subscribe_time":1382694957,` + rest,
			"oLeft":    `{"subscribe":0,"openid":"oLeft"}`,
			"unknown1": `{"errcode":40003,"errmsg":"invalid openid rid: `,
			"":         `{"errcode":41009,"errmsg":"openid missing rid: `,
		} {
			_, _, text, err := w.exchange("GET", wechatsim.PathUserInfo+"?lang=zh_CN&access_token="+token+"&openid="+openid, "")
			if err != nil || !strings.HasPrefix(text, want) {
				t.Errorf("%q: %s, error %v, want %s", openid, text, err, want)
			}
		}
	})
}

func TestUserSummaryHasARowForEveryDay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := inMemory(t, wechatsim.Settings{})
		token := w.granted(w.stable(false))
		_, _, text, err := w.exchange("POST", wechatsim.PathUserSummary+"?access_token="+token, `{"begin_date":"1999-12-30","end_date":"1999-12-31"}`)
		want := `{"list":[{"ref_date":"1999-12-30","user_source":0,"new_user":0,"cancel_user":0},{"ref_date":"1999-12-31","user_source":0,"new_user":0,"cancel_user":0}]}`
		if err != nil || text != want {
			t.Errorf("%s, error %v, want %s", text, err, want)
		}
		// In China the year ends eight hours sooner.
		time.Sleep(16 * time.Hour)
		if r := w.post(wechatsim.PathUserSummary, `{"begin_date":"2000-01-01","end_date":"2000-01-01"}`); r.Code != 0 {
			t.Errorf("yesterday in China: %d", r.Code)
		}
	})
}

func TestTextCheckAnswersAsVersionTwo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := inMemory(t, wechatsim.Settings{})
		token := w.granted(w.stable(false))
		_, _, text, err := w.exchange("POST", wechatsim.PathTextCheck+"?access_token="+token, `{"content":"x","version":2,"scene":2,"openid":"o1"}`)
		want := `{"errcode":0,"errmsg":"ok","result":{"suggest":"pass","label":100},` +
			`"detail":[{"strategy":"content_model","errcode":0,"suggest":"pass","label":100,"prob":90}],"trace_id":"`
		if err != nil || !json.Valid([]byte(text)) || !strings.HasPrefix(text, want) {
			t.Errorf("%s, error %v, want %s", text, err, want)
		}
	})
}

func TestBothWaysToClearShareTheMonth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := inMemory(t, wechatsim.Settings{ClearsPerMonth: 2})
		body := `{"appid":"` + appid + `"}`
		w.granted(w.classic())
		if r := w.post(wechatsim.PathClearQuotaByToken, body); r.Code != 0 {
			t.Fatalf("by token: %d %s", r.Code, r.Message)
		}
		if st, err := w.State(appid); err != nil || len(st.UsedToday) != 0 {
			t.Errorf("used today: %v, error %v", st.UsedToday, err)
		}
		if r := w.clear(); r.Code != 0 {
			t.Fatalf("by secret: %d %s", r.Code, r.Message)
		}
		if r := w.post(wechatsim.PathClearQuotaByToken, body); r.Code != 48006 {
			t.Errorf("by token, a third time: %d, want 48006", r.Code)
		}
		if r := w.clear(); r.Code != 48006 {
			t.Errorf("by secret, a third time: %d, want 48006", r.Code)
		}
	})
}

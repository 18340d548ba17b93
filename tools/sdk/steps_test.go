package sdk

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"testing"
)

// everyStep makes every SDK do all that it can.
func (w *world) everyStep(t *testing.T) (drivers []*driver) {
	t.Helper()
	for _, s := range sdks {
		d := w.drive(t, s)
		drivers = append(drivers, d)
		t.Run(s.name, func(t *testing.T) {
			d.about(t, "token")
			d.about(t, "ticket")
			w.sign(t, d)
			if s.calls {
				w.sendTemplate(t, d)
				w.download(t, d)
				w.upload(t, d)
				w.sendMessage(t, d)
				w.user(t, d)
				w.refused(t, d)
			}
			if s.oauth {
				w.oauth(t, d)
			}
			w.wrongSecret(t, s)
		})
		if t.Failed() {
			t.FailNow() // the next steps build on it
		}
	}
	return drivers
}

const pageURL = "https://shop.example.com/goods?id=7&from=timeline"

// sign makes an SDK sign a page, and asks WeChat whether it accepts that.
func (w *world) sign(t *testing.T, d *driver) {
	t.Helper()
	var signed struct {
		AppID     string `json:"appId"`
		Timestamp any    `json:"timestamp"` // some have it as a string
		NonceStr  string `json:"nonceStr"`
		Signature string `json:"signature"`
	}
	d.do(t, "sign", args{"url": pageURL}, &signed)
	var verdict struct {
		Accepted bool
		Reason   string
	}
	w.sim(t, http.MethodGet, "/sim/verify?"+url.Values{
		"appid": {signed.AppID}, "timestamp": {fmt.Sprintf("%.0f", number(t, signed.Timestamp))}, "noncestr": {signed.NonceStr},
		"signature": {signed.Signature}, "url": {pageURL},
	}.Encode(), nil, &verdict)
	if !verdict.Accepted || signed.AppID != appid {
		t.Errorf("WeChat refuses %+v: %s", signed, verdict.Reason)
	}
}

func number(t *testing.T, v any) float64 {
	t.Helper()
	n, err := strconv.ParseFloat(fmt.Sprint(v), 64)
	must(t, err)
	return n
}

// sendTemplate sends a template message, which has to arrive unchanged.
func (w *world) sendTemplate(t *testing.T, d *driver) {
	t.Helper()
	openid, word := "o-"+d.name, "巧克力 & 39.8元 <"+d.name+">"
	var id string
	d.do(t, "template", args{
		"openid": openid, "template": "order-paid", "url": pageURL,
		"data": args{"keyword1": args{"value": word, "color": "#173177"}},
	}, &id)
	var sent []struct {
		ID         json.Number `json:"msgid"`
		ToUser     string
		TemplateID string `json:"template_id"`
		URL        string
		Data       map[string]struct{ Value, Color string }
	}
	w.sim(t, http.MethodGet, "/sim/messages?appid="+appid, nil, &sent)
	if len(sent) == 0 {
		t.Fatal("no template message arrived")
	}
	last := sent[len(sent)-1]
	if last.ToUser != openid || last.TemplateID != "order-paid" || last.URL != pageURL || last.Data["keyword1"].Value != word || last.Data["keyword1"].Color != "#173177" {
		t.Errorf("what arrived is %+v", last)
	}
	if d.exact && id != last.ID.String() || number(t, id) != number(t, last.ID) {
		t.Errorf("msgid %s, and WeChat's is %s", id, last.ID)
	}
}

// download makes an SDK download a file that a user sent.
func (w *world) download(t *testing.T, d *driver) {
	t.Helper()
	content := picture()
	var media struct {
		ID string `json:"media_id"`
	}
	w.sim(t, http.MethodPost, "/sim/media", args{"appid": appid, "type": "image", "file_name": "a.png", "content_type": "image/png", "content": content}, &media)
	d.do(t, "download", args{"media": media.ID, "file": d.path("downloaded.png")}, nil)
	loaded, err := os.ReadFile(d.path("downloaded.png"))
	must(t, err)
	if wrong := same(loaded, content); wrong != "" {
		t.Errorf("what was downloaded: %s", wrong)
	}
}

// upload makes an SDK upload a file, and checks what WeChat has then.
func (w *world) upload(t *testing.T, d *driver) {
	t.Helper()
	content := picture()
	must(t, os.WriteFile(d.path("photo.png"), content, 0o600))
	var id string
	d.do(t, "upload", args{"file": d.path("photo.png")}, &id)
	header, kept := exchange(t, http.MethodGet, "http://"+w.wechat+"/cgi-bin/media/get?"+url.Values{"access_token": {w.token(t)}, "media_id": {id}}.Encode(), "")
	if wrong := same(kept, content); wrong != "" || !strings.Contains(header.Get("Content-Disposition"), `"photo.png"`) {
		t.Errorf("what was uploaded as photo.png: %s %s", wrong, header.Get("Content-Disposition"))
	}
}

// sendMessage sends a customer service message. WeChat only says that it arrived.
func (w *world) sendMessage(t *testing.T, d *driver) {
	t.Helper()
	const api = "/cgi-bin/message/custom/send"
	before := w.calls(t, api)
	d.do(t, "message", args{"openid": "o-" + d.name, "text": "你好"}, nil)
	if n := w.calls(t, api) - before; n != 1 {
		t.Errorf("%d messages arrived, want 1", n)
	}
}

// user asks for a user who follows the account.
func (w *world) user(t *testing.T, d *driver) {
	t.Helper()
	var user struct {
		OpenID    string
		Subscribe int
	}
	d.do(t, "user", args{"openid": "o-" + d.name}, &user)
	if user.OpenID != "o-"+d.name || user.Subscribe != 1 {
		t.Errorf("the user is %+v", user)
	}
}

// refused: WeChat's refusals arrive with its codes.
func (*world) refused(t *testing.T, d *driver) {
	t.Helper()
	if got := d.ask(t, "template", args{"openid": "unknown-somebody", "template": "order-paid", "url": pageURL, "data": args{}}); !got.refusedWith(40003) {
		t.Errorf("a message to nobody: %s", got)
	}
}

// wrongSecret: an SDK with neither AppSecret nor local key is told so in WeChat's words.
func (w *world) wrongSecret(t *testing.T, s sdk) {
	t.Helper()
	d := drive(t, s, w.host, strings.Repeat("0", 32), w.caFile)
	if got := d.ask(t, "token", nil); !got.refusedWith(40125) {
		t.Errorf("with another secret: %s", got)
	}
	d.finish(t)
}

// refusedWith reports whether an SDK shows a code of WeChat's, as a number or in a text.
func (a answer) refusedWith(code int) bool {
	return a.Error != nil && (string(a.Error.Code) == strconv.Itoa(code) || strings.Contains(a.Error.Message, fmt.Sprintf(`"errcode":%d`, code)))
}

func (a answer) String() string {
	if a.Error != nil {
		return fmt.Sprintf("error %s: %s", a.Error.Code, a.Error.Message)
	}
	return string(a.Result)
}

// oauth makes an SDK log a page's user in.
func (w *world) oauth(t *testing.T, d *driver) {
	t.Helper()
	var authorized, user struct{ Code, OpenID, Nickname, Again string }
	w.sim(t, http.MethodPost, "/sim/authorize", args{
		"appid": appid, "scope": "snsapi_userinfo", "user": args{"openid": "o-somebody", "nickname": "小明"},
	}, &authorized)
	d.do(t, "oauth", args{"code": authorized.Code}, &user)
	if user.OpenID != "o-somebody" || user.Nickname != "小明" || user.Again != "o-somebody" {
		t.Errorf("the user is %+v", user)
	}
	if got := d.ask(t, "oauth", args{"code": authorized.Code}); !got.refusedWith(40163) {
		t.Errorf("a code that was used: %s", got)
	}
}

// works makes an SDK use the token that it has.
func (w *world) works(t *testing.T, d *driver) {
	t.Helper()
	w.sign(t, d)
	if d.calls {
		w.sendTemplate(t, d)
		w.download(t, d)
		w.user(t, d)
	} else {
		d.about(t, "renewTicket")
	}
}

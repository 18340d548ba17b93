package sdk

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	// So that Go does not take a result that it kept for one of other programs.
	_ "github.com/wxbroker/wxbroker/broker/brokertest"
	_ "github.com/wxbroker/wxbroker/edge/edgetest"
	_ "github.com/wxbroker/wxbroker/pkg/wechatsim"
)

var (
	// bin is where TestMain builds the programs.
	bin string
	// missing is what keeps these tests from running, nil if nothing does.
	missing error
)

func TestMain(m *testing.M) {
	os.Exit(func() int {
		if missing = installed(); missing != nil {
			if os.Getenv("WXBROKER_SDK") == "1" {
				fmt.Fprintln(os.Stderr, missing)
				return 1
			}
			return m.Run()
		}
		dir, err := os.MkdirTemp("", "wxbroker-sdk-")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		bin = dir
		build := exec.Command("go", "build", "-o", bin+string(filepath.Separator),
			"../../broker/cmd/wxbroker", "../../edge/cmd/wxedge", "../../pkg/cmd/wxsim")
		build.Stdout, build.Stderr = os.Stderr, os.Stderr
		if err := build.Run(); err != nil {
			fmt.Fprintln(os.Stderr, "building the programs:", err)
			return 1
		}
		return m.Run()
	}())
}

// manifest is what package.json and package-lock.json have that matters here.
type manifest struct {
	Version      string
	Dependencies map[string]string
	Packages     map[string]struct{ Version, Resolved, Integrity string }
}

func readManifest(path string) (m manifest, err error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return manifest{}, err
	}
	err = json.Unmarshal(content, &m)
	return m, err
}

// installed says why the SDKs cannot be run.
func installed() error {
	if _, err := exec.LookPath("node"); err != nil {
		return errors.New("there is no node: install Node.js and npm, then run `make sdk`")
	}
	wanted, err := readManifest("package.json")
	if err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(wanted.Dependencies)) {
		has, err := readManifest(filepath.Join("node_modules", name, "package.json"))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if version := wanted.Dependencies[name]; has.Version != version {
			return fmt.Errorf("%s %s is not installed: run `make sdk`", name, version)
		}
	}
	return nil
}

func need(t *testing.T) {
	t.Helper()
	if missing != nil {
		t.Skip(missing)
	}
}

// TestLockFile: whoever installs these packages gets what was tried, from
// whichever registry they use.
func TestLockFile(t *testing.T) {
	wanted, err := readManifest("package.json")
	must(t, err)
	locked, err := readManifest("package-lock.json")
	must(t, err)
	for _, s := range sdks {
		version := wanted.Dependencies[s.name]
		if has := locked.Packages["node_modules/"+s.name].Version; version == "" || has != version {
			t.Errorf("%s: package.json says %q, and the lock file %q", s.name, version, has)
		}
	}
	for name, p := range locked.Packages {
		if name != "" && (p.Integrity == "" || p.Resolved != "") {
			t.Errorf("%s: integrity %q, resolved %q: want a hash and no address", name, p.Integrity, p.Resolved)
		}
	}
}

// TestWeChatItself shows that the drivers use their SDKs well: it has neither
// broker nor edge.
func TestWeChatItself(t *testing.T) {
	need(t)
	w := newWorld(t)
	w.direct(t)
	w.everyStep(t)
}

// TestSharedToken: with the grant token an SDK gets WeChat's own.
func TestSharedToken(t *testing.T) {
	need(t)
	w := newWorld(t)
	w.behindEdge(t, "sign", "token", "template", "media", "oauth", "call")
	drivers := w.everyStep(t)
	token := w.token(t)
	for _, d := range drivers {
		if got := d.about(t, "token"); got.SHA256 != hashOf(token) {
			t.Errorf("%s was given %+v, which is not the account's token", d.name, got)
		}
	}
	w.forceNothing(t, drivers)
	w.killToken(t, drivers)
	w.restart(t, drivers, func() { w.startBroker(t, w.grpc) })
	w.leaksNothing(t, drivers, token)
}

// TestAlias: without it an SDK works as well, and never has the token.
func TestAlias(t *testing.T) {
	need(t)
	w := newWorld(t)
	w.behindEdge(t, "sign", "call", "oauth")
	drivers := w.everyStep(t)
	token := w.token(t)
	for _, d := range drivers {
		if got := d.about(t, "token"); !got.Alias {
			t.Errorf("%s was given %+v, which is no alias", d.name, got)
		}
	}
	w.forceNothing(t, drivers)
	w.killToken(t, drivers)
	w.restart(t, drivers, func() {
		w.startBroker(t, w.grpc)
		w.startEdge(t, w.host) // which keeps no list of aliases either
	})
	for _, given := range w.leaksNothing(t, drivers, token) {
		t.Error(given)
	}
}

// everyStep has every SDK do all that it can.
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
			t.FailNow() // what comes next builds on it
		}
	}
	return drivers
}

const pageURL = "https://shop.example.com/goods?id=7&from=timeline"

// sign has a page signed, and WeChat judge.
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

// sendTemplate sends a template message, which has to arrive as it was.
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

// download has a file loaded that a user sent.
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

// upload has a file uploaded, and looks at what WeChat has of it.
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

// sendMessage sends a customer service message, of which WeChat only says that
// it came.
func (w *world) sendMessage(t *testing.T, d *driver) {
	t.Helper()
	const api = "/cgi-bin/message/custom/send"
	before := w.calls(t, api)
	d.do(t, "message", args{"openid": "o-" + d.name, "text": "你好"}, nil)
	if n := w.calls(t, api) - before; n != 1 {
		t.Errorf("%d messages arrived, want 1", n)
	}
}

// user asks for somebody who follows the account.
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

// wrongSecret: who has neither AppSecret nor local key is told so in WeChat's
// words.
func (w *world) wrongSecret(t *testing.T, s sdk) {
	t.Helper()
	d := drive(t, s, w.host, strings.Repeat("0", 32), w.caFile)
	if got := d.ask(t, "token", nil); !got.refusedWith(40125) {
		t.Errorf("with another secret: %s", got)
	}
	d.finish(t)
}

// refusedWith says whether an SDK reports a code of WeChat's, as a number or in
// what it says.
func (a answer) refusedWith(code int) bool {
	return a.Error != nil && (string(a.Error.Code) == strconv.Itoa(code) || strings.Contains(a.Error.Message, fmt.Sprintf(`"errcode":%d`, code)))
}

func (a answer) String() string {
	if a.Error != nil {
		return fmt.Sprintf("error %s: %s", a.Error.Code, a.Error.Message)
	}
	return string(a.Result)
}

// oauth has a page's user logged in.
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

// works has an SDK use the token that it has.
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

// forceNothing: asking an edge for another token changes none.
func (w *world) forceNothing(t *testing.T, drivers []*driver) {
	t.Helper()
	token := w.token(t)
	for _, d := range drivers {
		if !d.force {
			continue
		}
		before := d.about(t, "token")
		if got := d.about(t, "force"); got.Alias != before.Alias || !got.Alias && got != before {
			t.Errorf("%s forced another token out: %+v after %+v", d.name, got, before)
		}
		w.works(t, d)
	}
	if w.forced(t) != 0 || w.token(t) != token {
		t.Error("forcing a token replaced WeChat's")
	}
}

// killToken: WeChat refuses the account's token all of a sudden, and no SDK
// notices.
func (w *world) killToken(t *testing.T, drivers []*driver) {
	t.Helper()
	before := make([]about, len(drivers))
	for i, d := range drivers {
		before[i] = d.about(t, "token")
	}
	asked := w.calls(t, "/cgi-bin/stable_token")
	w.sim(t, http.MethodPost, "/sim/kill-token", args{"appid": appid, "api": "stable"}, new(any))
	for i, d := range drivers {
		w.works(t, d)
		if got := d.about(t, "token"); got != before[i] {
			t.Errorf("%s noticed that the token was killed: it asked for another", d.name)
		}
	}
	if n := w.calls(t, "/cgi-bin/stable_token") - asked; n != 1 {
		t.Errorf("WeChat was asked for %d tokens after it killed one, want 1", n)
	}
}

// restart: what SDKs hold outlives the programs, and WeChat is not asked for
// anything.
func (w *world) restart(t *testing.T, drivers []*driver, again func()) {
	t.Helper()
	asked := w.calls(t, "/cgi-bin/stable_token") + w.calls(t, "/cgi-bin/ticket/getticket")
	again()
	w.broker.says(t, `"edge connected"`)
	for _, d := range drivers {
		before := d.about(t, "token")
		w.works(t, d)
		if got := d.about(t, "token"); got != before {
			t.Errorf("%s noticed the restart: it asked for another token", d.name)
		}
	}
	if n := w.calls(t, "/cgi-bin/stable_token") + w.calls(t, "/cgi-bin/ticket/getticket") - asked; n != 0 {
		t.Errorf("WeChat was asked for tokens and tickets %d times after a restart", n)
	}
}

// leaksNothing ends everything. No secret may be in what programs and drivers
// have said. It returns where drivers keep a token of the account's; killed is
// the one that WeChat killed.
func (w *world) leaksNothing(t *testing.T, drivers []*driver, killed string) (kept []string) {
	t.Helper()
	said := make(map[string]string)
	for name, ops := range map[string]string{"the broker's metrics": w.ops, "the edge's metrics": w.edgeOps} {
		_, metrics := exchange(t, http.MethodGet, "http://"+ops+"/metrics", "")
		said[name] = string(metrics)
	}
	tokens := map[string]string{"the token that was killed": killed, "the token": w.token(t)}
	secrets := map[string]string{"the AppSecret": secret, "the local key": localKey}
	maps.Copy(secrets, tokens)
	for _, d := range drivers {
		for i, value := range d.finish(t) {
			secrets[fmt.Sprintf("value %d that %s had", i, d.name)] = value
		}
		said["the output of "+d.name] = d.out.String() + d.log.String()
		kept = append(kept, seen(tokens, d.files(t))...)
	}
	w.stop(t, w.edge)
	w.stop(t, w.broker)
	for i, p := range w.ended {
		said[fmt.Sprintf("log %d, of %s", i, filepath.Base(p.command.Path))] = p.log.String()
	}
	for _, leak := range seen(secrets, said) {
		t.Error(leak)
	}
	return kept
}

// seen returns which secrets are in which texts.
func seen(secrets, texts map[string]string) (found []string) {
	for what, value := range secrets {
		for where, text := range texts {
			if strings.Contains(text, value) {
				found = append(found, what+" is in "+where)
			}
		}
	}
	slices.Sort(found)
	return found
}

package wechatsim_test

import (
	"bytes"
	"fmt"
	"io"
	"mime"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wxbroker/wxbroker/pkg/wechatsim"
)

// addMedia lets a user send a file.
func (w *wechat) addMedia(m wechatsim.Media) string {
	w.t.Helper()
	id, err := w.AddMedia(appid, m)
	if err != nil {
		w.t.Fatal(err)
	}
	return id
}

// mediaPath is where a media is downloaded, by the account's stable token.
func (w *wechat) mediaPath(api, id string) string {
	w.t.Helper()
	return api + "?access_token=" + w.granted(w.stable(false)) + "&media_id=" + id
}

func TestDownload(t *testing.T) {
	photo := []byte("\x89PNG\r\n\x00\xff not JSON")
	tests := []struct {
		name, api         string
		media             wechatsim.Media
		contentType, file string // %s: the media_id
	}{
		{"image", wechatsim.PathMedia, wechatsim.Media{Type: "image", Content: photo}, "image/jpeg", "%s.jpg"},
		{"voice", wechatsim.PathMedia, wechatsim.Media{Type: "voice", Content: photo}, "audio/amr", "%s.amr"},
		{"thumb", wechatsim.PathMedia, wechatsim.Media{Type: "thumb", Content: photo}, "image/jpeg", "%s.jpg"},
		{"HD voice", wechatsim.PathMediaHD, wechatsim.Media{Type: "voice", HDVoice: true, Content: photo}, "voice/speex", "%s.speex"},
		{"HD voice as a voice", wechatsim.PathMedia, wechatsim.Media{Type: "voice", HDVoice: true, Content: photo}, "voice/speex", "%s.speex"},
		{"a name and a type", wechatsim.PathMedia, wechatsim.Media{Type: "image", FileName: "a b.png", ContentType: "image/png", Content: photo}, "image/png", "a b.png"},
		{"a name that climbs", wechatsim.PathMedia, wechatsim.Media{Type: "image", FileName: "../../x", Content: photo}, "image/jpeg", "../../x"},
		{"a name for Windows", wechatsim.PathMedia, wechatsim.Media{Type: "image", FileName: `..\"C:\x"; a=b`, Content: photo}, "image/jpeg", `..\"C:\x"; a=b`},
		{"a Chinese name", wechatsim.PathMedia, wechatsim.Media{Type: "image", FileName: "图片.jpg", Content: photo}, "image/jpeg", "图片.jpg"},
		{"a name with another header in it", wechatsim.PathMedia, wechatsim.Media{Type: "image", FileName: "a\r\nX-A: b\x00", Content: photo}, "image/jpeg", "a__X-A: b_"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := inMemory(t, wechatsim.Settings{})
				id := w.addMedia(tt.media)
				status, header, body, err := w.exchange("GET", w.mediaPath(tt.api, id), "")
				if err != nil || status != 200 || body != string(photo) {
					t.Errorf("status %d, body %q, error %v", status, body, err)
				}
				disposition, params, err := mime.ParseMediaType(header.Get("Content-Disposition"))
				want := strings.ReplaceAll(tt.file, "%s", id)
				if err != nil || disposition != "attachment" || params["filename"] != want || len(params) != 1 {
					t.Errorf("disposition %q, error %v, want the name %q", header.Get("Content-Disposition"), err, want)
				}
				if got := header.Get("Content-Type"); got != tt.contentType {
					t.Errorf("content type %q, want %q", got, tt.contentType)
				}
				if got := header.Get("Content-Length"); got != fmt.Sprint(len(photo)) {
					t.Errorf("content length %s", got)
				}
				if header.Get("X-A") != "" {
					t.Error("the name made a header")
				}
				if n := w.Count(wechatsim.Call{AppID: appid, API: tt.api, Outcome: "ok"}); n != 1 {
					t.Errorf("counted %d times, want once", n)
				}
				// As in WeChat's example, which is `curl -I`.
				status, head, body, err := w.exchange("HEAD", w.mediaPath(tt.api, id), "")
				if err != nil || status != 200 || body != "" || head.Get("Content-Length") != header.Get("Content-Length") {
					t.Errorf("HEAD: status %d, header %v, body %q, error %v", status, head, body, err)
				}
			})
		})
	}
}

func TestDownloadOfAVideoIsAnAddress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := inMemory(t, wechatsim.Settings{})
		id := w.addMedia(wechatsim.Media{Type: wechatsim.Video, Size: 1 << 30})
		if r := w.do("GET", w.mediaPath(wechatsim.PathMedia, id), ""); r.Code != 0 || !strings.Contains(r.VideoURL, id) {
			t.Errorf("%+v", r)
		}
	})
}

func TestDownloadRefusals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := inMemory(t, wechatsim.Settings{})
		w.AddAccount(wechatsim.Account{AppID: "wxother", Secret: secret})
		content := []byte("x")
		foreign, err := w.AddMedia("wxother", wechatsim.Media{Type: "image", Content: content})
		if err != nil {
			t.Fatal(err)
		}
		voice := w.addMedia(wechatsim.Media{Type: "voice", Content: content})
		for _, tt := range []struct {
			name, api, id string
			code          int
			message       string
		}{
			{"no media_id", wechatsim.PathMedia, "", 41006, "media_id missing"},
			{"an unknown one", wechatsim.PathMedia, "abc", 40007, "invalid media_id"},
			{"another account's", wechatsim.PathMedia, foreign, 40007, "invalid media_id"},
			{"a plain voice as an HD one", wechatsim.PathMediaHD, voice, 40007, "invalid media_id"},
		} {
			if r := w.do("GET", w.mediaPath(tt.api, tt.id), ""); r.Code != tt.code || !withRID(r.Message, tt.message) {
				t.Errorf("%s: %d %q, want %d", tt.name, r.Code, r.Message, tt.code)
			}
		}
	})
}

func TestMediaLives(t *testing.T) {
	for _, tt := range []struct {
		name     string
		settings wechatsim.Settings
		life     time.Duration
	}{
		{"three days", wechatsim.Settings{}, 72 * time.Hour},
		{"a minute", wechatsim.Settings{MediaLifetime: time.Minute}, time.Minute},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := inMemory(t, tt.settings)
				id := w.addMedia(wechatsim.Media{Type: "image", Content: []byte("x")})
				held := func(want int) {
					t.Helper()
					if st, err := w.State(appid); err != nil || st.Media != want {
						t.Errorf("state tells %d media, error %v, want %d", st.Media, err, want)
					}
				}
				time.Sleep(tt.life - time.Second)
				held(1)
				if _, _, body, err := w.exchange("GET", w.mediaPath(wechatsim.PathMedia, id), ""); err != nil || body != "x" {
					t.Errorf("a second before: %q, error %v", body, err)
				}
				time.Sleep(time.Second)
				held(0)
				if r := w.do("GET", w.mediaPath(wechatsim.PathMedia, id), ""); r.Code != 40007 {
					t.Errorf("after: %d, want 40007", r.Code)
				}
				w.addMedia(wechatsim.Media{Type: "image", Content: []byte("y")})
				held(1)
			})
		})
	}
}

func TestOldMediaGoesFirst(t *testing.T) {
	w := overTCP(t, nil)
	first := w.addMedia(wechatsim.Media{Type: "image", Size: 1})
	second := w.addMedia(wechatsim.Media{Type: "image", Size: 1})
	for range 999 {
		w.addMedia(wechatsim.Media{Type: "image", Size: 1})
	}
	if r := w.do("GET", w.mediaPath(wechatsim.PathMedia, first), ""); r.Code != 40007 {
		t.Errorf("the first of 1001: %d, want 40007", r.Code)
	}
	if status, _, _, err := w.exchange("GET", w.mediaPath(wechatsim.PathMedia, second), ""); err != nil || status != 200 {
		t.Errorf("the second: status %d, error %v", status, err)
	}
}

func TestMediaThatMakesNoSense(t *testing.T) {
	content := []byte("x")
	for _, tt := range []struct {
		name, appid string
		media       wechatsim.Media
		want        string
	}{
		{"no type", appid, wechatsim.Media{Content: content}, "no media type"},
		{"unknown type", appid, wechatsim.Media{Type: "file", Content: content}, "no media type"},
		{"nothing in it", appid, wechatsim.Media{Type: "image"}, "either content or a size"},
		{"content and size", appid, wechatsim.Media{Type: "image", Content: content, Size: 1}, "either content or a size"},
		{"negative size", appid, wechatsim.Media{Type: "image", Content: content, Size: -1}, "either content or a size"},
		{"an HD image", appid, wechatsim.Media{Type: "image", HDVoice: true, Content: content}, "of type voice"},
		{"nobody's", "wx1", wechatsim.Media{Type: "image", Content: content}, "no account"},
	} {
		sim := wechatsim.New(wechatsim.Config{Accounts: []wechatsim.Account{{AppID: appid, Secret: secret}}})
		if id, err := sim.AddMedia(tt.appid, tt.media); err == nil || id != "" || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: id %q, error %v, want %q", tt.name, id, err, tt.want)
		}
	}
}

// same compares two readers without holding either in memory. It returns how many bytes
// are the same: fewer than expected if one breaks off.
func same(a, b io.Reader) (int64, error) {
	x, y := make([]byte, 1<<16), make([]byte, 1<<16)
	for at := int64(0); ; {
		n, errA := io.ReadFull(a, x)
		m, errB := io.ReadFull(b, y)
		if !bytes.Equal(x[:n], y[:m]) {
			return at, fmt.Errorf("they differ within %d bytes from %d on: %w, %w", max(n, m), at, errA, errB)
		}
		at += int64(n)
		if n < len(x) {
			return at, nil
		}
	}
}

func TestALargeDownloadIsNotHeldInMemory(t *testing.T) {
	const size = 64<<20 + 12345
	w := overTCP(t, nil)
	id := w.addMedia(wechatsim.Media{Type: "voice", HDVoice: true, Size: size})
	path := w.mediaPath(wechatsim.PathMediaHD, id)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	res, err := w.send("GET", path, "")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if res.ContentLength != size {
		t.Errorf("content length %d", res.ContentLength)
	}
	n, err := same(res.Body, wechatsim.Generated(id, size))
	runtime.ReadMemStats(&after)
	if err != nil || n != size {
		t.Errorf("%d bytes, error %v", n, err)
	}
	// Client and server share this process.
	if grown := after.TotalAlloc - before.TotalAlloc; grown > 8<<20 {
		t.Errorf("%d bytes were allocated for it", grown)
	}
}

func TestRanges(t *testing.T) {
	tests := []struct {
		name   string
		honour bool
		asked  string
		status int
		off, n int64 // the part that arrives: its offset and its length
		ranged string
	}{
		{"ignored", false, "bytes=10-19", 200, 0, 1000, ""},
		{"none asked", true, "", 200, 0, 1000, ""},
		{"a part", true, "bytes=10-19", 206, 10, 10, "bytes 10-19/1000"},
		{"the rest", true, "bytes=990-", 206, 990, 10, "bytes 990-999/1000"},
		{"the end", true, "bytes=-1", 206, 999, 1, "bytes 999-999/1000"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := inMemory(t, wechatsim.Settings{MediaRanges: tt.honour})
				id := w.addMedia(wechatsim.Media{Type: "image", Size: 1000})
				req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, w.base+w.mediaPath(wechatsim.PathMedia, id), nil)
				if err != nil {
					t.Fatal(err)
				}
				if tt.asked != "" {
					req.Header.Set("Range", tt.asked)
				}
				res, err := w.client.Do(req)
				if err != nil {
					t.Fatal(err)
				}
				defer res.Body.Close()
				if res.StatusCode != tt.status || res.ContentLength != tt.n || res.Header.Get("Content-Range") != tt.ranged {
					t.Errorf("status %d, length %d, range %q", res.StatusCode, res.ContentLength, res.Header.Get("Content-Range"))
				}
				if res.Header.Get("Content-Disposition") == "" || res.Header.Get("Content-Type") != "image/jpeg" {
					t.Errorf("header %v", res.Header)
				}
				want := io.NewSectionReader(wechatsim.Generated(id, 1000), tt.off, tt.n)
				if n, err := same(res.Body, want); err != nil || n != tt.n {
					t.Errorf("%d bytes, error %v", n, err)
				}
			})
		})
	}
}

func TestRangeOutsideTheFile(t *testing.T) {
	w := overTCP(t, nil)
	w.Change(func(s *wechatsim.Settings) { s.MediaRanges = true })
	id := w.addMedia(wechatsim.Media{Type: "image", Size: 10})
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, w.base+w.mediaPath(wechatsim.PathMedia, id), nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Range", "bytes=10-")
	res, err := w.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != http.StatusRequestedRangeNotSatisfiable {
		t.Errorf("status %d", res.StatusCode)
	}
}

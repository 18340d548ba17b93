package relay_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"

	"github.com/wxbroker/wxbroker/pkg/credential"
	"github.com/wxbroker/wxbroker/pkg/wechatsim"
	"github.com/wxbroker/wxbroker/pkg/wxapi"
)

const alphabet = "abcdefghijklmnopqrstuvwxyz"

func (w *world) media(m wechatsim.Media) string {
	w.t.Helper()
	id, err := w.sim.AddMedia(appid, m)
	if err != nil {
		w.t.Fatal(err)
	}
	return id
}

// TestMediaRanges: whether WeChat knows of ranges or not.
func TestMediaRanges(t *testing.T) {
	for _, knows := range []bool{false, true} {
		t.Run(fmt.Sprintf("WeChat knows of them: %v", knows), func(t *testing.T) {
			inBubble(t, func(t *testing.T, w *world) {
				w.sim.Change(func(s *wechatsim.Settings) { s.MediaRanges = knows })
				id := w.media(wechatsim.Media{Type: wechatsim.Image, FileName: "图.jpg", ContentType: "image/jpeg", Content: []byte(alphabet)})
				for _, tt := range []struct{ wanted, body, part string }{
					{"", alphabet, ""},
					{"bytes=0-0", "a", "0+1"},
					{"bytes=2-4", "cde", "2+3"},
					{"bytes=23-", "xyz", "23+3"},
					{"bytes=23-1000", "xyz", "23+3"},
					{"bytes=-3", "xyz", "23+3"},
					{"bytes=-1000", alphabet, "0+26"},
				} {
					m, err := w.Media(t.Context(), shop, appid, wxapi.PathMedia, id, tt.wanted)
					if err != nil {
						t.Errorf("%s: %v", tt.wanted, err)
						continue
					}
					raw, err := io.ReadAll(m.Body)
					_ = m.Body.Close()
					part := ""
					if m.Part != nil {
						part = fmt.Sprintf("%d+%d", m.Part.First, m.Part.Length)
					}
					if err != nil || string(raw) != tt.body || part != tt.part || m.Size != 26 || m.FileName != "图.jpg" || m.ContentType != "image/jpeg" {
						t.Errorf("%s: %q, part %s, %+v, %v", tt.wanted, raw, part, m, err)
					}
				}
				_, err := w.Media(t.Context(), shop, appid, wxapi.PathMedia, id, "bytes=26-")
				if code, _ := refusal(t, err); code != codes.OutOfRange {
					t.Errorf("beyond the end: %v", err)
				}
			})
		})
	}
}

// TestRangesThatAreNone stand for the whole file.
func TestRangesThatAreNone(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.sim.Change(func(s *wechatsim.Settings) { s.MediaRanges = true })
		id := w.media(wechatsim.Media{Type: wechatsim.Image, Content: []byte(alphabet)})
		for _, wanted := range []string{"bytes", "bytes=", "bytes=a-b", "bytes=4-2", "bytes=0-1,3-4", "lines=0-1", "bytes=--1", "bytes=+1-2", "bytes=1", "=0-1"} {
			m, err := w.Media(t.Context(), shop, appid, wxapi.PathMedia, id, wanted)
			if err != nil {
				t.Errorf("%s: %v", wanted, err)
				continue
			}
			raw, err := io.ReadAll(m.Body)
			_ = m.Body.Close()
			if err != nil || string(raw) != alphabet || m.Part != nil {
				t.Errorf("%s: %q, %+v, %v", wanted, raw, m.Part, err)
			}
		}
	})
}

func TestMediaThatAreNoFiles(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		video := w.media(wechatsim.Media{Type: wechatsim.Video, Content: []byte("moving")})
		m, err := w.Media(t.Context(), shop, appid, wxapi.PathMedia, video, "")
		if err != nil || m.Body != nil || !strings.HasPrefix(m.VideoURL, "http") {
			t.Errorf("%+v, %v", m, err)
		}
		_, err = w.Media(t.Context(), shop, appid, wxapi.PathMedia, "unknown", "")
		if code, said := refusal(t, err); code != codes.NotFound || said.GetErrcode() != 40007 {
			t.Errorf("unknown: %v", err)
		}
		voice := w.media(wechatsim.Media{Type: wechatsim.Voice, Content: []byte("speech"), HDVoice: true})
		hd, err := w.Media(t.Context(), shop, appid, wxapi.PathHDVoice, voice, "")
		if err != nil {
			t.Fatal(err)
		}
		defer hd.Body.Close()
		if raw, _ := io.ReadAll(hd.Body); string(raw) != "speech" || hd.ContentType != "voice/speex" {
			t.Errorf("%q %s", raw, hd.ContentType)
		}
	})
}

// TestMediaAnswers: what WeChat may say besides what it documents.
func TestMediaAnswers(t *testing.T) {
	for _, tt := range []struct {
		name        string
		disposition string
		status      int
		body        string
		want        codes.Code
		file        string
	}{
		{"no name", "", 200, "GIF89a", codes.OK, "GIF89a"},
		{"nothing in it", `attachment; filename="a"`, 200, "", codes.OK, ""},
		{"a file that looks like JSON", `attachment; filename="a.json"`, 200, `{"errcode":40007}`, codes.OK, `{"errcode":40007}`},
		{"other JSON", "", 200, `{"surprise":1}`, codes.Unavailable, ""},
		{"broken JSON", "", 200, `{"errcode`, codes.Unavailable, ""},
		{"not there", "", 404, "nothing", codes.Unavailable, ""},
		{"out of order", "", 500, "<html>", codes.Unavailable, ""},
		{"a range that cannot be read", `attachment; filename="a"`, 206, "abc", codes.Unavailable, ""},
		{"a range of another file", `attachment; filename="a"`, 416, "", codes.OutOfRange, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, w *world) {
				w.answer(func(rw http.ResponseWriter, _ *http.Request) {
					if tt.disposition != "" {
						rw.Header().Set("Content-Disposition", tt.disposition)
					}
					rw.WriteHeader(tt.status)
					_, _ = io.WriteString(rw, tt.body)
				})
				m, err := w.Media(t.Context(), shop, appid, wxapi.PathMedia, "m", "")
				if tt.want != codes.OK {
					if err == nil {
						t.Fatalf("it is taken: %+v", m)
					}
					if code, _ := refusal(t, err); code != tt.want {
						t.Errorf("%v", err)
					}
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				defer m.Body.Close()
				if raw, err := io.ReadAll(m.Body); err != nil || string(raw) != tt.file {
					t.Errorf("%q, %v", raw, err)
				}
			})
		})
	}
}

// TestPartsThatAreOthers: what is answered has to be what was asked for.
func TestPartsThatAreOthers(t *testing.T) {
	for _, tt := range []struct {
		wanted, said, body string
		want               string // "" for a refusal
	}{
		{"bytes=0-1", "bytes 0-1/10", "ab", "ab"},
		{"bytes=0-1", "bytes 0-1/*", "ab", "ab"},
		{"bytes=0-", "bytes 0-1/2", "ab", "ab"},
		{"bytes=-2", "bytes 8-9/10", "ab", "ab"},
		{"bytes=0-1", "bytes 0-1/10", "abcdef", "ab"},
		{"bytes=0-", "bytes 0-1/*", "ab", "ab"},
		{"bytes=0-5", "bytes 0-1/*", "ab", "ab"}, // the file may have no more
		{"bytes=2-3", "bytes 2-3/*", "cd", "cd"},
		{"bytes=0-1", "bytes 0-2/*", "abc", ""},
		{"bytes=0-1", "bytes 0-2/10", "abc", ""},
		{"bytes=2-3", "bytes 1-3/*", "bcd", ""},
		{"bytes=2-3", "bytes 1-3/10", "bcd", ""},
		{"bytes=2-3", "bytes 1-2/*", "bc", ""},
		{"bytes=2-3", "bytes 2-/*", "cd", ""},
		{"bytes=0-5", "bytes 0-5/10", "ab", ""},
		{"bytes=0-1", "bytes 5-9/10", "abcde", ""},
		{"bytes=0-1", "bytes 0-99/100", "abc", ""},
		{"bytes=-2", "bytes 0-1/*", "ab", ""},
		{"bytes=0-", "bytes 0-9223372036854775807/*", "ab", ""},
		{"bytes=0-1", "bytes 0-1/1", "ab", ""},
		{"bytes=0-1", "bytes 1-0/10", "ab", ""},
		{"bytes=0-1", "", "ab", ""},
		{"", "bytes 0-1/10", "ab", ""},
	} {
		inBubble(t, func(t *testing.T, w *world) {
			w.answer(func(rw http.ResponseWriter, _ *http.Request) {
				rw.Header().Set("Content-Range", tt.said)
				rw.WriteHeader(http.StatusPartialContent)
				_, _ = io.WriteString(rw, tt.body)
			})
			m, err := w.Media(t.Context(), shop, appid, wxapi.PathMedia, "m", tt.wanted)
			got := ""
			if err == nil {
				var raw []byte
				raw, err = io.ReadAll(m.Body)
				_ = m.Body.Close()
				got = string(raw)
			}
			if (err == nil) != (tt.want != "") || err == nil && got != tt.want {
				t.Errorf("%q answered with %q and %q: %q, %v", tt.wanted, tt.said, tt.body, got, err)
			}
		})
	}
}

// TestHalfAFile: is none.
func TestHalfAFile(t *testing.T) {
	for _, wanted := range []string{"", "bytes=1-", "bytes=60000-"} {
		inBubble(t, func(t *testing.T, w *world) {
			id := w.media(wechatsim.Media{Type: wechatsim.Image, Size: 100_000})
			if err := w.sim.Inject(wechatsim.Fault{Kind: wechatsim.FaultTruncate, Path: wxapi.PathMedia}); err != nil {
				t.Fatal(err)
			}
			m, err := w.Media(t.Context(), shop, appid, wxapi.PathMedia, id, wanted)
			if err != nil {
				t.Fatal(err)
			}
			defer m.Body.Close()
			if n, err := io.Copy(io.Discard, m.Body); !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("%s: %d bytes, %v", wanted, n, err)
			}
		})
	}
}

// TestEchoesOfTheToken have stars in its place, wherever in an answer they are.
func TestEchoesOfTheToken(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.answer(func(rw http.ResponseWriter, r *http.Request) {
			token := r.URL.Query().Get("access_token")
			rw.Header().Set("Content-Type", "text/x-"+token)
			for i := range 200 { // so that pieces end everywhere in it
				_, _ = io.WriteString(rw, strings.Repeat(".", 397+i)+token)
			}
		})
		answer, err := w.get("/cgi-bin/echo", "")
		if err != nil {
			t.Fatal(err)
		}
		account, _ := w.states.Account(appid)
		held, _ := account.Credential(credential.AccessToken)
		token := held.Value.Reveal()
		if strings.Contains(answer, token) || strings.Contains(w.log.String(), token) {
			t.Error("the answer or the log has the token in it")
		}
		if n := strings.Count(answer, strings.Repeat("*", len(token))); n != 200 {
			t.Errorf("%d places have stars", n)
		}
		if want := len(token)*200 + 200*397 + 199*100; len(answer) != want {
			t.Errorf("%d bytes, want %d", len(answer), want)
		}
	})
}

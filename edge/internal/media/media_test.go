package media_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/wxbroker/wxbroker/edge/internal/broker"
	"github.com/wxbroker/wxbroker/edge/internal/media"
	"github.com/wxbroker/wxbroker/pkg/wechatsim"
	"github.com/wxbroker/wxbroker/pkg/wxapi"
)

const (
	appid    = "wx1"
	alphabet = "abcdefghijklmnopqrstuvwxyz"
)

// simulated returns a simulated WeChat, and a client of a broker with a token of
// it.
func simulated(t *testing.T) (*wechatsim.Sim, *broker.Client) {
	t.Helper()
	sim := wechatsim.New(wechatsim.Config{Accounts: []wechatsim.Account{{AppID: appid, Secret: "s"}}})
	rec := httptest.NewRecorder()
	sim.ServeHTTP(rec, httptest.NewRequest(http.MethodGet, wechatsim.PathToken+"?grant_type=client_credential&secret=s&appid="+appid, nil))
	var token struct {
		Value string `json:"access_token"`
	}
	if err := json.Unmarshal(rec.Body.Bytes(), &token); err != nil {
		t.Fatal(err)
	}
	return sim, client(t, sim, token.Value)
}

func upload(t *testing.T, sim *wechatsim.Sim, m wechatsim.Media) string {
	t.Helper()
	id, err := sim.AddMedia(appid, m)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// TestRanges: whether WeChat knows of ranges or not.
func TestRanges(t *testing.T) {
	for _, knows := range []bool{false, true} {
		t.Run(fmt.Sprintf("WeChat knows of them: %v", knows), func(t *testing.T) {
			sim, c := simulated(t)
			sim.Change(func(s *wechatsim.Settings) { s.MediaRanges = knows })
			id := upload(t, sim, wechatsim.Media{Type: wechatsim.Image, FileName: "图.jpg", ContentType: "image/jpeg", Content: []byte(alphabet)})
			for _, tt := range []struct{ wanted, body, part string }{
				{"", alphabet, ""},
				{"bytes=0-0", "a", "0+1"},
				{"bytes=2-4", "cde", "2+3"},
				{"bytes=5-20", alphabet[5:21], "5+16"},
				{"bytes=23-", "xyz", "23+3"},
				{"bytes=23-1000", "xyz", "23+3"},
				{"bytes=-3", "xyz", "23+3"},
				{"bytes=-1000", alphabet, "0+26"},
			} {
				file, err := download(t, c, media.Request{AppID: appid, MediaID: id, Range: tt.wanted})
				part := ""
				if file.Part != nil {
					part = fmt.Sprintf("%d+%d", file.Part.First, file.Part.Length)
				}
				if err != nil || file.content != tt.body || part != tt.part || file.Size != 26 || file.FileName != "图.jpg" || file.ContentType != "image/jpeg" {
					t.Errorf("%s: part %s, %+v, %v", tt.wanted, part, file, err)
				}
			}
			if _, err := download(t, c, media.Request{AppID: appid, MediaID: id, Range: "bytes=26-"}); status.Code(err) != codes.OutOfRange {
				t.Errorf("beyond the end: %v", err)
			}
		})
	}
}

// TestRangesThatAreNone stand for the whole file.
func TestRangesThatAreNone(t *testing.T) {
	sim, c := simulated(t)
	sim.Change(func(s *wechatsim.Settings) { s.MediaRanges = true })
	id := upload(t, sim, wechatsim.Media{Type: wechatsim.Image, Content: []byte(alphabet)})
	for _, wanted := range []string{"bytes", "bytes=", "bytes=a-b", "bytes=4-2", "bytes=0-1,3-4", "lines=0-1", "bytes=--1", "bytes=+1-2", "bytes=1", "=0-1"} {
		if file, err := download(t, c, media.Request{AppID: appid, MediaID: id, Range: wanted}); err != nil || file.content != alphabet || file.Part != nil {
			t.Errorf("%s: %+v, %v", wanted, file, err)
		}
	}
}

func TestWhatIsNoFile(t *testing.T) {
	sim, c := simulated(t)
	video := upload(t, sim, wechatsim.Media{Type: wechatsim.Video, Content: []byte("moving")})
	if file, err := download(t, c, media.Request{AppID: appid, MediaID: video}); err != nil || file.content != "" || !strings.HasPrefix(file.VideoURL, "http") {
		t.Errorf("%+v, %v", file, err)
	}
	_, err := download(t, c, media.Request{AppID: appid, MediaID: "unknown"})
	if said, ok := wxapi.RefusalIn(err); !ok || said.Code != wxapi.InvalidMediaID || status.Code(err) != codes.NotFound {
		t.Errorf("unknown: %v", err)
	}
	voice := upload(t, sim, wechatsim.Media{Type: wechatsim.Voice, Content: []byte("speech"), HDVoice: true})
	if file, err := download(t, c, media.Request{AppID: appid, MediaID: voice, HDVoice: true}); err != nil || file.content != "speech" || file.ContentType != "voice/speex" {
		t.Errorf("%+v, %v", file, err)
	}
}

// TestAnswers: what WeChat may say besides what it documents.
func TestAnswers(t *testing.T) {
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
		{"nothing at all", "", 200, "", codes.OK, ""},
		{"a file that looks like JSON", `attachment; filename="a.json"`, 200, `{"errcode":40007}`, codes.OK, `{"errcode":40007}`},
		{"a file that does not begin like JSON", "", 200, ` {"errcode":40007}`, codes.OK, ` {"errcode":40007}`},
		{"a refusal", "", 200, `{"errcode":40007,"errmsg":"no"}`, codes.NotFound, ""},
		{"other JSON", "", 200, `{"surprise":1}`, codes.Unavailable, ""},
		{"JSON without an end", "", 200, `{"a":"` + strings.Repeat("a", 65<<10), codes.Unavailable, ""},
		{"broken JSON", "", 200, `{"errcode`, codes.Unavailable, ""},
		{"not there", "", 404, "nothing", codes.Unavailable, ""},
		{"a range that cannot be read", `attachment; filename="a"`, 206, "abc", codes.Unavailable, ""},
		{"a range of another file", `attachment; filename="a"`, 416, "", codes.OutOfRange, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := client(t, http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
				if tt.disposition != "" {
					rw.Header().Set("Content-Disposition", tt.disposition)
				}
				rw.WriteHeader(tt.status)
				_, _ = io.WriteString(rw, tt.body)
			}), "")
			file, err := download(t, c, media.Request{AppID: appid, MediaID: "m"})
			if status.Code(err) != tt.want || file.content != tt.file {
				t.Errorf("%+v, %v", file, err)
			}
			if _, ok := wxapi.RefusalIn(err); ok != (tt.want != codes.OK) {
				t.Errorf("in WeChat's words: %v", err)
			}
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
		c := client(t, http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
			rw.Header().Set("Content-Range", tt.said)
			rw.WriteHeader(http.StatusPartialContent)
			_, _ = io.WriteString(rw, tt.body)
		}), "")
		file, err := download(t, c, media.Request{AppID: appid, MediaID: "m", Range: tt.wanted})
		if (err == nil) != (tt.want != "") || err == nil && file.content != tt.want {
			t.Errorf("%q answered with %q and %q: %q, %v", tt.wanted, tt.said, tt.body, file.content, err)
		}
	}
}

// TestHalfAFile is none.
func TestHalfAFile(t *testing.T) {
	for _, wanted := range []string{"", "bytes=1-", "bytes=60000-"} {
		sim, c := simulated(t)
		id := upload(t, sim, wechatsim.Media{Type: wechatsim.Image, Size: 100_000})
		if err := sim.Inject(wechatsim.Fault{Kind: wechatsim.FaultTruncate, Path: wxapi.PathMedia}); err != nil {
			t.Fatal(err)
		}
		if file, err := download(t, c, media.Request{AppID: appid, MediaID: id, Range: wanted}); status.Code(err) != codes.Unavailable {
			t.Errorf("%s: %d bytes, %v", wanted, len(file.content), err)
		}
	}
}

// TestWhoeverTakesItEndsIt: a download ends with the error of who takes it.
func TestWhoeverTakesItEndsIt(t *testing.T) {
	sim, c := simulated(t)
	id := upload(t, sim, wechatsim.Media{Type: wechatsim.Image, Content: []byte(alphabet)})
	full := errors.New("the disk is full")
	for name, to := range map[string]media.Sink{
		"at its head":  {Head: func(media.Head) error { return full }, Piece: func([]byte) error { return nil }},
		"at its piece": {Head: func(media.Head) error { return nil }, Piece: func([]byte) error { return full }},
	} {
		if err := media.Get(t.Context(), c, "", media.Request{AppID: appid, MediaID: id}, to); !errors.Is(err, full) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

package httpapi_test

import (
	"cmp"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/wxbroker/wxbroker/edge/internal/apitest"
	"github.com/wxbroker/wxbroker/edge/internal/audit"
	"github.com/wxbroker/wxbroker/edge/internal/brokertest"
	"github.com/wxbroker/wxbroker/pkg/wxapi"
	wxbrokerv1 "github.com/wxbroker/wxbroker/proto/wxbroker/v1"
)

// ofName are the headers of a file of WeChat's.
func ofName(name string) []string { return []string{"Content-Disposition", name} }

func TestMedia(t *testing.T) {
	amr := []string{"Content-Type", "audio/amr", "Content-Disposition", `attachment; filename="voice.amr"`}
	tests := []struct {
		name, path string
		header     http.Header
		code       int32 // WeChat's
		length     int64
		says       []string // headers
		content    []string
		status     int
		wants      http.Header // "" for none
		asked      string      // the Range
		got        string      // the content, where it is another
	}{
		{"a file", "/v1/media/abc_-1", nil, 200, 6, amr, []string{"abc", "def"}, 200, http.Header{
			"Content-Type": {"audio/amr"}, "Content-Disposition": {`attachment; filename="voice.amr"`}, "Content-Length": {"6"},
			"Accept-Ranges": {"bytes"}, "X-Content-Type-Options": {"nosniff"}, "Content-Range": {""},
		}, "", ""},
		{"HD voice", "/v1/media/abc/jssdk", nil, 200, 6, amr, []string{"abcdef"}, 200, nil, "", ""},
		{"of unknown size, type and name", "/v1/media/abc", nil, 200, -1, nil, []string{"<html>"}, 200, http.Header{
			"Content-Type": {"application/octet-stream"}, "Content-Disposition": {"attachment"}, "Content-Length": {""},
		}, "", ""},
		{"of no type", "/v1/media/abc", nil, 200, -1, []string{"Content-Type", "jpg; ;"}, nil, 200, http.Header{"Content-Type": {"application/octet-stream"}}, "", ""},
		{"of a Chinese name", "/v1/media/abc", nil, 200, -1, ofName(`attachment; filename="../发票 \"1\".pdf"`), nil, 200, http.Header{
			"Content-Disposition": {`attachment; filename="__ _1_.pdf"; filename*=UTF-8''%E5%8F%91%E7%A5%A8%20%221%22.pdf`},
		}, "", ""},
		{"of a name with what RFC 8187 wants escaped", "/v1/media/abc", nil, 200, -1, ofName(`attachment; filename="图:片@=1+ .jpg"`), nil, 200, http.Header{
			"Content-Disposition": {`attachment; filename="_:_@=1+ .jpg"; filename*=UTF-8''%E5%9B%BE%3A%E7%89%87%40%3D1%2B%20.jpg`},
		}, "", ""},
		{"of a name that would be another header", "/v1/media/abc", nil, 200, -1, ofName(`attachment; filename*=UTF-8''a%0D%0ASet-Cookie%3A%20b`), nil, 200, http.Header{
			"Content-Disposition": {`attachment; filename="aSet-Cookie: b"`}, "Set-Cookie": {""},
		}, "", ""},
		{"a part", "/v1/media/abc", http.Header{"Range": {"bytes=2-4"}}, 206, 3, append([]string{"Content-Range", "bytes 2-4/6"}, amr...), []string{"cde"}, 206, http.Header{
			"Content-Range": {"bytes 2-4/6"}, "Content-Length": {"3"},
		}, "bytes=2-4", ""},
		{"a part that WeChat did not make", "/v1/media/abc", http.Header{"Range": {"bytes=2-4"}}, 200, 6, amr, []string{"abc", "def"}, 206, http.Header{
			"Content-Range": {"bytes 2-4/6"}, "Content-Length": {"3"},
		}, "bytes=2-4", "cde"},
		{"a part of unknown size", "/v1/media/abc", http.Header{"Range": {"bytes=0-0"}}, 206, 1, []string{"Content-Range", "bytes 0-0/*"}, []string{"a"}, 206, http.Header{"Content-Range": {"bytes 0-0/*"}}, "bytes=0-0", ""},
		{"the end", "/v1/media/abc", http.Header{"Range": {"bytes=-1"}}, 200, 6, amr, []string{"abcdef"}, 206, http.Header{"Content-Range": {"bytes 5-5/6"}}, "bytes=-1", "f"},
		{"a Range that is to be ignored", "/v1/media/abc", http.Header{"Range": {"bytes=2-4"}, "If-Range": {`"etag"`}}, 200, 6, amr, []string{"abcdef"}, 200, nil, "", ""},
		{"several ranges", "/v1/media/abc", http.Header{"Range": {"bytes=0-1,3-4"}}, 200, 6, amr, []string{"abcdef"}, 200, nil, "", ""},
		{"two Ranges", "/v1/media/abc", http.Header{"Range": {"bytes=0-1", "bytes=3-4"}}, 200, 6, amr, []string{"abcdef"}, 200, nil, "", ""},
		{"what is no Range", "/v1/media/abc", http.Header{"Range": {"lines=1-2"}}, 200, 6, amr, []string{"abcdef"}, 200, nil, "", ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			b := &brokertest.Broker{Answer: brokertest.File(test.code, test.length, test.says, test.content...)}
			w := callsWorld(t, b)
			r := apitest.WithKey(apitest.Get(test.path, ""))
			maps.Copy(r.Header, test.header)
			rec := w.call(r)
			if rec.Code != test.status || rec.Body.String() != cmp.Or(test.got, strings.Join(test.content, "")) {
				t.Errorf("HTTP %d: %q", rec.Code, rec.Body)
			}
			for name, want := range test.wants {
				if got := rec.Header().Get(name); got != want[0] {
					t.Errorf("%s: %q, want %q", name, got, want[0])
				}
			}
			apitest.Audited(t, w.audited, audit.Entry{LocalKey: "billing", Action: audit.Media, AppID: shop, Status: test.status})
			got, path := b.Heads()[0], wxapi.PathMedia
			if strings.HasSuffix(test.path, "/jssdk") {
				path = wxapi.PathHDVoice
			}
			if got.GetAppid() != shop || got.GetRange() != test.asked || got.GetPath() != path || got.GetQuery() != "media_id="+strings.Split(test.path, "/")[3] {
				t.Errorf("asked for %v", got)
			}
		})
	}
}

func TestVideo(t *testing.T) {
	for _, method := range []string{http.MethodGet, http.MethodHead} {
		w := callsWorld(t, &brokertest.Broker{Answer: brokertest.File(http.StatusOK, -1, nil, `{"video_`, `url":"https://a/?b&c"}`)})
		r := apitest.WithKey(apitest.Get("/v1/media/abc", ""))
		r.Method = method
		if rec := w.call(r); rec.Code != http.StatusOK || rec.Body.String() != `{"video_url":"https://a/?b&c"}` {
			t.Errorf("%s: HTTP %d: %s", method, rec.Code, rec.Body)
		}
	}
}

func TestMediaThatIsRefused(t *testing.T) {
	tests := []struct {
		name, method, path, query, key string
		media                          func(*wxbrokerv1.CallHead, brokertest.Stream) error
		status                         int
		says, allow                    string
	}{
		{"no key", "GET", "/v1/media/abc", "", "", nil, 401, "Bearer", ""},
		{"another method", "POST", "/v1/media/abc", "", "k", nil, 405, "GET", "GET"},
		{"no media_id", "GET", "/v1/media/", "", "k", nil, 404, "nothing at this path", ""},
		{"something after it", "GET", "/v1/media/abc/def", "", "k", nil, 404, "nothing at this path", ""},
		{"a media_id with a dot", "GET", "/v1/media/..", "", "k", nil, 400, "media_id", ""},
		{"a media_id that is escaped", "GET", "/v1/media/a&b", "", "k", nil, 400, "media_id", ""},
		{"an endless media_id", "GET", "/v1/media/" + strings.Repeat("a", 257), "", "k", nil, 400, "media_id", ""},
		{"an unknown account", "GET", "/v1/media/abc", "appid=wxunknown", "k", nil, 400, "wxunknown", ""},
		{"a range that it has not", "GET", "/v1/media/abc", "", "k", brokertest.File(http.StatusOK, 6, ofName("attachment"), "abcdef"), 416, "6 bytes", ""},
		{"a range that WeChat says it has not", "GET", "/v1/media/abc", "", "k", brokertest.File(http.StatusRequestedRangeNotSatisfiable, 0, nil), 416, "does not have that range", ""},
		{"unknown to WeChat", "GET", "/v1/media/abc", "", "k", brokertest.File(http.StatusOK, -1, nil, `{"errcode":40007,"errmsg":"invalid media_id"}`), 404, "invalid media_id", ""},
		{"of which WeChat sends something else", "GET", "/v1/media/abc", "", "k", brokertest.File(http.StatusForbidden, -1, nil, "<html>"), 503, "HTTP 403", ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			w := callsWorld(t, &brokertest.Broker{Answer: test.media})
			r := apitest.Get("/", test.query)
			r.URL.Path, r.Method = test.path, test.method
			if test.status == http.StatusRequestedRangeNotSatisfiable {
				r.Header.Set("Range", "bytes=6-")
			}
			if test.key != "" {
				apitest.WithKey(r)
			}
			rec := w.call(r)
			if rec.Code != test.status || !strings.Contains(errmsg(t, rec), test.says) || rec.Header().Get("Allow") != test.allow {
				t.Errorf("HTTP %d, Allow %q: %s", rec.Code, rec.Header().Get("Allow"), rec.Body)
			}
			if got := rec.Header().Get("Content-Disposition"); got != "" {
				t.Errorf("an error to be saved: %s", got)
			}
		})
	}
}

// A HEAD has all that a GET has but the file, which is not downloaded.
func TestHEADOfMedia(t *testing.T) {
	ended := make(chan struct{})
	b := &brokertest.Broker{Answer: func(_ *wxbrokerv1.CallHead, stream brokertest.Stream) error {
		defer close(ended)
		_ = brokertest.SendHead(stream, http.StatusOK, 1<<40, "Content-Type", "image/jpeg", "Content-Disposition", `attachment; filename="a.jpg"`)
		<-stream.Context().Done()
		return nil
	}}
	w := callsWorld(t, b)
	server := httptest.NewServer(w.api)
	defer server.Close()
	r, _ := http.NewRequest(http.MethodHead, server.URL+"/v1/media/abc", nil)
	response, err := server.Client().Do(apitest.WithKey(r))
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	<-ended
	if response.StatusCode != http.StatusOK || response.ContentLength != 1<<40 || response.Header.Get("Content-Type") != "image/jpeg" {
		t.Errorf("HTTP %d, %v", response.StatusCode, response.Header)
	}
}

// Nobody takes the half of a file for the whole.
func TestMediaThatBreaksOff(t *testing.T) {
	broken := status.Error(codes.Unavailable, "WeChat hung up")
	tests := []struct {
		name string
		size int64
		end  error
	}{
		{"said by the broker", -1, broken},
		{"said by the broker, of known size", 6, broken},
		{"said by the broker at its very end", 3, broken},
		{"shorter than was said", 6, nil},
		{"longer than was said", 2, nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			b := &brokertest.Broker{Answer: func(_ *wxbrokerv1.CallHead, stream brokertest.Stream) error {
				_ = brokertest.File(http.StatusOK, test.size, nil, "abc")(nil, stream)
				return test.end
			}}
			w := callsWorld(t, b)
			audited := make(chan audit.Entry, 1)
			w.api.Audit = func(e audit.Entry) { audited <- e }
			server := httptest.NewServer(w.api)
			defer server.Close()
			r, _ := http.NewRequest(http.MethodGet, server.URL+"/v1/media/abc", nil)
			response, err := server.Client().Do(apitest.WithKey(r))
			if err == nil { // else it broke off before anything was on its way
				_, err = io.ReadAll(response.Body)
				response.Body.Close()
			}
			if err == nil {
				t.Error("arrived as if it were whole")
			}
			if e := <-audited; e.Status != http.StatusServiceUnavailable || !strings.Contains(e.Reason, "broke off") {
				t.Errorf("audited as %+v", e)
			}
		})
	}
}

package wechatsim_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net"
	"net/http"
	"net/textproto"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wxbroker/wxbroker/pkg/wechatsim"
)

// form writes a form with one field before the file and one after it.
func form(t *testing.T, field, fileName, contentType string, content []byte) (formType, body string) {
	t.Helper()
	var b bytes.Buffer
	f := multipart.NewWriter(&b)
	if err := f.WriteField("before", "1"); err != nil {
		t.Fatal(err)
	}
	header := textproto.MIMEHeader{}
	header.Set("Content-Disposition", mime.FormatMediaType("form-data", map[string]string{"name": field}))
	if fileName != "" {
		header.Set("Content-Disposition", fmt.Sprintf(`form-data; name=%q; filename=%q`, field, fileName))
	}
	if contentType != "" {
		header.Set("Content-Type", contentType)
	}
	part, err := f.CreatePart(header)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := part.Write(content); err != nil {
		t.Fatal(err)
	}
	if err := f.WriteField("after", "2"); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	return f.FormDataContentType(), b.String()
}

// upload posts a body and reads a JSON answer.
func (w *wechat) upload(path, contentType string, body io.Reader) (reply, error) {
	w.t.Helper()
	req, err := http.NewRequestWithContext(w.t.Context(), http.MethodPost, w.base+path, body)
	if err != nil {
		w.t.Fatal(err)
	}
	req.Header.Set("Content-Type", contentType)
	res, err := w.client.Do(req)
	if err != nil {
		return reply{}, err
	}
	defer res.Body.Close()
	var r reply
	err = json.NewDecoder(res.Body).Decode(&r)
	return r, err
}

func TestWhatWasUploadedComesBack(t *testing.T) {
	binary := bytes.Repeat([]byte("\r\n--\x00\xff"), 1000)
	tests := []struct {
		name, kind, fileName, contentType string
		size                              int
		wantName, wantType                string
	}{
		{"image", "image", "a.png", "image/png", 0, "a.png", "image/png"},
		{"no type given", "voice", "a.mp3", "", 0, "a.mp3", "audio/amr"},
		{"a name that climbs", "thumb", "../../a.jpg", "image/jpeg", 0, "../../a.jpg", "image/jpeg"},
		{"a Chinese name", "image", "图.jpg", "image/jpeg", 0, "图.jpg", "image/jpeg"},
		{"as large as a thumb may be", "thumb", "a.jpg", "image/jpeg", 64 << 10, "a.jpg", "image/jpeg"},
		{"as large as a voice may be", "voice", "a.amr", "audio/amr", 2 << 20, "a.amr", "audio/amr"},
		{"as large as an image may be", "image", "a.jpg", "image/jpeg", 10 << 20, "a.jpg", "image/jpeg"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := inMemory(t, wechatsim.Settings{})
				content := binary
				if tt.size > 0 {
					content = bytes.Repeat([]byte("x"), tt.size)
				}
				formType, body := form(t, "media", tt.fileName, tt.contentType, content)
				r, err := w.upload(wechatsim.PathMediaUpload+"?type="+tt.kind+"&access_token="+w.granted(w.stable(false)), formType, strings.NewReader(body))
				if err != nil || r.Code != 0 || r.MediaType != tt.kind || r.MediaID == "" || r.CreatedAt != time.Now().Unix() {
					t.Fatalf("%+v, error %v", r, err)
				}
				_, header, got, err := w.exchange("GET", w.mediaPath(wechatsim.PathMedia, r.MediaID), "")
				if err != nil || got != string(content) {
					t.Errorf("%d bytes came back of %d, error %v", len(got), len(content), err)
				}
				_, params, err := mime.ParseMediaType(header.Get("Content-Disposition"))
				if err != nil || params["filename"] != tt.wantName || header.Get("Content-Type") != tt.wantType {
					t.Errorf("header %v, error %v", header, err)
				}
			})
		})
	}
}

func TestUploadedVideoIsAnAddress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := inMemory(t, wechatsim.Settings{})
		formType, body := form(t, "media", "a.mp4", "video/mp4", make([]byte, 10<<20))
		r, err := w.upload(wechatsim.PathMediaUpload+"?type=video&access_token="+w.granted(w.stable(false)), formType, strings.NewReader(body))
		if err != nil || r.Code != 0 {
			t.Fatalf("%+v, error %v", r, err)
		}
		if r := w.do("GET", w.mediaPath(wechatsim.PathMedia, r.MediaID), ""); r.VideoURL == "" {
			t.Errorf("%+v", r)
		}
	})
}

func TestUploadRefusals(t *testing.T) {
	tests := []struct {
		name, kind, field, fileName string
		size                        int
		formType                    string // in place of the true one
		code                        int
		message                     string
	}{
		{"no type", "", "media", "a.jpg", 1, "", 40004, "invalid media type"},
		{"unknown type", "file", "media", "a.jpg", 1, "", 40004, "invalid media type"},
		{"another field", "image", "file", "a.jpg", 1, "", 41005, "media data missing"},
		{"no file name", "image", "media", "", 1, "", 41005, "media data missing"},
		{"no form", "image", "media", "a.jpg", 1, "image/jpeg", 41005, "media data missing"},
		{"no boundary", "image", "media", "a.jpg", 1, "multipart/form-data", 41005, "media data missing"},
		{"another boundary", "image", "media", "a.jpg", 1, "multipart/form-data; boundary=x", 41005, "media data missing"},
		{"an empty file", "image", "media", "a.jpg", 0, "", 44001, "empty media data"},
		{"a thumb too large", "thumb", "media", "a.jpg", 64<<10 + 1, "", 40006, "invalid meida size"},
		{"a voice too large", "voice", "media", "a.amr", 2<<20 + 1, "", 40006, "invalid meida size"},
		{"an image too large", "image", "media", "a.jpg", 10<<20 + 1, "", 40006, "invalid meida size"},
		{"a video too large", "video", "media", "a.mp4", 10<<20 + 1, "", 40006, "invalid meida size"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := inMemory(t, wechatsim.Settings{})
				formType, body := form(t, tt.field, tt.fileName, "image/jpeg", make([]byte, tt.size))
				if tt.formType != "" {
					formType = tt.formType
				}
				r, err := w.upload(wechatsim.PathMediaUpload+"?type="+tt.kind+"&access_token="+w.granted(w.stable(false)), formType, strings.NewReader(body))
				if err != nil || r.Code != tt.code || !withRID(r.Message, tt.message) {
					t.Errorf("%d %q, error %v, want %d", r.Code, r.Message, err, tt.code)
				}
				if st, err := w.State(appid); err != nil || st.Media != 0 {
					t.Errorf("%d media, error %v", st.Media, err)
				}
			})
		})
	}
}

// endless is a body that never ends.
type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

func TestAnUploadWithoutEndIsRefusedInTime(t *testing.T) {
	w := overTCP(t, nil)
	formType, body := form(t, "media", "a.jpg", "image/jpeg", []byte("x"))
	start, _, _ := strings.Cut(body, "x\r\n")
	path := wechatsim.PathMediaUpload + "?type=image&access_token=" + w.granted(w.stable(false))
	r, err := w.upload(path, formType, io.MultiReader(strings.NewReader(start), endless{}))
	if err == nil && r.Code != 40006 {
		t.Errorf("%d %s", r.Code, r.Message)
	} // a client that is still writing may lose the answer
	if n := w.Count(wechatsim.Call{AppID: appid, API: wechatsim.PathMediaUpload, Outcome: "40006"}); n != 1 {
		t.Errorf("counted %d times, want once", n)
	}
}

func TestAnUploadThatBreaksOffIsNotKept(t *testing.T) {
	w := overTCP(t, func(c wechatsim.Call) {
		if c.API == wechatsim.PathMediaUpload {
			t.Errorf("noted: %+v", c)
		}
	})
	formType, body := form(t, "media", "a.jpg", "image/jpeg", []byte("whole"))
	path := wechatsim.PathMediaUpload + "?type=image&access_token=" + w.granted(w.stable(false))
	conn, err := net.Dial("tcp", strings.TrimPrefix(w.base, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	// The file is there, and the form is not at its end.
	fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: x\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n%s", path, formType, len(body), body[:len(body)-10])
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(conn); err != nil && !errors.Is(err, io.EOF) { // until the server is done with it
		t.Fatal(err)
	}
	conn.Close()
	if st, err := w.State(appid); err != nil || st.Media != 0 {
		t.Errorf("%d media, error %v", st.Media, err)
	}
}

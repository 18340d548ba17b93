package wechatsim_test

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/wxbroker/wxbroker/pkg/wechatsim"
)

func TestFaultsOfADownload(t *testing.T) {
	const size = 1<<20 + 1
	tests := []struct {
		name   string
		fault  wechatsim.Fault
		ranges string
		sent   int64 // bytes of the file that arrive
		err    error
	}{
		{"truncated", wechatsim.Fault{Kind: wechatsim.FaultTruncate}, "", size / 2, io.ErrUnexpectedEOF},
		{"a part truncated", wechatsim.Fault{Kind: wechatsim.FaultTruncate}, "bytes=0-99", 50, io.ErrUnexpectedEOF},
		{"lost", wechatsim.Fault{Kind: wechatsim.FaultLost}, "", 0, syscall.ECONNRESET},
		{"reset", wechatsim.Fault{Kind: wechatsim.FaultReset}, "", 0, syscall.ECONNRESET},
		{"hung", wechatsim.Fault{Kind: wechatsim.FaultHang, Duration: time.Millisecond}, "", 0, io.EOF},
		{"delayed", wechatsim.Fault{Kind: wechatsim.FaultDelay, Duration: time.Millisecond}, "", size, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := overTCP(t, nil)
			w.Change(func(s *wechatsim.Settings) { s.MediaRanges = true })
			id := w.addMedia(wechatsim.Media{Type: "image", Size: size})
			path := w.mediaPath(wechatsim.PathMedia, id)
			tt.fault.Path, tt.fault.Count = wechatsim.PathMedia, 1
			if err := w.Inject(tt.fault); err != nil {
				t.Fatal(err)
			}
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, w.base+path, nil)
			if err != nil {
				t.Fatal(err)
			}
			if tt.ranges != "" {
				req.Header.Set("Range", tt.ranges)
			}
			var n int64
			res, err := w.client.Do(req)
			if err == nil {
				defer res.Body.Close()
				if whole := res.ContentLength; tt.ranges == "" && whole != size || tt.ranges != "" && whole != 100 {
					t.Errorf("content length %d", whole)
				}
				n, err = readAlong(res.Body, wechatsim.Generated(id, size))
			}
			if n != tt.sent || !errors.Is(err, tt.err) {
				t.Errorf("%d bytes, error %v, want %d and %v", n, err, tt.sent, tt.err)
			}
		})
	}
}

// readAlong reads a to its end or its error and compares it with as much of b.
func readAlong(a, b io.Reader) (int64, error) {
	got, err := io.ReadAll(a)
	want := make([]byte, len(got))
	if _, wrong := io.ReadFull(b, want); wrong != nil || !bytes.Equal(got, want) {
		return 0, errors.New("these are not the bytes of the file")
	}
	return int64(len(got)), err
}

func TestAnUploadWhoseAnswerIsLostTookPlace(t *testing.T) {
	w := overTCP(t, nil)
	path := wechatsim.PathMediaUpload + "?type=image&access_token=" + w.granted(w.stable(false))
	for _, tt := range []struct {
		kind wechatsim.FaultKind
		held int
	}{{wechatsim.FaultReset, 0}, {wechatsim.FaultLost, 1}, {wechatsim.FaultTruncate, 2}} {
		if err := w.Inject(wechatsim.Fault{Kind: tt.kind, Path: wechatsim.PathMediaUpload, Count: 1}); err != nil {
			t.Fatal(err)
		}
		contentType, body := form(t, "media", "a.jpg", "image/jpeg", []byte("x"))
		if _, err := w.upload(path, contentType, strings.NewReader(body)); err == nil {
			t.Errorf("%s: the answer arrived", tt.kind)
		}
		if st, err := w.State(appid); err != nil || st.Media != tt.held {
			t.Errorf("%s: %d media, error %v, want %d", tt.kind, st.Media, err, tt.held)
		}
	}
}

func TestEchoRepeatsTheQueryOfEveryAPI(t *testing.T) {
	w := overTCP(t, nil)
	for _, path := range wechatsim.Paths() {
		if err := w.Inject(wechatsim.Fault{Kind: wechatsim.FaultEcho, Path: path, Count: 1}); err != nil {
			t.Fatal(err)
		}
		contentType, body := form(t, "media", "a.jpg", "image/jpeg", []byte("x"))
		r, err := w.upload(path+"?access_token=abc&code=def", contentType, strings.NewReader(body))
		rid := " rid: "
		if strings.HasPrefix(path, "/sns/") {
			rid = ", rid: "
		}
		if err != nil || r.Code != 40013 || !strings.Contains(r.Message, path+"?access_token=abc&code=def") || !strings.Contains(r.Message, rid) {
			t.Errorf("%s: %d %q, error %v", path, r.Code, r.Message, err)
		}
	}
}

package calls_test

import (
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/wxbroker/wxbroker/pkg/wxapi"
)

// answers is a WeChat that takes everything.
func answers(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case wxapi.PathTemplate:
		fmt.Fprint(w, `{"errcode":0,"errmsg":"ok","msgid":1}`)
	case wxapi.PathMedia:
		w.Header().Set("Content-Disposition", `attachment; filename="m.jpg"`)
		switch r.FormValue("media_id") {
		case "half":
			w.Header().Set("Content-Length", "100000")
			_, _ = w.Write(make([]byte, 50_000))
		case "gbk":
			w.Header().Set("Content-Type", "image/jpeg;\xff")
			w.Header().Set("Content-Disposition", "attachment; filename=\"\xcd\xff.jpg\"")
		default:
			fmt.Fprint(w, "a picture")
		}
	case wxapi.PathCode:
		fmt.Fprint(w, `{"access_token":"the-users-token","expires_in":7200,"refresh_token":"r","openid":"o","scope":"snsapi_base"}`)
	default:
		echo(w, r)
	}
}

// echo answers with what it got.
func echo(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	w.Header().Set("Content-Type", "text/x-answer")
	w.WriteHeader(http.StatusCreated)
	fmt.Fprintf(w, "%s %s %s %d %s", r.Method, r.RequestURI, r.Header.Get("Content-Type"), r.ContentLength, body)
}

// endless answers until its client leaves.
func endless(w http.ResponseWriter, _ *http.Request) {
	for {
		if _, err := w.Write(make([]byte, 10_000)); err != nil {
			return
		}
	}
}

// trickle answers a call for a file with a piece a second until its client
// leaves, and echoes others. In a bubble time stands still while endless writes.
func trickle(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path != wxapi.PathMedia {
		echo(w, r)
		return
	}
	for {
		_, _ = w.Write(make([]byte, 10_000))
		select {
		case <-r.Context().Done():
			return
		case <-time.After(time.Second):
		}
	}
}

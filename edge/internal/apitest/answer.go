package apitest

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/wxbroker/wxbroker/edge/internal/audit"
)

// Call sends a request to a path that calls WeChat, or has its shape. It empties
// audited first. It checks what has to be right about every answer, and that no
// secret is in what the API told its audit.
func Call(t testing.TB, api http.Handler, r *http.Request, audited *[]audit.Entry) *httptest.ResponseRecorder {
	t.Helper()
	*audited = nil
	rec := httptest.NewRecorder()
	r.Header.Set("Origin", "https://shop.example.com")
	api.ServeHTTP(rec, r)
	if got := rec.Header().Get("Cache-Control"); got != "no-store" {
		t.Errorf("Cache-Control %q", got)
	}
	// Whatever is in it, and somebody else has put much of it there, is what its
	// Content-Type says.
	if got := rec.Header().Get("X-Content-Type-Options"); got != "nosniff" {
		t.Errorf("X-Content-Type-Options %q", got)
	}
	if got := rec.Header().Get("Access-Control-Allow-Origin"); got != "" {
		t.Errorf("a page may read this: %q", got)
	}
	for _, e := range *audited {
		words := strings.FieldsFunc(fmt.Sprint(e), func(r rune) bool { return strings.ContainsRune(" {}:=&?", r) })
		for _, secret := range []string{"k", r.URL.Query().Get("code"), r.URL.Query().Get("access_token")} {
			if slices.Contains(words, cmp.Or(secret, "k")) {
				t.Errorf("a secret is in the audit: %+v", e)
			}
		}
	}
	return rec
}

// Audited fails unless a request was audited once, as want but for where it came from
// and, if it was refused, why.
func Audited(t testing.TB, audited []audit.Entry, want audit.Entry) {
	t.Helper()
	if len(audited) != 1 {
		t.Fatalf("audited as %+v", audited)
	}
	got := audited[0]
	if (got.Reason == "") != (got.Status < 300) {
		t.Errorf("HTTP %d is audited with the reason %q", got.Status, got.Reason)
	}
	want.Address, want.Reason = got.Address, got.Reason
	if got != want {
		t.Errorf("audited as %+v, want %+v", got, want)
	}
}

// Refusal returns the errcode and errmsg of an answer.
func Refusal(t testing.TB, rec *httptest.ResponseRecorder) (errcode int, errmsg string) {
	t.Helper()
	var body struct {
		ErrCode *int    `json:"errcode"`
		ErrMsg  *string `json:"errmsg"`
	}
	if err := json.Unmarshal(rec.Body.Bytes(), &body); err != nil || body.ErrCode == nil || body.ErrMsg == nil || *body.ErrMsg == "" {
		t.Fatalf("no error: HTTP %d, %s", rec.Code, rec.Body)
	}
	return *body.ErrCode, *body.ErrMsg
}

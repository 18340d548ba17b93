package daemon_test

import (
	"net/http"
	"net/http/httptest"
	"reflect"
	"testing"

	"github.com/wxbroker/wxbroker/pkg/daemon"
)

// TestAnswers: no cache keeps the JSON, and no browser takes it for anything else,
// whatever is in it.
func TestAnswers(t *testing.T) {
	header := http.Header{
		"Content-Type": {"application/json; charset=utf-8"}, "Cache-Control": {"no-store"}, "X-Content-Type-Options": {"nosniff"},
	}
	for _, tt := range []struct {
		name   string
		answer func(http.ResponseWriter)
		status int
		body   string
	}{
		{"an answer", func(w http.ResponseWriter) {
			daemon.Answer(w, http.StatusOK, map[string]string{"url": "https://shop.example.com/?a=1&b=<script>"})
		}, http.StatusOK, `{"url":"https://shop.example.com/?a=1&b=<script>"}`},
		{"a refusal", func(w http.ResponseWriter) {
			daemon.Refuse(w, http.StatusNotFound, "there is no <script>")
		}, http.StatusNotFound, `{"errcode":404,"errmsg":"there is no <script>"}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			rec := httptest.NewRecorder()
			tt.answer(rec)
			if rec.Code != tt.status || rec.Body.String() != tt.body {
				t.Errorf("HTTP %d: %s", rec.Code, rec.Body)
			}
			if !reflect.DeepEqual(rec.Header(), header) {
				t.Errorf("the header is %v", rec.Header())
			}
		})
	}
}

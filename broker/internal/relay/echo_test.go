package relay_test

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/wxbroker/wxbroker/pkg/credential"
)

// TestEchoesOfTheToken have stars in its place, wherever in an answer they are.
func TestEchoesOfTheToken(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.wechat.Answer(func(rw http.ResponseWriter, r *http.Request) {
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

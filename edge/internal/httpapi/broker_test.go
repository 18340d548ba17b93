package httpapi_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"

	"github.com/wxbroker/wxbroker/edge/internal/apitest"
	"github.com/wxbroker/wxbroker/edge/internal/audit"
	"github.com/wxbroker/wxbroker/edge/internal/brokertest"
	"github.com/wxbroker/wxbroker/pkg/credential"
	"github.com/wxbroker/wxbroker/pkg/wechatsim"
	"github.com/wxbroker/wxbroker/pkg/wxapi"
	wxbrokerv1 "github.com/wxbroker/wxbroker/proto/wxbroker/v1"
)

// callsWorld is a world whose edge may have calls made for the account shop by
// a broker, with the key k, of the name billing.
func callsWorld(t testing.TB, b *brokertest.Broker) *world {
	t.Helper()
	w := newWorld(t, wechatsim.Settings{})
	w.setKeys("billing k\n")
	w.state.Apply([]credential.Account{apitest.CallsOnly(shop)})
	w.api.Broker = b.Client(t)
	return w
}

// call sends a request to a path that calls WeChat and checks what has to be
// right about every answer.
func (w *world) call(r *http.Request) *httptest.ResponseRecorder {
	w.t.Helper()
	w.answered = nil
	rec := apitest.Call(w.t, w.api, r, &w.audited)
	if len(w.answered) != 1 || !strings.HasSuffix(w.answered[0], fmt.Sprint(" ", rec.Code)) {
		w.t.Errorf("the metrics were told %q of an answer %d", w.answered, rec.Code)
	}
	return rec
}

// quiet has a world note nothing, where several ask at once.
func (w *world) quiet() {
	w.api.Answered = func(string, int) {}
	w.api.Audit = func(audit.Entry) {}
}

// errmsg returns the errmsg of an answer.
func errmsg(t testing.TB, rec *httptest.ResponseRecorder) string {
	t.Helper()
	_, message := apitest.Refusal(t, rec)
	return message
}

// page answers a page's code and what is asked about its user.
func pageAnswer(page, userInfo string) brokertest.Answer {
	return func(head *wxbrokerv1.CallHead, stream brokertest.Stream) error {
		if head.GetPath() == wxapi.PathUserInfo {
			return brokertest.Reply(stream, http.StatusOK, userInfo)
		}
		return brokertest.Reply(stream, http.StatusOK, page)
	}
}

// sameJSON reports whether two texts mean the same.
func sameJSON(t testing.TB, one, other string) bool {
	t.Helper()
	var a, b any
	if err := errors.Join(json.Unmarshal([]byte(one), &a), json.Unmarshal([]byte(other), &b)); err != nil {
		t.Fatal(err)
	}
	return reflect.DeepEqual(a, b)
}

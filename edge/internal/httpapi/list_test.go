package httpapi_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/wxbroker/wxbroker/edge/internal/apitest"
)

// What wx.config takes beside the signature.
func TestListsAndDebug(t *testing.T) {
	const legacy = `["updateAppMessageShareData","updateTimelineShareData"]`
	form := func(more string) string { return pairs{"url", page}.form() + more }
	object := func(more string) string { return fmt.Sprintf(`{"url":%q%s}`, page, more) }
	tests := []struct {
		name, path, contentType, body string
		apis, tags, debug             string // as JSON, tags "" for none
	}{
		{"defaults of config", "/v1/jsapi/config", apitest.FormType, form(""), `[]`, "", "false"},
		{"defaults of getApi", "/getApi", apitest.FormType, form(""), legacy, "", "false"},
		{"null is not given", "/getApi", apitest.JSONType, object(`,"jsApiList":null,"openTagList":null,"debug":null`), legacy, "", "false"},
		{"commas", "/getApi", apitest.FormType, form("&jsApiList=a,b&openTagList=c,d"), `["a","b"]`, `["c","d"]`, "false"},
		{"escaped commas", "/getApi", apitest.FormType, form("&jsApiList=a%2Cb"), `["a","b"]`, "", "false"},
		{"repetition", "/getApi", apitest.FormType, form("&jsApiList=a&openTagList=c&jsApiList=b"), `["a","b"]`, `["c"]`, "false"},
		{"both", "/v1/jsapi/config", apitest.FormType, form("&jsApiList=a,b&jsApiList=c"), `["a","b","c"]`, "", "false"},
		{"spaces and empty items mean nothing", "/v1/jsapi/config", apitest.FormType, form("&jsApiList=a,+b+,,"), `["a","b"]`, "", "false"},
		{"empty list is a list", "/getApi", apitest.FormType, form("&jsApiList="), `[]`, "", "false"},
		{"JSON lists", "/getApi", apitest.JSONType, object(`,"jsApiList":["a","b"],"openTagList":["wx-open-launch-app"]`), `["a","b"]`, `["wx-open-launch-app"]`, "false"},
		{"text of a JSON list in a form", "/getApi", apitest.FormType, form("&jsApiList=%5B%22a%22%2C%22b%22%5D"), `["a","b"]`, "", "false"},
		{"JSON string with commas", "/getApi", apitest.JSONType, object(`,"jsApiList":"a,b"`), `["a","b"]`, "", "false"},
		{"empty JSON list is a list", "/getApi", apitest.JSONType, object(`,"jsApiList":[]`), `[]`, "", "false"},
		{"name with a colon", "/getApi", apitest.FormType, form("&jsApiList=menuItem:share:qq"), `["menuItem:share:qq"]`, "", "false"},
		{"200 names", "/getApi", apitest.FormType, form("&jsApiList=" + strings.Repeat("a,", 200)), `["a"` + strings.Repeat(`,"a"`, 199) + `]`, "", "false"},
		{"debug true", "/getApi", apitest.FormType, form("&debug=true"), legacy, "", "true"},
		{"debug 1", "/v1/jsapi/config", apitest.FormType, form("&debug=1"), `[]`, "", "true"},
		{"debug 0", "/getApi", apitest.FormType, form("&debug=0"), legacy, "", "false"},
		{"debug empty", "/getApi", apitest.FormType, form("&debug="), legacy, "", "false"},
		{"debug in JSON", "/getApi", apitest.JSONType, object(`,"debug":true`), legacy, "", "true"},
		{"debug in JSON as a string", "/getApi", apitest.JSONType, object(`,"debug":"true"`), legacy, "", "true"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			w := oneShop(t)
			a := w.ask(apitest.Post(test.path, test.contentType, test.body))
			w.accept(a)
			var got map[string]json.RawMessage
			if err := json.Unmarshal([]byte(a.raw), &got); err != nil {
				t.Fatal(err)
			}
			for name, want := range map[string]string{"jsApiList": test.apis, "openTagList": test.tags, "debug": test.debug} {
				if string(got[name]) != want {
					t.Errorf("%s is %s, want %s", name, got[name], want)
				}
			}
		})
	}
}

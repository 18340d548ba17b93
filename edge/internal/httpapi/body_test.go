package httpapi_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/wxbroker/wxbroker/edge/internal/apitest"
)

func TestBodiesThatAreRefused(t *testing.T) {
	const good = `"url":"https://shop.example.com/"`
	tests := []struct {
		name, contentType, body string
		status                  int
		says                    string
	}{
		{"no content type", "", pairs{"url", page}.form(), 415, "content type"},
		{"text", "text/plain", pairs{"url", page}.json(), 415, "neither"},
		{"multipart", "multipart/form-data; boundary=x", "--x--", 415, "neither"},
		{"content type that is none", "application/json; charset", pairs{"url", page}.json(), 415, "content type"},
		{"form that says it is JSON", apitest.JSONType, pairs{"url", page}.form(), 400, "not a JSON object"},
		{"JSON that says it is a form", apitest.FormType, `{` + good + `}`, 400, "url is missing"},

		{"JSON cut off", apitest.JSONType, `{` + good, 400, "not a JSON object"},
		{"JSON with more after it", apitest.JSONType, `{` + good + `}{}`, 400, "not a JSON object"},
		{"JSON that is null", apitest.JSONType, `null`, 400, "not a JSON object"},
		{"JSON that is a list", apitest.JSONType, `[{` + good + `}]`, 400, "not a JSON object"},
		{"JSON that is a string", apitest.JSONType, `"https://shop.example.com/"`, 400, "not a JSON object"},
		{"JSON that is a number", apitest.JSONType, `7`, 400, "not a JSON object"},
		{"JSON that is not UTF-8", apitest.JSONType, "{\"url\":\"https://shop.example.com/\xff\"}", 400, "not a JSON object"},

		{"url twice in JSON", apitest.JSONType, `{` + good + `,"url":"https://other.example/"}`, 400, "url is given twice"},
		{"url twice in JSON, once null", apitest.JSONType, `{` + good + `,"url":null}`, 400, "url is given twice"},
		{"url that is null", apitest.JSONType, `{"url":null}`, 400, "url is missing"},
		{"url that is a number", apitest.JSONType, `{"url":1}`, 400, "url has a type"},
		{"url that is a list", apitest.JSONType, `{"url":["https://shop.example.com/"]}`, 400, "url has a type"},
		{"url that is an object", apitest.JSONType, `{"url":{}}`, 400, "url has a type"},
		{"url that is true", apitest.JSONType, `{"url":true}`, 400, "url has a type"},
		{"noncestr that is a number", apitest.JSONType, `{` + good + `,"noncestr":1}`, 400, "noncestr has a type"},
		{"appid that is false", apitest.JSONType, `{` + good + `,"appid":false}`, 400, "appid has a type"},
		{"timestamp with a fraction", apitest.JSONType, `{` + good + `,"timestamp":1.5}`, 400, "timestamp"},
		{"timestamp with an exponent", apitest.JSONType, `{` + good + `,"timestamp":1e9}`, 400, "timestamp"},
		{"timestamp below zero", apitest.JSONType, `{` + good + `,"timestamp":-1}`, 400, "timestamp"},
		{"timestamp that is true", apitest.JSONType, `{` + good + `,"timestamp":true}`, 400, "timestamp has a type"},
		{"debug that is a number", apitest.JSONType, `{` + good + `,"debug":1}`, 400, "debug has a type"},
		{"jsApiList that is a number", apitest.JSONType, `{` + good + `,"jsApiList":1}`, 400, "jsApiList has a type"},
		{"jsApiList that holds a number", apitest.JSONType, `{` + good + `,"jsApiList":["a",1]}`, 400, "jsApiList has a type"},
		{"openTagList that is an object", apitest.JSONType, `{` + good + `,"openTagList":{}}`, 400, "openTagList has a type"},

		{"one byte too many", apitest.FormType, bodyOf(64<<10 + 1), 413, "65536"},
		{"one byte too many, no content type", "", bodyOf(64<<10 + 1), 413, "65536"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			w := oneShop(t)
			for _, path := range signs {
				refused(t, w.ask(apitest.Post(path, test.contentType, test.body)), test.status, test.says)
			}
			w.setKeys("k")
			if test.status != http.StatusBadRequest { // these paths take no url
				refused(t, w.ask(apitest.Post("/nonce", test.contentType, test.body)), test.status, test.says)
				for _, path := range []string{"/token", "/ticket"} {
					r := apitest.Post(path, test.contentType, test.body)
					r.Header.Set("Authorization", "Bearer k")
					refused(t, w.ask(r), test.status, test.says)
				}
			}
		})
	}
}

// bodyOf returns a form of n bytes that asks for a page's signature.
func bodyOf(n int) string {
	end := "&" + pairs{"url", page}.form()
	return "padding=" + strings.Repeat("x", n-len("padding=")-len(end)) + end
}

func TestBodyAtTheLimitIsTaken(t *testing.T) {
	w := oneShop(t)
	w.accept(w.ask(apitest.Post("/all", apitest.FormType, bodyOf(64<<10))))
}

func TestContentTypeMayHaveParametersAndAnyCase(t *testing.T) {
	w := oneShop(t)
	w.accept(w.ask(apitest.Post("/all", "Application/JSON; charset=utf-8", pairs{"url", page}.json())))
	w.accept(w.ask(apitest.Post("/all", apitest.FormType+"; charset=UTF-8", pairs{"url", page}.form())))
}

func TestParameterInQueryAndBody(t *testing.T) {
	tests := []struct {
		name, query, contentType, body, says string
	}{
		{"url in the query, the rest in the body", pairs{"url", page}.form(), apitest.JSONType, `{"noncestr":"abc"}`, ""},
		{"url in both", pairs{"url", page}.form(), apitest.JSONType, `{"url":"https://shop.example.com/"}`, "url is given 2 times"},
		{"the same url in both", pairs{"url", page}.form(), apitest.FormType, pairs{"url", page}.form(), "url is given 2 times"},
		{"a list in both is one list", "jsApiList=a", apitest.JSONType, `{"url":"https://shop.example.com/","jsApiList":["b"]}`, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			w := oneShop(t)
			r := apitest.Post("/getApi", test.contentType, test.body)
			r.URL.RawQuery = test.query
			if a := w.ask(r); test.says != "" {
				refused(t, a, http.StatusBadRequest, test.says)
			} else {
				w.accept(a)
			}
		})
	}
}

// Over a real connection a body may come in chunks, of no announced length.
func TestChunkedBodyIsBounded(t *testing.T) {
	w := oneShop(t)
	server := httptest.NewServer(w.api)
	defer server.Close()
	tests := []struct {
		name   string
		size   int
		status int
	}{{"at the limit", 64 << 10, 200}, {"over it", 64<<10 + 1, 413}}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			// A reader that net/http knows no length of is sent in chunks.
			body := io.MultiReader(strings.NewReader(bodyOf(test.size)))
			response, err := server.Client().Post(server.URL+"/getApi", apitest.FormType, body)
			if err != nil {
				t.Fatal(err)
			}
			defer response.Body.Close()
			if response.StatusCode != test.status || response.Header.Get("Cache-Control") != "no-store" {
				t.Errorf("HTTP %d with %v, want %d", response.StatusCode, response.Header, test.status)
			}
		})
	}
}

// A body that a GET carries is not looked at.
func TestBodyOfGETMeansNothing(t *testing.T) {
	w := oneShop(t)
	r := httptest.NewRequest(http.MethodGet, "/all?url="+url.QueryEscape(page), strings.NewReader(bodyOf(70<<10)))
	w.accept(w.ask(r))
}

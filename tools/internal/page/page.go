// Package page asks an edge in the same process to sign a page, and WeChat to
// judge it.
package page

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"

	"github.com/wxbroker/wxbroker/pkg/wechatsim"
)

// URL is the page.
const URL = "https://shop.example.com/products?id=1&from=timeline"

// Signature is the answer of an edge: a signature, or why there is none.
type Signature struct {
	Status    int    `json:"-"` // of HTTP
	AppID     string `json:"appId"`
	Timestamp int64  `json:"timestamp"`
	NonceStr  string `json:"nonceStr"`
	Signature string `json:"signature"`
	URL       string `json:"url"`
	ErrCode   int    `json:"errcode"`
	ErrMsg    string `json:"errmsg"`
}

// Sign asks an edge's HTTP API. The error says that it did not answer JSON.
func Sign(ctx context.Context, edge http.Handler) (Signature, error) {
	r := httptest.NewRequestWithContext(ctx, http.MethodGet, "/v1/jsapi/config?url="+url.QueryEscape(URL), nil)
	answer := httptest.NewRecorder()
	edge.ServeHTTP(answer, r)
	s := Signature{Status: answer.Code}
	if err := json.Unmarshal(answer.Body.Bytes(), &s); err != nil {
		return Signature{}, fmt.Errorf("the edge answered %q: %w", answer.Body, err)
	}
	return s, nil
}

// Judge asks WeChat whether it accepts the signature now.
func (s Signature) Judge(sim *wechatsim.Sim) wechatsim.Verdict {
	return sim.Verify(s.AppID, s.NonceStr, strconv.FormatInt(s.Timestamp, 10), s.URL, s.Signature)
}

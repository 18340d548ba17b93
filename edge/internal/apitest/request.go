// Package apitest has what tests of the edge's HTTP API share: requests, accounts
// that an edge was granted, what must be right about every answer, and a server in
// fake time with clients that are slow.
package apitest

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/wxbroker/wxbroker/edge/internal/localkey"
)

// Types of a request's body.
const (
	FormType = "application/x-www-form-urlencoded"
	JSONType = "application/json"
)

// Get is a GET whose query is sent as it is written.
func Get(path, query string) *http.Request {
	r := httptest.NewRequestWithContext(context.Background(), http.MethodGet, path, nil)
	r.URL.RawQuery = query
	return r
}

// Post is a POST. It has no Content-Type where that is "".
func Post(path, contentType, body string) *http.Request {
	r := httptest.NewRequestWithContext(context.Background(), http.MethodPost, path, strings.NewReader(body))
	if contentType != "" {
		r.Header.Set("Content-Type", contentType)
	}
	return r
}

// WithKey has a request present the local key k.
func WithKey(r *http.Request) *http.Request {
	r.Header.Set("Authorization", "Bearer k")
	return r
}

// Keys returns local keys from a file with that content.
func Keys(t testing.TB, content string) *localkey.Source {
	t.Helper()
	path := filepath.Join(t.TempDir(), "keys")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	keys, _, err := localkey.Load(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

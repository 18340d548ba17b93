package main

import (
	"context"
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"time"
)

//go:embed page.html
var pageSource string

var page = template.Must(template.New("page").Parse(pageSource))

// startSite serves a web site as an app beside an edge would. Its pages fetch their
// signature from /wx/ on their own origin. The site forwards that to the edge. With the
// simulator the site also shows WeChat's verdict on the signature.
func startSite(ctx context.Context, simulated bool) (io.Closer, error) {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'")
		_ = page.Execute(w, struct{ Simulated bool }{simulated}) // the browser went away
	})
	mux.Handle("/wx/", http.StripPrefix("/wx", forward(edgeAddress)))
	if simulated {
		mux.Handle("GET /sim/verify", forward(simAddress))
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", siteAddress)
	if err != nil {
		return nil, fmt.Errorf("starting the demonstration site: %w", err)
	}
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = server.Serve(listener) }() // ends with Close
	return server, nil
}

func forward(address string) http.Handler {
	target := &url.URL{Scheme: "http", Host: address}
	return &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) }}
}

package network

import (
	"errors"
	"net/http"
	"testing"
	"time"

	"google.golang.org/grpc/test/bufconn"
)

// Serve serves HTTP in memory until the test ends.
func Serve(t testing.TB, handler http.Handler) *bufconn.Listener {
	t.Helper()
	listener := bufconn.Listen(64 << 10)
	server := &http.Server{Handler: handler, ReadHeaderTimeout: time.Minute}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	t.Cleanup(func() {
		_ = server.Close()
		if err := <-served; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	})
	return listener
}

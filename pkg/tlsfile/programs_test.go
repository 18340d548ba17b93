package tlsfile

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"testing"
	"testing/synctest"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/test/bufconn"

	"github.com/wxbroker/wxbroker/pkg/grpctest"
	"github.com/wxbroker/wxbroker/pkg/tlstest"
)

// TestGRPC: one source serves both sides of gRPC, and streams live through the
// replacement of its files.
func TestGRPC(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		authority := tlstest.NewCA(t, "ours")
		files := lay(t, authority.Issue(t), authority)
		source := load(t, files)
		run(t, source)
		server := grpc.NewServer(grpc.Creds(credentials.NewTLS(source.mustServer(t))))
		status := health.NewServer()
		grpc_health_v1.RegisterHealthServer(server, status)
		dial := grpctest.Serve(t, server)

		connect := func(serverName string) (grpc_health_v1.Health_WatchClient, error) {
			conn := grpctest.Connect(t, dial, grpc.WithTransportCredentials(credentials.NewTLS(source.Client(serverName))))
			return grpc_health_v1.NewHealthClient(conn).Watch(t.Context(), new(grpc_health_v1.HealthCheckRequest))
		}
		var streams []grpc_health_v1.Health_WatchClient
		for range 20 {
			stream, err := connect("192.0.2.1") // the handshake does not name an address
			if err != nil {
				t.Fatal(err)
			}
			streams = append(streams, stream)
		}
		receive := func(want grpc_health_v1.HealthCheckResponse_ServingStatus) {
			t.Helper()
			for i, stream := range streams {
				if got, err := stream.Recv(); err != nil || got.GetStatus() != want {
					t.Fatalf("stream %d: %v, %v", i, got, err)
				}
			}
		}
		receive(grpc_health_v1.HealthCheckResponse_SERVING)
		for i := range 10 {
			pair := authority.Issue(t)
			write(t, files.Cert, pair.Cert)
			write(t, files.Key, pair.Key)
			pass(settled)
			want := grpc_health_v1.HealthCheckResponse_ServingStatus(1 + (i+1)%2)
			status.SetServingStatus("", want)
			receive(want)

			stream, err := connect("broker.example.com")
			if err != nil {
				t.Fatal(err)
			}
			if _, err := stream.Recv(); err != nil {
				t.Fatal(err)
			}
			from, _ := peer.FromContext(stream.Context())
			if shown := from.AuthInfo.(credentials.TLSInfo).State.PeerCertificates[0]; !shown.Equal(pair.Leaf) {
				t.Errorf("a new connection was shown %v", shown.SerialNumber)
			}
		}
		_, err := connect("192.0.2.2")
		refused(t, err, "not 192.0.2.2")
	})
}

// TestHTTP: the server speaks the protocols that it was given, however it is started.
func TestHTTP(t *testing.T) {
	authority := tlstest.NewCA(t, "ours")
	source := load(t, lay(t, authority.Issue(t)))
	trusting := load(t, lay(t, tlstest.Pair{}, authority))
	for _, tt := range []struct {
		name      string
		protocols []string
		serve     func(*http.Server, net.Listener) error
		speaks    string
	}{
		{"on a TLS listener", []string{"h2", "http/1.1"}, func(s *http.Server, l net.Listener) error {
			return s.Serve(tls.NewListener(l, s.TLSConfig))
		}, "HTTP/2.0"},
		{"by the HTTP server", []string{"h2", "http/1.1"}, func(s *http.Server, l net.Listener) error {
			return s.ServeTLS(l, "", "")
		}, "HTTP/2.0"},
		{"without HTTP/2", []string{"http/1.1"}, func(s *http.Server, l net.Listener) error {
			return s.Serve(tls.NewListener(l, s.TLSConfig))
		}, "HTTP/1.1"},
		{"without protocols", nil, func(s *http.Server, l net.Listener) error {
			return s.ServeTLS(l, "", "")
		}, "HTTP/1.1"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			listener := bufconn.Listen(64 << 10)
			server := &http.Server{
				TLSConfig: source.mustServer(t, tt.protocols...),
				Handler:   http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.Proto) }),
			}
			served := make(chan error, 1)
			go func() { served <- tt.serve(server, listener) }()
			defer func() { _ = server.Close(); <-served }()
			transport := &http.Transport{
				TLSClientConfig:   trusting.Client("192.0.2.1"),
				ForceAttemptHTTP2: true,
				DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
					return listener.DialContext(ctx)
				},
			}
			defer transport.CloseIdleConnections()
			answer, err := (&http.Client{Transport: transport}).Get("https://192.0.2.1/")
			if err != nil {
				t.Fatal(err)
			}
			defer answer.Body.Close()
			if body, err := io.ReadAll(answer.Body); err != nil || string(body) != tt.speaks {
				t.Errorf("spoke %s, %v", body, err)
			}
		})
	}
}

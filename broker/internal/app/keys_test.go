package app

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/wxbroker/wxbroker/broker/clustertest"
)

// TestAReloadReadsTheClustersKeys: a person withdraws a key that leaked, and reloads.
// From then on the key is refused.
func TestAReloadReadsTheClustersKeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		leaked, sound := clustertest.New(t, "leaked"), clustertest.New(t, "sound")
		s := startSite(t, false, "wx1")
		keys := filepath.Join(filepath.Dir(s.path), "keys")
		reload := func(cluster *clustertest.Cluster) {
			t.Helper()
			s.write("wx1")
			config, err := os.ReadFile(s.path)
			if err != nil {
				t.Fatal(err)
			}
			text := fmt.Sprintf("%skubernetes: {issuer: %q, keys_file: %q}\napps: [{name: web, identities: ['k8s:shop:web'], accounts: [wx1], grants: [sign]}]\n",
				config, clustertest.Issuer, keys)
			for path, content := range map[string][]byte{s.path: []byte(text), keys: cluster.Keys(t)} {
				if err := os.WriteFile(path, content, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if err := s.app.Reload(t.Context(), s.path, s.read()); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
		}
		identify := func(cluster *clustertest.Cluster) codes.Code {
			headers := metadata.Pairs("authorization", "Bearer "+cluster.Token(t, "shop", "web"))
			_, err := s.app.access.Identify(metadata.NewIncomingContext(t.Context(), headers))
			return status.Code(err)
		}
		reload(leaked)
		if got := identify(leaked); got != codes.OK {
			t.Errorf("before it was withdrawn the key is refused: %v", got)
		}
		reload(sound)
		if got := identify(leaked); got != codes.Unavailable {
			t.Errorf("a token of the key that was withdrawn: %v", got)
		}
		if got := identify(sound); got != codes.OK {
			t.Errorf("a token of the new key: %v", got)
		}
		s.end()
	})
}

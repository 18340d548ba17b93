package follow_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/wxbroker/wxbroker/pkg/follow"
)

// TestASecretInAFilesPlace: who writes a secret where the name of its file belongs does
// not find it in the log.
func TestASecretInAFilesPlace(t *testing.T) {
	for name, hidden := range map[string]bool{
		"0a1b2c3d4e5f60718293a4b5c6d7e8f9": true,
		"c2VjcmV0MTIz+a1b2c3d4e5f6g7=":     true,
		"Zm9v/a1b2c3d4e5f6g7h8i9":          true,
		"3f8e1c9d0b7a":                     false, // too short for a key
		"appsecret":                        false,
		"appsecret-of-the-shop-2026-12-01": false,
		"wx0123456789abcdef":               false,
		"wx0123456789abcdef.appsecret":     false,
		"kube-api-access-x7k2p/..2026_12_01_10_00_00.123456789/ca.crt":     false,
		"a1b2c3d4e5f6a1b2c3d4e5f6/tls.key":                                 true,
		"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855": true,
	} {
		path := filepath.Join(t.TempDir(), name)
		_, err := follow.Read(t.Context(), path, 100)
		if err == nil || strings.Contains(err.Error(), name) == hidden || !strings.Contains(err.Error(), "no such file") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

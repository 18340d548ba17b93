package access_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/wxbroker/wxbroker/broker/internal/access"
)

func TestParseIdentity(t *testing.T) {
	hash := strings.Repeat("0f", 32)
	for _, tt := range []struct {
		written string
		want    access.Identity // "" is refused
	}{
		{"spiffe://prod/ns/shop/sa/web", "spiffe://prod/ns/shop/sa/web"},
		{"spiffe://PROD.example/ns/Shop", "spiffe://prod.example/ns/Shop"},
		{"spiffe://prod", ""},
		{"spiffe://prod/", ""},
		{"spiffe:///web", ""},
		{"spiffe://user@prod/web", ""},
		{"spiffe://prod:1/web", ""},
		{"spiffe://prod/web?x", ""},
		{"spiffe://prod/web?", ""},
		{"spiffe://prod/web#x", ""},
		{"spiffe://prod/w%65b", ""},
		{"SPIFFE://prod/web", ""},
		{"https://prod/web", ""},
		{"dns:Web.Shop.example.com.", "dns:web.shop.example.com"},
		{"dns:localhost", "dns:localhost"},
		{"dns:*.example.com", ""},
		{"dns:", ""},
		{"dns:a b", ""},
		{"dns:-a", ""},
		{"k8s:shop:web", "k8s:shop:web"},
		{"k8s:shop:web.v2", "k8s:shop:web.v2"},
		{"k8s:shop", ""},
		{"k8s:shop:", ""},
		{"k8s:Shop:web", ""},
		{"k8s:shop:web:x", ""},
		{"token:sha256:" + hash, access.Identity("token:sha256:" + hash)},
		{"token:sha256:" + strings.ToUpper(hash), access.Identity("token:sha256:" + hash)},
		{"token:sha256:" + hash[1:], ""},
		{"token:md5:" + hash, ""},
		{"wxb_hunter2", ""},
		{"hunter2", ""},
		{"", ""},
	} {
		t.Run(tt.written, func(t *testing.T) {
			id, err := access.ParseIdentity(tt.written)
			if id != tt.want || (err == nil) != (tt.want != "") {
				t.Errorf("%q, %v", string(id), err)
			}
			if err != nil && strings.Contains(err.Error(), "hunter2") {
				t.Errorf("%v shows what may be a token", err)
			}
		})
	}
}

// TestIdentitiesAreShownInShort: whoever has a whole hash from a log can try tokens
// against it.
func TestIdentitiesAreShownInShort(t *testing.T) {
	token, id := access.NewToken()
	if shown := fmt.Sprintf("%v %s", id, id); shown != string(id[:21])+"… "+string(id[:21])+"…" {
		t.Error(shown)
	}
	if len(token.Reveal()) != 4+43 || !strings.HasPrefix(token.Reveal(), "wxb_") {
		t.Errorf("a token of %d bytes", len(token.Reveal()))
	}
	if other, _ := access.NewToken(); other.Equal(token) {
		t.Error("the same token twice")
	}
}

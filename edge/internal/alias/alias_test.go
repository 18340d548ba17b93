package alias_test

import (
	"strings"
	"testing"
	"time"

	"github.com/wxbroker/wxbroker/edge/internal/alias"
	"github.com/wxbroker/wxbroker/pkg/credential"
)

var (
	ours   = credential.NewSecret(strings.Repeat("k", 32))
	theirs = credential.NewSecret(strings.Repeat("t", 32))
	now    = time.Unix(1_800_000_000, 0)
)

func made(t testing.TB, key credential.Secret, appid, name string, expiry time.Time) string {
	t.Helper()
	a, err := alias.New(key, appid, name, expiry)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestOpen(t *testing.T) {
	good := made(t, ours, "wx1", "店铺", now.Add(time.Second))
	// Only two bits of its last character carry data.
	short := made(t, ours, "wx1", "a", now.Add(time.Second))
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	other := short[:len(short)-1] + string(alphabet[strings.IndexByte(alphabet, short[len(short)-1])+1])
	tests := []struct {
		name       string
		key        credential.Secret
		appid      string
		alias      string
		now        time.Time
		wantName   string
		wantOpened bool
	}{
		{"good", ours, "wx1", good, now, "店铺", true},
		{"without a name", ours, "wx1", made(t, ours, "wx1", "", now.Add(alias.Life)), now, "", true},
		{"expired", ours, "wx1", good, now.Add(time.Second), "", false},
		{"another app's key", theirs, "wx1", good, now, "", false},
		{"no key", credential.Secret{}, "wx1", good, now, "", false},
		{"another account", ours, "wx2", good, now, "", false},
		{"without its prefix", ours, "wx1", strings.TrimPrefix(good, "wxb_"), now, "", false},
		{"the prefix alone", ours, "wx1", "wxb_", now, "", false},
		{"empty", ours, "wx1", "", now, "", false},
		{"cut", ours, "wx1", good[:len(good)-1], now, "", false},
		{"longer", ours, "wx1", good + "A", now, "", false},
		{"written in another way", ours, "wx1", other, now, "", false},
		{"padded", ours, "wx1", good + "=", now, "", false},
		{"with a line feed", ours, "wx1", good[:20] + "\n" + good[20:], now, "", false},
		{"changed", ours, "wx1", good[:20] + string(good[20]^1) + good[21:], now, "", false},
		{"endless", ours, "wx1", good + strings.Repeat("A", 1<<20), now, "", false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			name, expiry, ok := alias.Open(test.key, test.appid, test.alias, test.now)
			if name != test.wantName || ok != test.wantOpened || ok != !expiry.IsZero() {
				t.Errorf("%q until %v, %v", name, expiry, ok)
			}
		})
	}
	if _, expiry, _ := alias.Open(ours, "wx1", good, now); !expiry.Equal(now.Add(time.Second)) {
		t.Errorf("expires at %v", expiry)
	}
}

func TestNew(t *testing.T) {
	longest := made(t, ours, strings.Repeat("w", 64), strings.Repeat("n", 64), now)
	if len(longest) > 512 {
		t.Errorf("%d bytes", len(longest))
	}
	if one, other := made(t, ours, "wx1", "a", now), made(t, ours, "wx1", "a", now); one == other {
		t.Error("two are the same: whoever sees both knows that they are of one key")
	}
	if strings.Contains(longest, "nnn") || strings.Trim(longest, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
		t.Errorf("not opaque: %s", longest)
	}
	for name, key := range map[string]credential.Secret{"none": {}, "short": credential.NewSecret("k"), "long": credential.NewSecret(strings.Repeat("k", 33))} {
		if _, err := alias.New(key, "wx1", "a", now); err == nil || strings.Contains(err.Error(), "kk") {
			t.Errorf("key %s: %v", name, err)
		}
	}
	if _, err := alias.New(ours, "wx1", strings.Repeat("n", 65), now); err == nil {
		t.Error("a name of 65 bytes is taken")
	}
}

// written is an alias for wx1 and billing that an earlier build made with our key.
// Every later build has to know it.
const written = "wxb_M9q3PEbBGWJsQkcqpkdtIv0YWpLxUfoOrWtWHCHwcgplf3IEZK8x-wqNxA"

// Whatever is presented, only aliases that were made are let in, and only in the form
// in which they were made.
func FuzzOpen(f *testing.F) {
	for _, seed := range []string{written, "", "wxb_", "wxb_AAAA", written[:30], written + "\n"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, presented string) {
		name, _, ok := alias.Open(ours, "wx1", presented, now)
		if ok != (presented == written) || ok && name != "billing" {
			t.Errorf("%q opens: %v, %q", presented, ok, name)
		}
	})
}

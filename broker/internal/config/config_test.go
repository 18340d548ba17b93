package config

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wxbroker/wxbroker/pkg/credential"
)

// write puts a configuration beside a secret and a pipe without a writer. The
// configuration may name their paths as SECRET and PIPE.
func write(t *testing.T, yaml string) string {
	t.Helper()
	dir := t.TempDir()
	secret := filepath.Join(dir, "appsecret")
	if err := os.WriteFile(secret, []byte("0123456789abcdef\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	pipe := filepath.Join(dir, "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "wxbroker.yaml")
	if err := os.WriteFile(path, []byte(strings.NewReplacer("SECRET", secret, "PIPE", pipe).Replace(yaml)), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestLoad(t *testing.T) {
	c, err := Load(t.Context(), write(t, `
data: some.db
listen: {grpc: "unix:/run/wxbroker.sock", ops: ":7601"}
upstreams: [http://127.0.0.1:7699, https://api.weixin.qq.com]
accounts:
  - appid: wx0123456789abcdef
    secret_file: SECRET
    token_api: classic
    tickets: [jsapi, wx_card]
    sign_hosts: [Shop.Example.com, "*.例子.测试"]
  - appid: wx2
    secret_file: SECRET
`))
	if err != nil {
		t.Fatal(err)
	}
	if c.Data != "some.db" || c.GRPC.String() != "unix:/run/wxbroker.sock" || c.Ops.String() != ":7601" || len(c.Upstreams) != 2 {
		t.Errorf("config %+v", c)
	}
	first, second := c.Accounts[0], c.Accounts[1]
	if first.Secret.Reveal() != "0123456789abcdef" || first.Stable || len(first.Tickets) != 2 {
		t.Errorf("account %+v", first)
	}
	if got := strings.Join(first.SignHosts.Strings(), " "); got != "shop.example.com *.xn--fsqu00a.xn--0zwm56d" {
		t.Errorf("sign_hosts %s", got)
	}
	if !second.Stable || len(second.Tickets) != 1 || second.Tickets[0] != credential.JSAPITicket || second.SignHosts != nil {
		t.Errorf("defaults %+v", second)
	}
	if len(c.Warnings) != 0 {
		t.Errorf("warnings %q", c.Warnings)
	}
}

// A byte order mark, which some editors put first, means nothing.
func TestByteOrderMark(t *testing.T) {
	c, err := Load(t.Context(), write(t, "\ufeffdata: other.db\naccounts: [{appid: wx1, secret_file: SECRET}]\n"))
	if err != nil || c.Data != "other.db" {
		t.Errorf("data %q, %v", c.Data, err)
	}
}

// TestSecretVariables: a variable is read as a file is.
func TestSecretVariables(t *testing.T) {
	for value, says := range map[string]string{
		"hunter2": "", " hunter2\n": "", `"hunter2"`: "quotes", "SECRET=hunter2": "KEY=value", "hunter2 hunter3": "more than one word", " ": "empty or not set",
	} {
		t.Setenv("WXBROKER_TEST_VARIABLE", value)
		c, err := Load(t.Context(), write(t, "accounts: [{appid: wx1, secret_env: WXBROKER_TEST_VARIABLE}]\n"))
		switch {
		case says == "" && (err != nil || c.Accounts[0].Secret.Reveal() != "hunter2"):
			t.Errorf("%q: %v", value, err)
		case says != "" && (err == nil || !strings.Contains(err.Error(), says) || !strings.Contains(err.Error(), "WXBROKER_TEST_VARIABLE") || strings.Contains(err.Error(), "hunter2")):
			t.Errorf("%q: %v", value, err)
		}
	}
}

func TestDefaults(t *testing.T) {
	c, err := Load(t.Context(), write(t, "accounts: [{appid: wx1, secret_file: SECRET}]\n"))
	if err != nil {
		t.Fatal(err)
	}
	if c.Data != "wxbroker.db" || c.GRPC.String() != "127.0.0.1:7600" || c.Ops.String() != "127.0.0.1:7601" ||
		len(c.Upstreams) != 2 || c.Upstreams[0].String() != "https://api.weixin.qq.com" {
		t.Errorf("config %+v", c)
	}
}

func TestLoadRefuses(t *testing.T) {
	const secretLike = "deadbeefdeadbeefdeadbeefdeadbeef"
	const account = "accounts:\n  - appid: wx1\n    secret_file: SECRET\n"
	for _, tt := range []struct {
		name, yaml string
		want       []string // all in the error; the first after the file's name
	}{
		{"a typo", "data: x\nlissten: {}\n", []string{":2:1: ", `unknown key "lissten"`, `did you mean "listen"?`}},
		{"a typo in an account", account + "    sign_host: [a.example]\n", []string{":4:5: ", `did you mean "sign_hosts"?`}},
		{"a key of another world", account + "    colour: blue\n", []string{":4:5: ", "docs/configuration.md"}},
		{"an inline secret", account + "    secret: hunter2hunter2\n", []string{":4:5: ", "secret_file"}},
		{"a secret for a file's name", "accounts:\n  - appid: wx1\n    secret_file: " + secretLike + "\n", []string{":3: accounts[0].secret_file: "}},
		{"a secret for a variable's name", "accounts:\n  - appid: wx1\n    secret_env: " + secretLike + "\n", []string{":3: accounts[0].secret_env: "}},
		{"a variable's name that is none", "accounts:\n  - appid: wx1\n    secret_env: hunter2/hunter2\n", []string{":3: accounts[0].secret_env: "}},
		{"another secret for a variable's name", "accounts:\n  - appid: wx1\n    secret_env: hunter2hunter2\n", []string{":3: accounts[0].secret_env: ", "not shown"}},
		{"another secret for a file's name", "accounts:\n  - appid: wx1\n    secret_file: a1b2c3d4hunter2e5f6\n", []string{":3: accounts[0].secret_file: ", "not shown"}},
		{"a key for a file's name", "encryption_key_file: 'hunter2/Zm9v+a1b2c3d4e5f6g7h8='\n" + account, []string{":1: encryption_key_file: ", "not shown"}},
		{"a secret for a CA's file", "upstream_ca_file: a1b2c3d4hunter2e5f6\n" + account, []string{":1: upstream_ca_file: ", "not shown"}},
		{"two typos", "lissten: {}\n" + account + "    sign_host: []\n", []string{":1:1: ", `"lissten"`, ":5:5: ", `"sign_host"`}},
		{"a typo in two accounts", account + "    sign_host: []\n  - appid: wx2\n    tikets: []\n", []string{":4:5: ", ":6:5: "}},
		{"a map of accounts", "accounts:\n  wx1: {secret_file: SECRET}\n", []string{":2:", "accounts has to be a list"}},
		{"one account without a list", "accounts:\n  appid: wx1\n  secret_file: SECRET\n", []string{":2:", "accounts has to be a list"}},
		{"one host without a list", account + "    sign_hosts: a.example\n", []string{":4:17: ", "accounts[0].sign_hosts has to be a list"}},
		{"a list of keys", "- data: x\n", []string{":1:1: ", "the file has to be a map"}},
		{"a word for a map", "listen: ':7600'\n" + account, []string{":1:9: ", "listen has to be a map of keys, such as grpc: "}},
		{"a map for a word", "data: {file: x}\n" + account, []string{":1:", "data has to be a single value"}},
		{"UTF-16", "\xff\xfea\x00", []string{": is written in UTF-16"}},
		{"two documents", account + "---\ndata: x\n", []string{": has more than one"}},
		{"comments alone", "# nothing\n", []string{"accounts", "lists no account"}},
		{"broken YAML", "data: [x\n", []string{":1:7: "}},
		{"a key twice", "data: x\ndata: y\n", []string{":2:1: ", "already defined"}},
		{"a list where text belongs", "data: [x]\n", []string{":1:"}},
		{"no accounts", "data: x\n", []string{"accounts", "lists no account"}},
		{"an empty file", "", []string{"the file is empty"}}, // half written, perhaps,
		{"no database", "data: ''\n" + account, []string{":1: data: "}},
		{"an account twice", account + "  - appid: wx1\n    secret_file: SECRET\n", []string{":4: accounts[1].appid: ", "twice"}},
		{"no appid", "accounts:\n  - secret_file: SECRET\n", []string{":2: accounts[0].appid: "}},
		{"a pipe for a secret file", "accounts:\n  - appid: wx1\n    secret_file: PIPE\n", []string{":3: accounts[0].secret_file: ", "not a regular file"}},
		{"a pipe for a CA file", "upstream_ca_file: PIPE\n" + account, []string{":1: upstream_ca_file: ", "not a regular file"}},
		{"a missing secret file", "accounts:\n  - appid: wx1\n    secret_file: /does/not/exist\n", []string{":3: accounts[0].secret_file: ", "/does/not/exist"}},
		{"an unset secret variable", "accounts:\n  - appid: wx1\n    secret_env: WXBROKER_TEST_NOT_SET\n", []string{":3: ", "WXBROKER_TEST_NOT_SET"}},
		{"no secret", "accounts:\n  - appid: wx1\n", []string{":2: accounts[0]: ", "exactly one"}},
		{"both secrets", account + "    secret_env: X\n", []string{"exactly one"}},
		{"another token API", account + "    token_api: new\n", []string{":4: accounts[0].token_api: "}},
		{"another ticket", account + "    tickets: [jsapi, sdk]\n", []string{":4: accounts[0].tickets[1]: "}},
		{"a ticket twice", account + "    tickets: [jsapi, jsapi]\n", []string{":4: ", "twice"}},
		{"a URL for a host", account + "    sign_hosts: ['https://a.example/']\n", []string{":4: accounts[0].sign_hosts[0]: ", "with no scheme and no path"}},
		{"a negative port", "listen: {grpc: '127.0.0.1:-1'}\n" + account, []string{":1: listen.grpc: ", "port"}},
		{"no port", "listen: {ops: localhost}\n" + account, []string{":1: listen.ops: "}},
		{"plaintext for all the world", "listen: {grpc: '0.0.0.0:7600'}\n" + account, []string{":1: listen.grpc: ", "insecure: true"}},
		{"plaintext upstream", "upstreams: [http://api.weixin.qq.com]\n" + account, []string{":1: upstreams[0]: ", "plain http"}},
		{"upstream without a scheme", "upstreams: [api.weixin.qq.com]\n" + account, []string{":1: upstreams[0]: "}},
		{"upstream of another scheme", "upstreams: ['ftp://api.weixin.qq.com']\n" + account, []string{":1: upstreams[0]: ", "not https"}},
		{"upstream without a host", "upstreams: ['https:///cgi-bin']\n" + account, []string{":1: upstreams[0]: ", "base URL"}},
		{"upstream with a password", "upstreams: ['https://us:hunter2@api.weixin.qq.com']\n" + account, []string{":1: upstreams[0]: ", "base URL"}},
		{"upstream with a query", "upstreams: ['https://api.weixin.qq.com?a=1']\n" + account, []string{":1: upstreams[0]: ", "base URL"}},
		{"upstream with a fragment", "upstreams: ['https://api.weixin.qq.com#a']\n" + account, []string{":1: upstreams[0]: ", "base URL"}},
		{"no upstream", "upstreams: []\n" + account, []string{":1: upstreams: "}},
		{"a missing CA file", "upstream_ca_file: /does/not/exist\n" + account, []string{":1: upstream_ca_file: "}},
		{"a CA file without certificates", "upstream_ca_file: SECRET\n" + account, []string{":1: upstream_ca_file: ", "PEM"}},
		{"two things at once", "data: ''\n" + account + "    token_api: new\n", []string{":1: data: ", ":5: accounts[0].token_api"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path := write(t, tt.yaml)
			_, err := Load(t.Context(), path)
			if err == nil {
				t.Fatal("accepted")
			}
			tt.want[0] = strings.Replace(tt.want[0], ":", path+":", min(1, strings.Count(tt.want[0][:1], ":")))
			for _, want := range tt.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error %q lacks %q", err, want)
				}
			}
			if strings.Contains(err.Error(), "hunter2") || strings.Contains(err.Error(), secretLike) {
				t.Errorf("error %q shows a secret", err)
			}
		})
	}
}

// TestSecretFiles: what an AppSecret's file may look like, at the start and each
// time that it is read again.
func TestSecretFiles(t *testing.T) {
	const secret = "hunter2hunter2"
	for _, tt := range []struct {
		name, content string
		taken         bool
	}{
		{"the secret", secret, true},
		{"as an editor writes it", secret + "\n", true},
		{"with space around", "\r\n " + secret + "\t\r\n", true},
		{"after a byte order mark", "\ufeff" + secret + "\n", true},
		{"UTF-16", "\xff\xfeh\x00u\x00", false},
		{"UTF-16 without a mark", "h\x00u\x00", false},
		{"in quotes", `"` + secret + `"`, false},
		{"in single quotes", "'" + secret + "'\n", false},
		{"a variable and a value", "APPSECRET=" + secret, false},
		{"full-width letters", "ｈｕｎｔｅｒ２", false},
		{"two words", secret + " hunter2", false},
		{"two words and a tab", secret + "\thunter2", false},
		{"two lines", secret + "\nhunter2\n", false},
		{"a key and a value", "appsecret: " + secret, false},
		{"nothing", "", false},
		{"nothing but space", " \n", false},
		{"far too much", strings.Repeat(secret, 100), false},
		{"far too much space", secret + strings.Repeat(" ", 2000), false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				path := write(t, "accounts:\n  - appid: wx1\n    secret_file: SECRET\n")
				file := filepath.Join(filepath.Dir(path), "appsecret")
				before, err := Load(t.Context(), path)
				if err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(file, []byte(tt.content), 0o600); err != nil {
					t.Fatal(err)
				}
				loaded, err := Load(t.Context(), path)
				var followed []string
				var log bytes.Buffer
				ctx, stop := context.WithTimeout(t.Context(), time.Minute)
				defer stop()
				before.Accounts[0].FollowSecret(ctx, slog.New(slog.NewTextHandler(&log, nil)), func(s credential.Secret) {
					followed = append(followed, s.Reveal())
				})
				if tt.taken {
					if err != nil || loaded.Accounts[0].Secret.Reveal() != secret || !slices.Equal(followed, []string{secret}) {
						t.Errorf("%v; followed: %q", err, followed)
					}
					return
				}
				if len(followed) > 0 || !loaded.hasNoSecret() {
					t.Error("there is a secret beside the error")
				}
				for _, said := range []string{fmt.Sprint(err), log.String()} {
					if !strings.Contains(said, file) || strings.Contains(said, "hunter2") {
						t.Errorf("it does not say which file it is, or shows what is in it: %s", said)
					}
				}
			})
		})
	}
}

func (c Config) hasNoSecret() bool {
	return !slices.ContainsFunc(c.Accounts, func(a Account) bool { return !a.Secret.IsZero() })
}

// TestAnEmptyFileLacksOnlyAccounts: everything else has a default.
func TestAnEmptyFileLacksOnlyAccounts(t *testing.T) {
	for _, yaml := range []string{"\n", "# nothing\n", "---\n", "{}\n"} {
		if _, err := Load(t.Context(), write(t, yaml)); err == nil || strings.Count(err.Error(), "\n") > 0 || !strings.Contains(err.Error(), "lists no account") {
			t.Errorf("%q: %v", yaml, err)
		}
	}
}

func TestInsecureAllowsPlaintext(t *testing.T) {
	c, err := Load(t.Context(), write(t, "insecure: true\nlisten: {grpc: '0.0.0.0:7600'}\naccounts: [{appid: wx1, secret_file: SECRET}]\n"+anApp))
	if err != nil || !c.Insecure {
		t.Errorf("insecure %v, %v", c.Insecure, err)
	}
}

func TestWorldReadableSecretIsAWarning(t *testing.T) {
	path := write(t, "accounts:\n  - appid: wx1\n    secret_file: SECRET\n")
	if err := os.Chmod(filepath.Join(filepath.Dir(path), "appsecret"), 0o644); err != nil {
		t.Fatal(err)
	}
	c, err := Load(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Warnings) != 1 || !strings.Contains(c.Warnings[0], ":3: accounts[0].secret_file: ") || !strings.Contains(c.Warnings[0], "chmod 600") {
		t.Errorf("warnings %q", c.Warnings)
	}
}

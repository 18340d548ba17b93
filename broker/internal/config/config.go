package config

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/url"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"

	"github.com/wxbroker/wxbroker/broker/internal/access"
	"github.com/wxbroker/wxbroker/broker/internal/store"
	"github.com/wxbroker/wxbroker/broker/internal/wechat"
	"github.com/wxbroker/wxbroker/pkg/credential"
	"github.com/wxbroker/wxbroker/pkg/daemon"
	"github.com/wxbroker/wxbroker/pkg/follow"
	"github.com/wxbroker/wxbroker/pkg/tlsfile"
	"github.com/wxbroker/wxbroker/pkg/wxapi"
)

// Config is a configuration that was checked, with its secrets read.
type Config struct {
	Fixed
	Keys        store.Keys // seal the database; without any it is not sealed
	Upstreams   []*url.URL
	UpstreamCAs *x509.CertPool // nil for the system's alone
	Accounts    []Account
	// Policy says who may do what. It is open where the file has no apps.
	Policy *access.Policy
	// Warnings are what an operator should mend, though it works.
	Warnings []string
}

// Fixed is what a running broker cannot change.
type Fixed struct {
	Data              string // path of the database
	EncryptionKeyFile string // seals it, "" for a database that is not sealed
	GRPC, Ops         daemon.Address
	MaxConnections    int // of the gRPC listener
	TLS               tlsfile.Files
	// Insecure allows the gRPC listener to be plaintext beyond this machine.
	Insecure       bool
	UpstreamURLs   string // as written, each on a line
	UpstreamCAFile string
	// KubernetesIssuer issues the tokens that count, "" for none. It cannot change,
	// since streams that were opened with a token of the old issuer would go on.
	KubernetesIssuer string
	// HasApps says that the file lists apps. Without apps the broker is open to
	// everybody. That takes more than a line that somebody deleted.
	HasApps bool
}

// NeedsRestart returns the keys whose values differ in next and that a running
// broker cannot change.
func (c Config) NeedsRestart(next Config) []string {
	var keys []string
	for _, k := range []struct {
		name    string
		differs bool
	}{
		{"data", c.Data != next.Data},
		{"encryption_key_file", c.EncryptionKeyFile != next.EncryptionKeyFile},
		{"listen", c.GRPC != next.GRPC || c.Ops != next.Ops || c.MaxConnections != next.MaxConnections},
		{"tls", c.TLS != next.TLS},
		{"insecure", c.Insecure != next.Insecure},
		{"upstreams", c.UpstreamURLs != next.UpstreamURLs},
		{"upstream_ca_file", c.UpstreamCAFile != next.UpstreamCAFile},
		{"kubernetes.issuer", c.KubernetesIssuer != next.KubernetesIssuer && c.KubernetesIssuer != "" && next.KubernetesIssuer != ""},
		{"apps, of which there are none any more,", c.HasApps && !next.HasApps},
	} {
		if k.differs {
			keys = append(keys, k.name)
		}
	}
	return keys
}

// Account is one Official Account.
type Account struct {
	AppID  string
	Secret credential.Secret
	// FollowSecret calls use with the AppSecret each time that its file has changed,
	// until ctx ends. It is nil for an AppSecret that is not in a file.
	FollowSecret func(ctx context.Context, log *slog.Logger, use func(credential.Secret))
	Stable       bool // the stable token, not the classic one
	Tickets      []credential.Kind
	SignHosts    credential.HostRules
	// Limits are calls a day, for the APIs for which the keeper's default is not
	// wanted.
	Limits map[wechat.API]int

	written fileAccount
}

// KeptLike reports whether the account's credentials are kept in the same way as
// other's: by the same API, with the same tickets and limits.
func (a Account) KeptLike(other Account) bool {
	return a.Stable == other.Stable && slices.Equal(a.Tickets, other.Tickets) && maps.Equal(a.Limits, other.Limits)
}

// SameSecret reports whether the account's AppSecret is in the same place as
// other's.
func (a Account) SameSecret(other Account) bool {
	return a.written.SecretFile == other.written.SecretFile && a.written.SecretEnv == other.written.SecretEnv
}

// maxFile bounds the configuration file, and each file of certificates that it
// names, in bytes.
const maxFile = 1 << 20

// File returns the configuration file at path, to be read and followed.
func File(path string) follow.Group {
	return follow.Group{What: "configuration", Paths: []string{path}, Limit: maxFile}
}

// Load reads the file at path and the files that it names. The error joins
// everything that is wrong.
func Load(ctx context.Context, path string) (Config, error) {
	read, err := File(path).Read(ctx)
	if err != nil {
		return Config{}, err
	}
	return Parse(ctx, path, read)
}

// Parse is Load for a file that was read already.
func Parse(ctx context.Context, path string, read follow.Contents) (Config, error) {
	return parse(ctx, path, read.Files[0].Bytes)
}

func parse(ctx context.Context, path string, source []byte) (Config, error) {
	if isUTF16(source) {
		return Config{}, fmt.Errorf("%s: is written in UTF-16: save it as UTF-8", path)
	}
	source = bytes.TrimPrefix(source, utf8Mark)
	r := &reader{ctx: ctx, path: path, source: source}
	if r.shape(); len(r.errs) > 0 {
		return Config{}, errors.Join(r.errs...)
	}
	written := defaults()
	decoder := yaml.NewDecoder(bytes.NewReader(source), yaml.Strict())
	switch err := decoder.Decode(&written); {
	case errors.Is(err, io.EOF):
		written = defaults() // an empty document sets everything to nothing
	case err != nil:
		return Config{}, r.syntax(err)
	}
	if err := decoder.Decode(new(file)); !errors.Is(err, io.EOF) {
		return Config{}, fmt.Errorf("%s: has more than one YAML document: what follows a line of --- would be ignored", path)
	}
	r.config.Data, r.config.EncryptionKeyFile = written.Data, written.EncryptionKeyFile
	if written.Data == "" {
		r.wrongf("$.data", "names no file: write one such as wxbroker.db")
	}
	r.keys(written)
	r.listen(written)
	r.tls(written)
	r.upstreams(written)
	if len(written.Accounts) == 0 {
		r.wrongf("$.accounts", "lists no account: add one with its appid and secret_file")
	}
	for i, a := range written.Accounts {
		r.account(fmt.Sprintf("$.accounts[%d]", i), accountDefaults(a))
	}
	r.policy(written)
	if err := errors.Join(r.errs...); err != nil {
		return Config{}, err
	}
	return r.config, nil
}

// keys reads the keys that seal the database.
func (r *reader) keys(written file) {
	path := written.EncryptionKeyFile
	if path == "" {
		return
	}
	keys, worldReadable, err := store.LoadKeys(r.ctx, path)
	if err != nil {
		r.wrongf("$.encryption_key_file", "%v", err)
	}
	if worldReadable {
		r.warnf("$.encryption_key_file", "%s can be read by every user of this machine: chmod 600 it", path)
	}
	r.config.Keys = keys
}

func (r *reader) listen(written file) {
	r.config.Insecure = written.Insecure
	r.config.GRPC = r.address("$.listen.grpc", written.Listen.GRPC)
	r.config.Ops = r.address("$.listen.ops", written.Listen.Ops)
	r.config.MaxConnections = int(written.Listen.MaxConnections)
	if n := r.config.MaxConnections; n < 10 || n > 1_000_000 {
		r.wrongf("$.listen.max_connections", "is not between 10 and 1000000")
	}
	if a := r.config.GRPC; a != (daemon.Address{}) && !a.IsLocal() && !written.Insecure && written.TLS == (fileTLS{}) {
		r.wrongf("$.listen.grpc", "%s can be reached from other machines, and credentials would cross the network in plain text: "+
			"give tls a cert_file and a key_file, listen on 127.0.0.1 or unix:/path, or set `insecure: true` where the network itself is protected", a)
	}
}

// tls checks which files are named. Whoever uses the files reads them.
func (r *reader) tls(written file) {
	t := written.TLS
	r.config.TLS = tlsfile.Files{Cert: t.CertFile, Key: t.KeyFile, CA: t.ClientCAFile}
	switch {
	case (t.CertFile == "") != (t.KeyFile == ""):
		r.wrongf("$.tls", "has only one of cert_file and key_file: give both")
	case t.CertFile == "" && t.ClientCAFile != "":
		r.wrongf("$.tls.client_ca_file", "means nothing without cert_file and key_file: plain text has no certificates")
	case t.CertFile != "" && written.Insecure:
		r.wrongf("$.insecure", "contradicts tls: take one of them away")
	}
}

func (r *reader) address(key, s string) daemon.Address {
	a, err := daemon.ParseAddress(s)
	if err != nil {
		r.wrongf(key, "%v", err)
	}
	return a
}

func (r *reader) upstreams(written file) {
	r.config.UpstreamURLs, r.config.UpstreamCAFile = strings.Join(written.Upstreams, "\n"), written.UpstreamCAFile
	if len(written.Upstreams) == 0 {
		r.wrongf("$.upstreams", "is empty: leave it out for WeChat's own hosts")
	}
	for i, s := range written.Upstreams {
		key := fmt.Sprintf("$.upstreams[%d]", i)
		u, err := url.Parse(s)
		switch {
		case err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "":
			r.wrongf(key, "is not a base URL such as https://api.weixin.qq.com")
		case u.Scheme == "http" && !daemon.IsLoopbackHost(u.Hostname()):
			r.wrongf(key, "is plain http, which would show the AppSecret to the network: use https")
		case u.Scheme != "https" && u.Scheme != "http":
			r.wrongf(key, "has a scheme that is not https")
		default:
			r.config.Upstreams = append(r.config.Upstreams, u)
		}
	}
	if written.UpstreamCAFile != "" {
		pool, err := x509.SystemCertPool()
		if err != nil {
			pool = x509.NewCertPool()
		}
		r.config.UpstreamCAs = r.certificates("$.upstream_ca_file", written.UpstreamCAFile, pool)
	}
}

// certificates adds the file's certificates to pool.
func (r *reader) certificates(key, path string, pool *x509.CertPool) *x509.CertPool {
	file, err := follow.Read(r.ctx, path, maxFile)
	if err != nil {
		r.wrongf(key, "%v", err)
	} else if !pool.AppendCertsFromPEM(file.Bytes) {
		r.wrongf(key, "%s holds no certificate in PEM form", path)
	}
	return pool
}

func (r *reader) account(key string, written fileAccount) {
	a := Account{AppID: written.AppID, Stable: written.TokenAPI == "stable", written: written}
	if !wxapi.CanBeAppID(a.AppID) {
		r.wrongf(key+".appid", "is missing or not an appid such as wx0123456789abcdef")
	}
	for _, other := range r.config.Accounts {
		if other.AppID == a.AppID {
			r.wrongf(key+".appid", "%s is there twice: one account, one entry", a.AppID)
		}
	}
	if !a.Stable && written.TokenAPI != "classic" {
		r.wrongf(key+".token_api", "is neither stable nor classic")
	}
	for i, name := range written.Tickets {
		kind, ok := credential.TicketOfType(name)
		if !ok {
			r.wrongf(fmt.Sprintf("%s.tickets[%d]", key, i), "is neither %s", strings.Join(credential.TicketTypes(), " nor "))
		}
		a.Tickets = append(a.Tickets, kind)
	}
	if sorted := slices.Sorted(slices.Values(a.Tickets)); len(slices.Compact(sorted)) < len(a.Tickets) {
		r.wrongf(key+".tickets", "lists a ticket twice")
	}
	for i, host := range written.SignHosts {
		rule, err := credential.ParseHostRule(host)
		if err != nil {
			r.wrongf(fmt.Sprintf("%s.sign_hosts[%d]", key, i), "%v", err)
		}
		a.SignHosts = append(a.SignHosts, rule)
	}
	a.Limits = r.limits(key+".limits", written.Limits)
	r.secret(key, &a)
	r.config.Accounts = append(r.config.Accounts, a)
}

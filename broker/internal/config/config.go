package config

import (
	"bytes"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"regexp"

	"github.com/goccy/go-yaml"

	"github.com/wxbroker/wxbroker/broker/internal/wechat"
	"github.com/wxbroker/wxbroker/pkg/credential"
	"github.com/wxbroker/wxbroker/pkg/daemon"
)

// Config is a configuration that was checked, with its secrets read.
type Config struct {
	Data      string // path of the database
	GRPC, Ops daemon.Address
	// Insecure allows the gRPC listener to be plaintext beyond this machine.
	Insecure    bool
	Upstreams   []*url.URL
	UpstreamCAs *x509.CertPool // nil for the system's alone
	Accounts    []Account
	// Warnings are what an operator should mend, though it works.
	Warnings []string
}

// Account is one Official Account.
type Account struct {
	AppID  string
	Secret credential.Secret
	// ReadSecret reads the AppSecret's file anew; nil where it has none.
	ReadSecret func() (credential.Secret, error)
	Stable     bool // the stable token, not the classic one
	Tickets    []credential.Kind
	SignHosts  credential.HostRules
	// Limits are the calls a day of an API where the keeper's default is not
	// wanted.
	Limits map[wechat.API]int
}

// maxFile bounds the configuration file, in bytes.
const maxFile = 1 << 20

// Load reads the file at path and what it names. The error joins everything
// that is wrong.
func Load(path string) (Config, error) {
	f, err := os.Open(path)
	if err != nil {
		return Config{}, fmt.Errorf("reading the configuration: %w", err)
	}
	defer f.Close()
	source, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return Config{}, fmt.Errorf("reading the configuration %s: %w", path, err)
	}
	if len(source) > maxFile {
		return Config{}, fmt.Errorf("reading the configuration %s: it has more than %d bytes", path, maxFile)
	}
	return parse(path, source)
}

func parse(path string, source []byte) (Config, error) {
	r := &reader{path: path, source: source}
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
	r.config.Data = written.Data
	if written.Data == "" {
		r.wrongf("$.data", "names no file: write one such as wxbroker.db")
	}
	r.listen(written)
	r.upstreams(written)
	if len(written.Accounts) == 0 {
		r.wrongf("$.accounts", "lists no account: add one with its appid and secret_file")
	}
	for i, a := range written.Accounts {
		r.account(fmt.Sprintf("$.accounts[%d]", i), accountDefaults(a))
	}
	if err := errors.Join(r.errs...); err != nil {
		return Config{}, err
	}
	return r.config, nil
}

func (r *reader) listen(written file) {
	r.config.Insecure = written.Insecure
	r.config.GRPC = r.address("$.listen.grpc", written.Listen.GRPC)
	r.config.Ops = r.address("$.listen.ops", written.Listen.Ops)
	if a := r.config.GRPC; a != (daemon.Address{}) && !a.IsLocal() && !written.Insecure {
		r.wrongf("$.listen.grpc", "%s can be reached from other machines, and credentials would cross the network in plain text: "+
			"listen on 127.0.0.1 or unix:/path, or set `insecure: true` where the network itself is protected", a)
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
		r.certificates("$.upstream_ca_file", written.UpstreamCAFile)
	}
}

// certificates adds the file's certificates to the system's.
func (r *reader) certificates(key, path string) {
	raw, err := os.ReadFile(path)
	if err != nil {
		r.wrongf(key, "%v", err)
		return
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool()
	}
	if !pool.AppendCertsFromPEM(raw) {
		r.wrongf(key, "%s holds no certificate in PEM form", path)
	}
	r.config.UpstreamCAs = pool
}

// appidForm is wide: WeChat says nothing of an appid's form but shows wx and
// sixteen hex digits.
var appidForm = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

var ticketKinds = map[string]credential.Kind{
	"jsapi":   credential.JSAPITicket,
	"wx_card": credential.WXCardTicket,
}

func (r *reader) account(key string, written fileAccount) {
	a := Account{AppID: written.AppID, Stable: written.TokenAPI == "stable"}
	if !appidForm.MatchString(a.AppID) {
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
		kind, ok := ticketKinds[name]
		if !ok {
			r.wrongf(fmt.Sprintf("%s.tickets[%d]", key, i), "is neither jsapi nor wx_card")
		}
		a.Tickets = append(a.Tickets, kind)
	}
	if len(a.Tickets) == 2 && a.Tickets[0] == a.Tickets[1] || len(a.Tickets) > len(ticketKinds) {
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
	a.Secret = r.secret(key, written)
	if path := written.SecretFile; path != "" {
		a.ReadSecret = func() (credential.Secret, error) {
			secret, _, err := readSecret(path)
			return secret, err
		}
	}
	r.config.Accounts = append(r.config.Accounts, a)
}

package config

import (
	"crypto/x509"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"

	"github.com/wxbroker/wxbroker/broker/internal/access"
	"github.com/wxbroker/wxbroker/pkg/credential"
	"github.com/wxbroker/wxbroker/pkg/daemon"
	"github.com/wxbroker/wxbroker/pkg/wxapi"
)

// policy reads who may do what.
func (r *reader) policy(written file) {
	kubernetes := r.kubernetes(written.Kubernetes)
	switch {
	case len(written.Apps) > 0:
	case r.has("$.apps"):
		r.wrongf("$.apps", "is empty: to let nobody in, list an app without the identities that were; without apps at all, whoever can connect may do everything")
		return
	default:
		r.openPolicy(written)
		return
	}
	r.config.HasApps = true
	var apps []access.App
	for i, a := range written.Apps {
		apps = append(apps, r.app(fmt.Sprintf("$.apps[%d]", i), a, written))
	}
	for _, conflict := range access.Conflicts(apps) {
		key := fmt.Sprintf("$.apps[%d].name", conflict.App)
		if conflict.Identity >= 0 {
			key = fmt.Sprintf("$.apps[%d].identities[%d]", conflict.App, conflict.Identity)
		}
		r.wrongf(key, "%v", conflict)
	}
	if len(r.errs) > 0 {
		return // r.errs say what is wrong, with its line
	}
	policy, err := access.NewPolicy(apps, kubernetes)
	if err != nil {
		r.wrongf("$.apps", "%v", err)
	}
	r.config.Policy = policy
}

// openPolicy is for a file without apps: whoever can connect may do everything.
func (r *reader) openPolicy(written file) {
	r.config.Policy = access.Open()
	switch {
	case r.config.GRPC != (daemon.Address{}) && !r.config.GRPC.IsLocal():
		r.wrongf("$.listen.grpc", "%s can be reached from other machines, and without apps whoever connects is given everything: "+
			"list the apps, each with its identities, accounts and grants, or listen on 127.0.0.1 or unix:/path", r.config.GRPC)
	case written.TLS.ClientCAFile != "":
		r.wrongf("$.tls.client_ca_file", "means nothing without apps: whoever connects is given everything, whatever the certificate; list the apps")
	case written.Kubernetes != nil:
		r.wrongf("$.kubernetes", "means nothing without apps: list the ones that k8s: names")
	}
}

func (r *reader) app(key string, written fileApp, whole file) access.App {
	app := access.App{Name: written.Name, Accounts: written.Accounts}
	if err := access.CheckName(app.Name); err != nil {
		r.wrongf(key+".name", "%v", err)
	}
	if len(written.Identities) == 0 {
		r.wrongf(key+".identities", "is empty, so nobody is this app: `wxbroker token new APP` makes one")
	}
	for i, s := range written.Identities {
		key := fmt.Sprintf("%s.identities[%d]", key, i)
		id, err := access.ParseIdentity(s)
		switch {
		case err != nil:
			r.wrongf(key, "%v", err)
			continue
		case id.Proof() == access.ByCertificate && whole.TLS.ClientCAFile == "":
			r.wrongf(key, "%s is proven by a certificate, and no tls.client_ca_file says whose certificates count", id)
		case id.Proof() == access.ByKubernetes && whole.Kubernetes == nil:
			r.wrongf(key, "%s is proven by a Kubernetes token, and no section kubernetes says whose tokens count", id)
		}
		app.Identities = append(app.Identities, id)
	}
	app.Grants = r.grants(key+".grants", written.Grants)
	r.appAccounts(key+".accounts", &app)
	r.calls(key, written, &app)
	if n := written.Limits.PerSecond; n != nil {
		if app.PerSecond = int(*n); app.PerSecond < 1 || app.PerSecond > 100_000 {
			r.wrongf(key+".limits.per_second", "is not between 1 and 100000 calls a second")
		}
	}
	return app
}

// calls reads which APIs are called for an app, and how often a day.
func (r *reader) calls(key string, written fileApp, app *access.App) {
	if len(written.Calls) > 0 && !app.Has(credential.Call) {
		r.wrongf(key+".calls", "says what the grant call is for, and the app has not that grant")
	}
	if written.Calls != nil && len(written.Calls) == 0 {
		r.wrongf(key+".calls", "is empty: leave it out for every API, or take the grant call away")
	}
	for i, s := range written.Calls {
		key := fmt.Sprintf("%s.calls[%d]", key, i)
		pattern, err := access.ParsePattern(s)
		switch {
		case err != nil:
			r.wrongf(key, "%v", err)
		case slices.Contains(app.Calls, pattern):
			r.wrongf(key, "is there twice")
		}
		app.Calls = append(app.Calls, pattern)
	}
	app.PerDay = make(map[string]int)
	for _, api := range slices.Sorted(maps.Keys(written.Limits.PerDay)) {
		cleaned, err := access.CleanAPI(api)
		n := int(written.Limits.PerDay[api])
		switch {
		case api != access.EachAPI && (err != nil || cleaned != api):
			r.wrongf(key+".limits.per_day", `%q is neither the path of an API nor "*" for each that is not named`, api)
		case api != access.EachAPI && !app.MayCall(api):
			r.wrongf(key+".limits.per_day", "%s is not called for this app: its grants do not hold for it", api)
		case n < 0 || n > 100_000_000:
			r.wrongf(key+".limits.per_day", "the calls of %s are not between 0 and 100000000 a day", api)
		}
		app.PerDay[strings.ToLower(api)] = n
	}
}

func (r *reader) grants(key string, written []string) []credential.Grant {
	var grants []credential.Grant
	if len(written) == 0 {
		r.wrongf(key, "is empty, so the app may do nothing: %s", someOf(credential.Grants()))
	}
	for i, name := range written {
		switch g := credential.Grant(name); {
		case !slices.Contains(credential.Grants(), g):
			r.wrongf(fmt.Sprintf("%s[%d]", key, i), "is no grant: %s", someOf(credential.Grants()))
		case slices.Contains(grants, g):
			r.wrongf(fmt.Sprintf("%s[%d]", key, i), "is there twice")
		default:
			grants = append(grants, g)
		}
	}
	return grants
}

func someOf(grants []credential.Grant) string {
	var names []string
	for _, g := range grants {
		names = append(names, string(g))
	}
	return "there are " + strings.Join(names, ", ")
}

// appAccounts checks an app's accounts. An app whose only grant is admin may leave
// them out.
func (r *reader) appAccounts(key string, app *access.App) {
	switch {
	case len(app.Accounts) > 0:
	case len(app.Grants) == 1 && app.Has(credential.Admin):
		app.Accounts = []string{access.EveryAccount}
	default:
		r.wrongf(key, `is empty, so the app may do nothing: list the appids, or "*" for every account`)
	}
	for i, appid := range app.Accounts {
		key := fmt.Sprintf("%s[%d]", key, i)
		configured := slices.ContainsFunc(r.config.Accounts, func(a Account) bool { return a.AppID == appid })
		switch {
		case appid == access.EveryAccount && len(app.Accounts) > 1:
			r.wrongf(key, `is "*", which stands alone`)
		case appid != access.EveryAccount && !wxapi.CanBeAppID(appid):
			r.wrongf(key, "is not an appid such as wx0123456789abcdef")
		case appid != access.EveryAccount && !configured:
			r.wrongf(key, "%s is not among the accounts of this file", appid)
		case slices.Contains(app.Accounts[:i], appid):
			r.wrongf(key, "%s is there twice", appid)
		}
	}
}

// kubernetes reads whose tokens count.
func (r *reader) kubernetes(written *fileKubernetes) *access.Kubernetes {
	if written == nil {
		return nil
	}
	r.config.KubernetesIssuer = written.Issuer
	if written.Issuer == "" {
		r.wrongf("$.kubernetes.issuer", "is missing: `kubectl get --raw /.well-known/openid-configuration` says what it is")
	}
	switch {
	case (written.DiscoveryURL == "") == (written.KeysFile == ""):
		r.wrongf("$.kubernetes", "needs exactly one of discovery_url and keys_file")
	case written.KeysFile != "" && (written.CAFile != "" || written.TokenFile != ""):
		r.wrongf("$.kubernetes", "has ca_file or token_file, which belong to a discovery_url")
	case written.KeysFile != "":
		if _, err := access.ReadKeyFile(r.ctx, written.KeysFile); err != nil {
			r.wrongf("$.kubernetes.keys_file", "%v", err)
		}
		return access.NewKubernetes(written.Issuer, fmt.Sprint(*written), access.KeyFile(written.KeysFile))
	default:
		return access.NewKubernetes(written.Issuer, fmt.Sprint(*written), r.discovery(written))
	}
	return nil
}

func (r *reader) discovery(written *fileKubernetes) access.KeySource {
	if u, err := url.Parse(written.DiscoveryURL); err != nil {
		r.wrongf("$.kubernetes.discovery_url", "is no address such as https://kubernetes.default.svc")
	} else if err := access.CheckKeyURL(u); err != nil {
		r.wrongf("$.kubernetes.discovery_url", "%v", err)
	}
	if written.CAFile != "" {
		r.certificates("$.kubernetes.ca_file", written.CAFile, x509.NewCertPool())
	}
	return access.Discovery{URL: written.DiscoveryURL, CAFile: written.CAFile, TokenFile: written.TokenFile}.Keys()
}

package config

import "math"

// file is the configuration as it is written.
type file struct {
	Data              string          `yaml:"data"`
	EncryptionKeyFile string          `yaml:"encryption_key_file"`
	Listen            fileListen      `yaml:"listen"`
	TLS               fileTLS         `yaml:"tls"`
	Insecure          bool            `yaml:"insecure"`
	Upstreams         []string        `yaml:"upstreams"`
	UpstreamCAFile    string          `yaml:"upstream_ca_file"`
	Accounts          []fileAccount   `yaml:"accounts"`
	Kubernetes        *fileKubernetes `yaml:"kubernetes"`
	Apps              []fileApp       `yaml:"apps"`
}

type fileListen struct {
	GRPC           string `yaml:"grpc"`
	Ops            string `yaml:"ops"`
	MaxConnections calls  `yaml:"max_connections"`
}

type fileTLS struct {
	CertFile     string `yaml:"cert_file"`
	KeyFile      string `yaml:"key_file"`
	ClientCAFile string `yaml:"client_ca_file"`
}

type fileKubernetes struct {
	Issuer       string `yaml:"issuer"`
	DiscoveryURL string `yaml:"discovery_url"`
	CAFile       string `yaml:"ca_file"`
	TokenFile    string `yaml:"token_file"`
	KeysFile     string `yaml:"keys_file"`
}

type fileApp struct {
	Name       string        `yaml:"name"`
	Identities []string      `yaml:"identities"`
	Accounts   []string      `yaml:"accounts"`
	Grants     []string      `yaml:"grants"`
	Calls      []string      `yaml:"calls"`
	Limits     fileAppLimits `yaml:"limits"`
}

type fileAppLimits struct {
	PerSecond *calls           `yaml:"per_second"`
	PerDay    map[string]calls `yaml:"per_day"`
}

type fileAccount struct {
	AppID      string     `yaml:"appid"`
	SecretFile string     `yaml:"secret_file"`
	SecretEnv  string     `yaml:"secret_env"`
	TokenAPI   string     `yaml:"token_api"`
	Tickets    []string   `yaml:"tickets"`
	SignHosts  []string   `yaml:"sign_hosts"`
	Limits     fileLimits `yaml:"limits"`
}

// fileLimits are nil where the default is good.
type fileLimits struct {
	Token        *calls `yaml:"token"`
	StableToken  *calls `yaml:"stable_token"`
	ForceRefresh *calls `yaml:"force_refresh"`
	Ticket       *calls `yaml:"ticket"`
	Probe        *calls `yaml:"get_api_domain_ip"`
	Quota        *calls `yaml:"quota"`
}

// calls is a whole number. The decoder by itself would cut a fraction off.
type calls int

// UnmarshalYAML implements [yaml.InterfaceUnmarshaler].
func (c *calls) UnmarshalYAML(decode func(any) error) error {
	var written float64
	if err := decode(&written); err != nil || written != math.Trunc(written) || math.Abs(written) > math.MaxInt32 {
		*c = -1    // out of every range: said with the range
		return nil //nolint:nilerr // as above
	}
	*c = calls(written)
	return nil
}

// defaults returns the values of keys that are not in the file.
func defaults() file {
	return file{
		Data:      "wxbroker.db",
		Listen:    fileListen{GRPC: "127.0.0.1:7600", Ops: "127.0.0.1:7601", MaxConnections: 10_000},
		Upstreams: []string{"https://api.weixin.qq.com", "https://api2.weixin.qq.com"},
	}
}

// accountDefaults fills what an account leaves out. A list of tickets that is
// there and empty means none.
func accountDefaults(a fileAccount) fileAccount {
	if a.TokenAPI == "" {
		a.TokenAPI = "stable"
	}
	if a.Tickets == nil {
		a.Tickets = []string{"jsapi"}
	}
	return a
}

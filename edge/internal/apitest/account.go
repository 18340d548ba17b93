package apitest

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/wxbroker/wxbroker/edge/internal/alias"
	"github.com/wxbroker/wxbroker/pkg/credential"
)

// EveryCall are the grants of calls.
var EveryCall = []credential.Grant{credential.Template, credential.Media, credential.OAuth, credential.Call}

// CallsOnly is an account of which the broker grants calls and nothing else.
func CallsOnly(appid string) credential.Account {
	return credential.Account{AppID: appid, Calls: EveryCall, AliasKey: AliasKey(appid)}
}

// Holding is an account of which these kinds are granted, and what the edge has of
// them.
func Holding(appid string, kinds []credential.Kind, credentials ...credential.Credential) credential.Account {
	return credential.Account{AppID: appid, Kinds: slices.Clone(kinds), Credentials: credentials}
}

// Live is a credential as the broker sends it. It is good for left, and replaced
// after replacedIn, where that is not 0.
func Live(kind credential.Kind, value string, left, replacedIn time.Duration) credential.Credential {
	now := credential.Clock(credential.WallClock).Now()
	c := credential.Credential{Kind: kind, Value: credential.NewSecret(value), Version: 1, Expiry: now.Add(left)}
	if replacedIn != 0 {
		c.Replaced = now.Add(replacedIn)
	}
	return c
}

// AliasKey is a key for aliases, another for each seed.
func AliasKey(seed string) credential.Secret {
	return credential.NewSecret((seed + strings.Repeat("k", 32))[:32])
}

// Alias is an alias that another edge of the app made, for the holder of a key of
// its own. It is good for an hour.
func Alias(t testing.TB, appid, holder string) string {
	t.Helper()
	made, err := alias.New(AliasKey(appid), appid, holder, time.Now().Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	return made
}

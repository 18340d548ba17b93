package credential

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	wxbrokerv1 "github.com/wxbroker/wxbroker/proto/wxbroker/v1"
)

// Only returns the account with no other kinds than these.
func (a Account) Only(kinds []Kind) Account {
	unwanted := func(k Kind) bool { return !slices.Contains(kinds, k) }
	a.Kinds = slices.DeleteFunc(slices.Clone(a.Kinds), unwanted)
	a.Credentials = slices.DeleteFunc(slices.Clone(a.Credentials), func(c Credential) bool { return unwanted(c.Kind) })
	return a
}

// Wire returns the account in the form in which it is sent at now. Each expiry is the
// life that remains, added to the wall clock of now. So the receiver needs no other
// clock to compute the life that remains.
func (a Account) Wire(now Instant) *wxbrokerv1.Account {
	out := &wxbrokerv1.Account{
		Appid:  a.AppID,
		Policy: &wxbrokerv1.AccountPolicy{SignHosts: a.SignHosts.Strings()},
	}
	for _, k := range a.Kinds {
		out.Kinds = append(out.Kinds, k.Wire())
	}
	for _, c := range a.Credentials {
		sent := &wxbrokerv1.Credential{
			Kind:       c.Kind.Wire(),
			Value:      c.Value.Reveal(),
			Version:    c.Version,
			ExpireTime: timestamppb.New(now.Wall().Add(c.Expiry.Sub(now))),
		}
		if !c.Replaced.IsZero() {
			sent.ReplaceTime = timestamppb.New(now.Wall().Add(c.Replaced.Sub(now)))
		}
		out.Credentials = append(out.Credentials, sent)
	}
	for _, g := range a.Calls {
		out.Calls = append(out.Calls, g.Wire())
	}
	if !a.AliasKey.IsZero() {
		out.AliasKey = []byte(a.AliasKey.Reveal())
	}
	return out
}

// FromWire reads an account that arrived at now, in a message that was sent at sent by
// the sender's clock. It leaves out kinds and grants that it does not know.
func FromWire(in *wxbrokerv1.Account, sent time.Time, now Instant) (Account, error) {
	if in.GetAppid() == "" {
		return Account{}, errors.New("an account has no appid")
	}
	rules, err := ParseHostRules(in.GetPolicy().GetSignHosts())
	if err != nil {
		return Account{}, fmt.Errorf("account %s: sign_hosts: %w", in.GetAppid(), err)
	}
	out := Account{AppID: in.GetAppid(), SignHosts: rules}
	for _, w := range in.GetKinds() {
		if k, ok := KindFromWire(w); ok {
			out.Kinds = append(out.Kinds, k)
		}
	}
	for _, c := range in.GetCredentials() {
		k, ok := KindFromWire(c.GetKind())
		if !ok {
			continue
		}
		if _, twice := out.Credential(k); twice || c.GetValue() == "" || c.GetVersion() <= 0 || !c.GetExpireTime().IsValid() {
			return Account{}, fmt.Errorf("account %s: its %s is incomplete or sent twice", in.GetAppid(), k)
		}
		got := Credential{
			Kind:    k,
			Value:   NewSecret(c.GetValue()),
			Version: c.GetVersion(),
			Expiry:  now.Add(c.GetExpireTime().AsTime().Sub(sent)),
		}
		if r := c.GetReplaceTime(); r.IsValid() {
			got.Replaced = now.Add(r.AsTime().Sub(sent))
		}
		out.Credentials = append(out.Credentials, got)
	}
	for _, w := range in.GetCalls() {
		if g, ok := GrantFromWire(w); ok {
			out.Calls = append(out.Calls, g)
		}
	}
	if key := in.GetAliasKey(); len(key) > 0 {
		out.AliasKey = NewSecret(string(key))
	}
	return out, nil
}

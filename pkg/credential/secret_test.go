package credential_test

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/wxbroker/wxbroker/pkg/credential"
)

// hidden must never be seen, in hexadecimal or as bytes neither: that is what leaks
// looks for.
const hidden = "TiCkEt-0123456789"

func leaks(output string) bool {
	for _, form := range []string{"%s", "%x", "%X", "%d", "%b", "%o", "% x", "% X"} {
		for _, value := range []any{hidden, []byte(hidden)} {
			if strings.Contains(output, strings.Trim(fmt.Sprintf(form, value), "[]")) {
				return true
			}
		}
	}
	return false
}

// holder keeps a secret where fmt cannot call its methods: in fields that are
// not exported.
type holder struct {
	inner  credential.Secret
	more   []credential.Secret
	byName map[string]credential.Secret
}

func places() map[string]any {
	s := credential.NewSecret(hidden)
	return map[string]any{
		"value":              s,
		"pointer":            &s,
		"slice":              []credential.Secret{s},
		"map":                map[string]credential.Secret{"a": s},
		"interface":          []any{s, &s},
		"credential":         credential.Credential{Kind: credential.JSAPITicket, Value: s},
		"pointer to struct":  &credential.Credential{Kind: credential.JSAPITicket, Value: s},
		"account":            credential.Account{Credentials: []credential.Credential{{Value: s}}},
		"unexported fields":  holder{inner: s, more: []credential.Secret{s}, byName: map[string]credential.Secret{"a": s}},
		"pointer to holder":  &holder{inner: s},
		"pointer in a field": struct{ p *credential.Secret }{&s},
		"error":              fmt.Errorf("refused %v: %w", s, errors.New("why")),
	}
}

func TestSecretIsRedactedByEveryVerb(t *testing.T) {
	for name, value := range places() {
		t.Run(name, func(t *testing.T) {
			for _, flag := range []string{"", "+", "#", "-40", "040", " ", ".3"} {
				// Every letter, because under a verb that fmt does not know it prints
				// the value as it is.
				for verb := 'A'; verb <= 'z'; verb++ {
					if got := fmt.Sprintf("%"+flag+string(verb), value); leaks(got) {
						t.Errorf("%%%s%c prints %s", flag, verb, got)
					}
				}
			}
			if got := fmt.Sprint(value) + fmt.Sprintln(value); leaks(got) {
				t.Errorf("printed as %s", got)
			}
		})
	}
}

func TestSecretPrintsAsRedacted(t *testing.T) {
	s := credential.NewSecret(hidden)
	for _, got := range []string{s.String(), fmt.Sprint(s), fmt.Sprintf("%s", &s), fmt.Sprintf("%q", s), fmt.Sprintf("%#v", s)} {
		if got != credential.Redacted {
			t.Errorf("printed %s, want %s", got, credential.Redacted)
		}
	}
	// Nobody may see whether a secret is empty.
	if got := fmt.Sprint(credential.Secret{}); got != credential.Redacted {
		t.Errorf("an empty one prints %s", got)
	}
}

func TestSecretIsRedactedInLogs(t *testing.T) {
	for name, value := range places() {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			for _, h := range []slog.Handler{slog.NewTextHandler(&out, nil), slog.NewJSONHandler(&out, nil)} {
				log := slog.New(h).With("with", value)
				log.Info("x", "any", value, slog.Group("group", "inner", value))
			}
			if leaks(out.String()) {
				t.Errorf("logged %s", &out)
			}
		})
	}
	var out bytes.Buffer
	slog.New(slog.NewTextHandler(&out, nil)).Info("x", "it", credential.NewSecret(hidden))
	if !strings.HasSuffix(out.String(), "it="+credential.Redacted+"\n") {
		t.Errorf("logged %s", &out)
	}
}

func TestSecretIsRedactedWhenMarshalled(t *testing.T) {
	s := credential.NewSecret(hidden)
	raw, err := json.Marshal(map[string]any{"value": s, "pointer": &s, "holder": holder{inner: s}, "c": credential.Credential{Value: s}})
	if err != nil {
		t.Fatal(err)
	}
	if leaks(string(raw)) || strings.Count(string(raw), credential.Redacted) != 3 {
		t.Errorf("JSON is %s, want three times %s", raw, credential.Redacted)
	}
	raw, err = xml.Marshal(credential.Credential{Value: s})
	if err != nil || leaks(string(raw)) || !strings.Contains(string(raw), credential.Redacted) {
		t.Errorf("XML is %s, %v", raw, err)
	}
}

func TestSecretReveal(t *testing.T) {
	if got := credential.NewSecret(hidden).Reveal(); got != hidden {
		t.Errorf("revealed %q", got)
	}
	if got := (credential.Secret{}).Reveal(); got != "" {
		t.Errorf("the zero value revealed %q", got)
	}
}

func TestSecretEqual(t *testing.T) {
	s := credential.NewSecret
	tests := []struct {
		name  string
		a, b  credential.Secret
		equal bool
		zero  bool // a.IsZero
	}{
		{"same value, made twice", s(hidden), s(strings.Clone(hidden)), true, false},
		{"other value of the same length", s("abc"), s("abd"), false, false},
		{"prefix", s("abc"), s("abcd"), false, false},
		{"empty and not", s(""), s("a"), false, true},
		{"empty and zero", s(""), credential.Secret{}, true, true},
		{"zero and zero", credential.Secret{}, credential.Secret{}, true, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if tt.a.Equal(tt.b) != tt.equal || tt.b.Equal(tt.a) != tt.equal {
				t.Errorf("Equal says %v, want %v", !tt.equal, tt.equal)
			}
			if tt.a.IsZero() != tt.zero {
				t.Errorf("IsZero says %v, want %v", !tt.zero, tt.zero)
			}
		})
	}
}

package credential

import (
	"crypto/subtle"
	"fmt"
	"log/slog"
)

// Redacted is what a Secret prints as.
const Redacted = "[redacted]"

// Secret is a string that must not be seen: an AppSecret, a token, a ticket or
// a key. Every way of printing or marshalling it gives [Redacted]; only Reveal
// gives the value.
type Secret struct {
	_ [0]func() // makes == a compile error: it would compare where values are
	// value is behind a pointer because fmt calls no method of an unexported field,
	// and none for %p. It prints the field as it is, and follows no pointer.
	value *string
}

// NewSecret wraps value.
func NewSecret(value string) Secret { return Secret{value: &value} }

// Reveal returns the value, for the one place that has to send or store it.
func (s Secret) Reveal() string {
	if s.value == nil {
		return ""
	}
	return *s.value
}

// IsZero reports whether there is no value.
func (s Secret) IsZero() bool { return s.Reveal() == "" }

// Equal compares in time that does not depend on the values' content.
func (s Secret) Equal(other Secret) bool {
	return subtle.ConstantTimeCompare([]byte(s.Reveal()), []byte(other.Reveal())) == 1
}

// String returns [Redacted].
func (Secret) String() string { return Redacted }

// Format prints [Redacted], whatever the verb.
func (Secret) Format(f fmt.State, _ rune) { fmt.Fprint(f, Redacted) }

// LogValue logs [Redacted].
func (Secret) LogValue() slog.Value { return slog.StringValue(Redacted) }

// MarshalText writes [Redacted], for encoding/json and its like.
func (Secret) MarshalText() ([]byte, error) { return []byte(Redacted), nil }

package config

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/token"
)

// reader turns a file into a Config and collects what is wrong with it.
type reader struct {
	ctx    context.Context // of the reading
	path   string
	source []byte
	config Config
	errs   []error
}

// wrongf notes what is wrong with the value at key, a YAML path.
func (r *reader) wrongf(key, format string, args ...any) {
	r.errs = append(r.errs, errors.New(r.remark(key, fmt.Sprintf(format, args...))))
}

// warnf notes what an operator should mend about it, though it works.
func (r *reader) warnf(key, format string, args ...any) {
	r.config.Warnings = append(r.config.Warnings, r.remark(key, fmt.Sprintf(format, args...)))
}

// remark is `file:line: key: text`, as editors and compilers write it.
func (r *reader) remark(key, text string) string {
	return fmt.Sprintf("%s:%d: %s: %s", r.path, r.line(key), strings.TrimPrefix(key, "$."), text)
}

// line returns where key is, or where the nearest thing around it is.
func (r *reader) line(key string) int {
	for ; key != "$" && key != ""; key = key[:max(0, strings.LastIndexAny(key, ".["))] {
		path, err := yaml.PathString(key)
		if err != nil {
			continue
		}
		node, err := path.ReadNode(bytes.NewReader(r.source))
		if err == nil && node.GetToken() != nil {
			return node.GetToken().Position.Line
		}
	}
	return 1
}

// has reports whether the file has something at key, a YAML path, even if it is
// null.
func (r *reader) has(key string) bool {
	path, err := yaml.PathString(key)
	if err != nil {
		return false
	}
	node, err := path.ReadNode(bytes.NewReader(r.source))
	return err == nil && node != nil
}

// syntax says where the file cannot be read. It quotes keys and no values: a value
// may be a secret.
func (r *reader) syntax(err error) error {
	var at interface {
		GetToken() *token.Token
		GetMessage() string
	}
	if !errors.As(err, &at) || at.GetToken() == nil {
		return fmt.Errorf("%s: cannot be read as YAML", r.path)
	}
	message := at.GetMessage()
	if _, ok := errors.AsType[*yaml.UnknownFieldError](err); ok {
		message = "unknown key" + shown(at.GetToken().Value)
	}
	return r.at(at.GetToken(), message)
}

// at is a remark about a place in the file, with its column.
func (r *reader) at(place *token.Token, text string) error {
	return fmt.Errorf("%s:%d:%d: %s", r.path, place.Position.Line, place.Position.Column, text)
}

// keyForm is a form that our keys have, and that no AppSecret or token has.
var keyForm = regexp.MustCompile(`^[A-Za-z_]{1,40}$`)

// shown quotes an unknown key and says what may have been meant. It does not quote
// a key that may be a secret in the wrong place.
func shown(name string) string {
	if !keyForm.MatchString(name) {
		return ", which looks like none that there is, and is not shown: it may be a secret"
	}
	return fmt.Sprintf(" %q%s", name, hint(name))
}

// hint says what the writer of an unknown key may have meant.
func hint(name string) string {
	switch strings.ToLower(name) {
	case "secret", "appsecret", "app_secret":
		return ": an AppSecret is never in this file; name a file of its own under secret_file, or a variable under secret_env"
	}
	best, distance := "", len(name)/2+1
	for _, key := range keys(reflect.TypeFor[file]()) {
		if d := edits(name, key); d < distance {
			best, distance = key, d
		}
	}
	if best == "" {
		return ": see docs/configuration.md for the keys there are"
	}
	return fmt.Sprintf(": did you mean %q?", best)
}

// keys returns every key that the configuration can have at any depth.
func keys(t reflect.Type) []string {
	switch t.Kind() {
	case reflect.Slice, reflect.Pointer:
		return keys(t.Elem())
	case reflect.Struct:
		var all []string
		for field := range t.Fields() {
			all = append(append(all, field.Tag.Get("yaml")), keys(field.Type)...)
		}
		return all
	default:
		return nil
	}
}

// edits returns how many letters have to be inserted, deleted or replaced to
// turn a into b (Levenshtein's distance).
func edits(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			diagonal, row[j+1] = row[j+1], min(row[j+1]+1, row[j]+1, diagonal+cost)
		}
	}
	return row[len(b)]
}

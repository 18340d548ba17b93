package config

import (
	"errors"
	"fmt"
	"reflect"
	"strings"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// shape checks which keys a document has, and where it has maps, lists and single
// values. The decoder would say only one thing that is wrong, and not of which key.
// The error joins all of them. It is nil for a document that cannot be parsed, of which
// the decoder says more.
func (r *reader) shape() error {
	document, err := parser.ParseBytes(r.source, 0)
	if err != nil || len(document.Docs) == 0 {
		return nil //nolint:nilerr // as above
	}
	s := shape{path: r.path}
	s.check(document.Docs[0].Body, reflect.TypeFor[file](), "")
	return errors.Join(s.errs...)
}

// shape collects what is wrong with the shape of a document.
type shape struct {
	path string
	errs []error
}

func (s *shape) wrongf(at ast.Node, format string, args ...any) {
	position := at.GetToken().Position
	s.errs = append(s.errs, fmt.Errorf("%s:%d:%d: %s", s.path, position.Line, position.Column, fmt.Sprintf(format, args...)))
}

// check compares a node with the type that it is decoded into. key is its path, "" for
// the whole document.
func (s *shape) check(node ast.Node, t reflect.Type, key string) {
	if anchor, ok := node.(*ast.AnchorNode); ok {
		node = anchor.Value
	}
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch node.(type) {
	case nil, *ast.NullNode, *ast.AliasNode: // nothing is written, or it stands elsewhere
		return
	}
	switch t.Kind() {
	case reflect.Struct:
		s.keys(node, t, key)
	case reflect.Slice:
		list, ok := node.(*ast.SequenceNode)
		if !ok {
			s.wrongf(node, "%s has to be a list: write [A, B], or begin each entry with a dash on a line of its own", key)
			return
		}
		for i, entry := range list.Values {
			s.check(entry, t.Elem(), fmt.Sprintf("%s[%d]", key, i))
		}
	case reflect.Map:
		if _, ok := node.(ast.MapNode); !ok {
			s.wrongf(node, "%s has to be a map, such as {NAME: VALUE}", key)
		}
	default:
		switch node.(type) {
		case ast.MapNode, *ast.SequenceNode:
			s.wrongf(node, "%s has to be a single value", key)
		}
	}
}

// keys checks a map whose keys are those of a struct.
func (s *shape) keys(node ast.Node, t reflect.Type, key string) {
	found, ok := node.(ast.MapNode)
	if !ok {
		if key == "" {
			key = "the file"
		}
		s.wrongf(node, "%s has to be a map of keys, such as %s: …", key, t.Field(0).Tag.Get("yaml"))
		return
	}
	fields := make(map[string]reflect.Type)
	for field := range t.Fields() {
		fields[field.Tag.Get("yaml")] = field.Type
	}
	for entries := found.MapRange(); entries.Next(); {
		if _, merged := entries.Key().(*ast.MergeKeyNode); merged {
			continue
		}
		name := entries.Key().GetToken().Value
		field, known := fields[name]
		if !known {
			s.wrongf(entries.Key(), "unknown key%s", shown(name))
			continue
		}
		s.check(entries.Value(), field, strings.TrimPrefix(key+"."+name, "."))
	}
}

package config

import (
	"fmt"
	"reflect"
	"strings"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// shape checks which keys a document has, and where it has maps, lists and single
// values. The decoder would say only one thing that is wrong, and not of which key.
// It says nothing of a document that cannot be parsed, of which the decoder says more.
func (r *reader) shape() {
	document, err := parser.ParseBytes(r.source, 0)
	if err == nil && len(document.Docs) > 0 {
		r.checkShape(document.Docs[0].Body, reflect.TypeFor[file](), "")
	}
}

// wrongAtf notes what is wrong with the shape of a node.
func (r *reader) wrongAtf(node ast.Node, format string, args ...any) {
	r.errs = append(r.errs, r.at(node.GetToken(), fmt.Sprintf(format, args...)))
}

// checkShape compares a node with the type that it is decoded into. key is its path, ""
// for the whole document.
func (r *reader) checkShape(node ast.Node, t reflect.Type, key string) {
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
		r.checkKeys(node, t, key)
	case reflect.Slice:
		list, ok := node.(*ast.SequenceNode)
		if !ok {
			r.wrongAtf(node, "%s has to be a list: write [A, B], or begin each entry with a dash on a line of its own", key)
			return
		}
		for i, entry := range list.Values {
			r.checkShape(entry, t.Elem(), fmt.Sprintf("%s[%d]", key, i))
		}
	case reflect.Map:
		if _, ok := node.(ast.MapNode); !ok {
			r.wrongAtf(node, "%s has to be a map, such as {NAME: VALUE}", key)
		}
	default:
		switch node.(type) {
		case ast.MapNode, *ast.SequenceNode:
			r.wrongAtf(node, "%s has to be a single value", key)
		}
	}
}

// checkKeys checks a map whose keys are those of a struct.
func (r *reader) checkKeys(node ast.Node, t reflect.Type, key string) {
	found, ok := node.(ast.MapNode)
	if !ok {
		if key == "" {
			key = "the file"
		}
		r.wrongAtf(node, "%s has to be a map of keys, such as %s: …", key, t.Field(0).Tag.Get("yaml"))
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
			r.wrongAtf(entries.Key(), "unknown key%s", shown(name))
			continue
		}
		r.checkShape(entries.Value(), field, strings.TrimPrefix(key+"."+name, "."))
	}
}

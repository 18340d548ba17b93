package deploy

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var (
	flagForm     = regexp.MustCompile(`--[a-z][a-z-]*`)
	variableForm = regexp.MustCompile(`\bWX(BROKER|EDGE)_[A-Z_]+`)
)

// TestFlagsAndVariablesAreKnown: each program knows the flags and variables that the
// examples give it, also those in comments.
func TestFlagsAndVariablesAreKnown(t *testing.T) {
	main := manifests(t, "kubernetes/broker.yaml")["StatefulSet"].Spec.Template.Spec.Containers[0]
	edge := appPod(t).InitContainers[0]
	var operating []string
	for _, variable := range main.Env {
		operating = append(operating, "$"+variable.Name)
	}
	for _, tt := range []struct {
		where   string
		program []string // and its command
		has     []string
	}{
		{"broker.yaml", []string{"wxbroker", "serve"}, flags(main.Args...)},
		{"broker.yaml, for kubectl exec", []string{"wxbroker", "status"}, operating},
		{"example-app.yaml", []string{"wxedge", "serve"}, flags(edge.Args...)},
		{"wxedge.service", []string{"wxedge", "serve"}, variables(read(t, "systemd/wxedge.service"))},
		{"wxedge.env", []string{"wxedge", "serve"}, variables(read(t, "systemd/wxedge.env"))},
		{"edge.Containerfile", []string{"wxedge", "serve"}, variables(read(t, "container/edge.Containerfile"))},
		{"broker.Containerfile", entry(t, "broker")[:2], flags(entry(t, "broker")...)},
		{"wxsim.Containerfile", entry(t, "wxsim")[:1], flags(entry(t, "wxsim")...)},
	} {
		if len(tt.has) == 0 {
			t.Errorf("%s: found nothing to look for", tt.where)
		}
		help, err := program{name: tt.program[0], args: slices.Concat(tt.program[1:], []string{"--help"})}.run(t)
		if err != nil {
			t.Fatal(err)
		}
		known := slices.Concat(flags(help), variables(help))
		for _, word := range tt.has {
			if !slices.Contains(known, word) {
				t.Errorf("%s: %s does not know %s", tt.where, strings.Join(tt.program, " "), word)
			}
		}
	}
}

func flags(texts ...string) []string { return flagForm.FindAllString(strings.Join(texts, "\n"), -1) }

// variables returns the variables that a text names, in the form of --help.
func variables(text string) []string {
	var found []string
	for _, name := range variableForm.FindAllString(text, -1) {
		found = append(found, "$"+name)
	}
	return found
}

// entry returns the command that an image starts with.
func entry(t *testing.T, image string) []string {
	t.Helper()
	var words []string
	text := read(t, "container/"+image+".Containerfile")
	for _, key := range []string{"ENTRYPOINT", "CMD"} {
		var list []string
		line := regexp.MustCompile(`(?m)^` + key + ` \[.*\]$`).FindString(text)
		if err := json.Unmarshal([]byte(strings.TrimPrefix(line, key)), &list); err != nil {
			t.Fatalf("%s.Containerfile has no %s that is a list: %v", image, key, err)
		}
		words = append(words, list...)
	}
	words[0] = strings.TrimPrefix(words[0], "/")
	return words
}

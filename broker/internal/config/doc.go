// Package config reads the broker's configuration file and says, with file,
// line and a hint, what is wrong with it.
//
// The file is YAML; docs/configuration.md describes every key. AppSecrets are
// never in it: it names a file or an environment variable for each. Somebody may
// have written an AppSecret into it by mistake. So errors quote keys; a value they
// quote only if it has the form that a value of that key has.
package config

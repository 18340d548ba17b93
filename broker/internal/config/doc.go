// Package config reads the broker's configuration file and says, with file,
// line and a hint, what is wrong with it.
//
// The file is YAML; docs/configuration.md describes every key. AppSecrets are
// never in it: it names a file or an environment variable for each. Somebody may
// have written one there by mistake all the same, so errors quote keys, and
// values only where they have the form of what belongs there.
package config

// Package config reads the broker's configuration file and says, with file,
// line and a hint, what is wrong with it.
//
// The file is YAML; docs/configuration.md describes every key. AppSecrets are
// never in it: it names a file or an environment variable for each. So no
// error quotes the file: somebody may have written one there by mistake.
package config

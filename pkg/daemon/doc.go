// Package daemon has what broker and edge have in common as long-running programs.
// They listen on an address of the operator's choice, with a cap on the number of
// open connections. They serve HTTP until they are told to stop, and answer probes
// and scrapes. They run a command line, log, and know their version.
package daemon

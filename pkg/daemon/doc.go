// Package daemon is what broker and edge do alike as long-running programs:
// listen on an address of the operator's choice with a cap on how many
// connections are open, serve HTTP until they are told to stop, answer probes
// and scrapes, and know their version.
package daemon

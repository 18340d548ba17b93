package app

import (
	"fmt"
	"os"

	"github.com/wxbroker/wxbroker/broker/internal/access"
	"github.com/wxbroker/wxbroker/pkg/daemon"
)

type tokenCommand struct {
	New newTokenCommand `cmd:"" help:"Make a token for an app, and print it and the line of the broker's configuration that knows it."`
}

type newTokenCommand struct {
	App string `arg:"" name:"APP" help:"The app, for people: it is not part of the token."`
	Out string `type:"path" placeholder:"FILE" help:"Write the token to this new file, mode 0600, instead of printing it."`
}

// Run prints the token on the first line of the standard output and the
// configuration on the second. It asks no broker and stores nothing else: the broker
// knows the token once its configuration has that line.
func (c newTokenCommand) Run(r daemon.Running) error {
	if err := access.CheckName(c.App); err != nil {
		return fmt.Errorf("APP: %q %w", c.App, err)
	}
	token, identity := access.NewToken()
	if c.Out == "" {
		fmt.Fprintln(r.Stderr, "The token, for --token-file at the edge (it is shown only here), and its line for the broker's configuration:")
		fmt.Fprintln(r.Stdout, token.Reveal())
	} else if err := writeNew(c.Out, token.Reveal()+"\n"); err != nil {
		return fmt.Errorf("writing the token: %w", err)
	}
	_, err := fmt.Fprintf(r.Stdout, "identities: [%q] # of %s\n", string(identity), c.App)
	return err
}

// writeNew writes a new file that only its owner can read. It replaces no file.
func writeNew(path, content string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	if _, err := f.WriteString(content); err != nil {
		f.Close()
		return err
	}
	return f.Close()
}

package uplink

import (
	"context"
	"errors"
	"fmt"
	"net"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/wxbroker/wxbroker/pkg/daemon"
	"github.com/wxbroker/wxbroker/pkg/tlsfile"
)

// Flags are the flags that say how to reach the broker. They are embedded in a command
// that has a flag --broker.
type Flags struct {
	CAFile         string `name:"ca-file" default:"" env:"${env}_CA_FILE" type:"path" placeholder:"FILE" help:"CAs in PEM form, one of which must have signed the broker's certificate. Those of the system if not given."`
	CertFile       string `name:"cert-file" default:"" env:"${env}_CERT_FILE" type:"path" placeholder:"FILE" help:"Client certificate in PEM form, intermediates after it, that says to the broker who this is."`
	KeyFile        string `name:"key-file" default:"" env:"${env}_KEY_FILE" type:"path" placeholder:"FILE" help:"The client certificate's private key."`
	ServerName     string `name:"server-name" env:"${env}_SERVER_NAME" placeholder:"NAME" help:"Name or address in the broker's certificate. The host in --broker if not given."`
	TokenFile      string `name:"token-file" default:"" env:"${env}_TOKEN_FILE" type:"path" placeholder:"FILE" help:"Bearer token that says to the broker who this is. Read again for each call."`
	InsecureBroker bool   `name:"insecure-broker" env:"${env}_INSECURE_BROKER" help:"Allow plain text to a broker on another machine."`
}

// Open reads the files and decides how to reach a broker, host:port or
// unix:/path. It does not connect.
func (f Flags) Open(ctx context.Context, broker string) (*Link, error) {
	address, err := daemon.ParseAddress(broker)
	if err != nil {
		return nil, fmt.Errorf("--broker: %w", err)
	}
	link := new(Link)
	if f.wantsTLS() || !address.IsLocal() && !f.InsecureBroker {
		err = link.secure(ctx, f, address)
	} else {
		link.dial = []grpc.DialOption{grpc.WithTransportCredentials(plainCredentials{insecure.NewCredentials()})}
		if !address.IsLocal() {
			link.warnings = append(link.warnings, "insecure: credentials cross the network from the broker in plain text, and the token to it, if there is one")
		}
	}
	if err != nil {
		return nil, err
	}
	if f.TokenFile != "" {
		err = link.identify(ctx, f.TokenFile)
	}
	return link, err
}

// wantsTLS reports whether a flag is given that means nothing without TLS.
func (f Flags) wantsTLS() bool {
	return f.CAFile != "" || f.CertFile != "" || f.KeyFile != "" || f.ServerName != ""
}

// secure makes l a link over TLS.
func (l *Link) secure(ctx context.Context, f Flags, address daemon.Address) error {
	if f.InsecureBroker {
		return errors.New("--insecure-broker asks for plain text to the broker, but --ca-file, --cert-file, --key-file and --server-name ask for TLS: leave out the one or the others")
	}
	name := f.ServerName
	if name == "" {
		if address.IsUnix() {
			return fmt.Errorf("--server-name: the broker at %s is held against the name in its certificate, and a socket has none: say which it is", address)
		}
		name, _, _ = net.SplitHostPort(address.String()) // it has been parsed
		if name == "" {
			return fmt.Errorf("--broker: %s has no host to hold the broker's certificate against: write it out, or give --server-name", address)
		}
	}
	source, warnings, err := tlsfile.Load(ctx, tlsfile.Files{Cert: f.CertFile, Key: f.KeyFile, CA: f.CAFile})
	if err != nil {
		return fmt.Errorf("the connection to the broker: %w", err)
	}
	l.tls, l.warnings = source, warnings
	l.dial = []grpc.DialOption{grpc.WithTransportCredentials(tlsCredentials{
		TransportCredentials: credentials.NewTLS(source.Client(name)), ownCAs: f.CAFile != "", hasCertificate: f.CertFile != "",
	})}
	return nil
}

// identify makes l send the token that is in a file.
func (l *Link) identify(ctx context.Context, path string) error {
	source := tokenFile{path: path, secure: l.tls != nil}
	_, exposed, err := source.read(ctx)
	if err != nil {
		return fmt.Errorf("--token-file: %w", err)
	}
	if exposed {
		l.warnings = append(l.warnings, fmt.Sprintf("the token file %s can be read by every user of this machine: its mode should be 0600", path))
	}
	l.dial = append(l.dial, grpc.WithPerRPCCredentials(source))
	return nil
}

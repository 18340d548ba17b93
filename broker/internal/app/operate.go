package app

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/wxbroker/wxbroker/pkg/daemon"
	"github.com/wxbroker/wxbroker/pkg/uplink"
	wxbrokerv1 "github.com/wxbroker/wxbroker/proto/wxbroker/v1"
)

// operation is what all commands that ask a running broker have in common.
type operation struct {
	Broker string `default:"127.0.0.1:7600" env:"WXBROKER_BROKER" placeholder:"HOST:PORT" help:"The broker's gRPC address, or unix:/path; ${default} if not given."`
	uplink.Flags
	Timeout time.Duration `default:"1m" placeholder:"DURATION" help:"How long the broker may take; ${default} if not given."`
	JSON    bool          `name:"json" help:"Print JSON, for programs."`
}

// ask connects to the broker and calls f with the connection's client.
func (o operation) ask(r daemon.Running, f func(context.Context, wxbrokerv1.OperatorServiceClient) error) error {
	link, err := o.Open(r.Context, o.Broker)
	if err != nil {
		return err
	}
	for _, w := range link.Warnings() {
		fmt.Fprintln(r.Stderr, "warning:", w)
	}
	options := append(link.Dial(), grpc.WithNoProxy(), grpc.WithDisableServiceConfig(), grpc.WithUnaryInterceptor(o.bounded))
	conn, err := grpc.NewClient(o.Broker, options...)
	if err != nil {
		return fmt.Errorf("asking the broker at %s: %w", o.Broker, err)
	}
	defer conn.Close()
	if err := f(r.Context, wxbrokerv1.NewOperatorServiceClient(conn)); err != nil {
		s, ok := status.FromError(err)
		switch {
		case ok && s.Code() == codes.Unavailable && conn.GetState() != connectivity.Ready:
			return fmt.Errorf("asking the broker at %s: nothing answers there: is it running, and is --broker its gRPC address? (%s)", o.Broker, s.Message())
		case ok:
			return fmt.Errorf("asking the broker at %s: %s", o.Broker, s.Message())
		}
		return err
	}
	return nil
}

// bounded is a gRPC interceptor that bounds each call by the flag --timeout. The time
// between calls, in which a person may think, is not bounded.
func (o operation) bounded(ctx context.Context, method string, req, reply any, conn *grpc.ClientConn, call grpc.UnaryInvoker, opts ...grpc.CallOption) error {
	ctx, cancel := context.WithTimeout(ctx, o.Timeout)
	defer cancel()
	return call(ctx, method, req, reply, conn, opts...)
}

// printJSON prints an answer for programs.
func printJSON(w io.Writer, m proto.Message) error {
	raw, err := protojson.MarshalOptions{Multiline: true, UseProtoNames: true, EmitUnpopulated: true}.Marshal(m)
	if err != nil {
		return fmt.Errorf("printing the answer: %w", err)
	}
	_, err = fmt.Fprintln(w, string(raw))
	return err
}

type statusCommand struct {
	operation
	AppID string `name:"appid" placeholder:"ID" help:"Only this account."`
}

// Run prints the broker's state.
func (c statusCommand) Run(r daemon.Running) error {
	return c.ask(r, func(ctx context.Context, broker wxbrokerv1.OperatorServiceClient) error {
		got, err := broker.GetStatus(ctx, &wxbrokerv1.GetStatusRequest{Appid: c.AppID})
		if err != nil {
			return err
		}
		if c.JSON {
			return printJSON(r.Stdout, got)
		}
		return printStatus(r.Stdout, got)
	})
}

// account returns the account of that appid. Without an appid it returns the broker's
// only account.
func account(ctx context.Context, broker wxbrokerv1.OperatorServiceClient, appid string) (*wxbrokerv1.AccountStatus, error) {
	got, err := broker.GetStatus(ctx, &wxbrokerv1.GetStatusRequest{Appid: appid})
	if err != nil {
		return nil, err
	}
	if n := len(got.GetAccounts()); n != 1 {
		return nil, fmt.Errorf("the broker keeps %d accounts: say which one with --appid", n)
	}
	return got.GetAccounts()[0], nil
}

// confirm asks a person, who has to say yes.
func confirm(r daemon.Running, question string) error {
	fmt.Fprint(r.Stderr, question+" [y/N] ")
	type reply struct {
		text string
		err  error
	}
	replied := make(chan reply, 1)
	go func() { // while nobody answers, only the end of the process ends this
		text, err := bufio.NewReader(io.LimitReader(os.Stdin, 100)).ReadString('\n')
		replied <- reply{text, err}
	}()
	select {
	case <-r.Context.Done():
		fmt.Fprintln(r.Stderr)
		return errors.New("not done: told to stop before there was an answer")
	case answer := <-replied:
		if answer.err != nil && !errors.Is(answer.err, io.EOF) {
			return fmt.Errorf("reading the answer: %w", answer.err)
		}
		switch strings.ToLower(strings.TrimSpace(answer.text)) {
		case "y", "yes":
			return nil
		}
		return errors.New("not done: the answer was not yes")
	}
}

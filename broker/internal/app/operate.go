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
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/wxbroker/wxbroker/pkg/daemon"
	wxbrokerv1 "github.com/wxbroker/wxbroker/proto/wxbroker/v1"
)

// operation is what every command has that asks a running broker.
type operation struct {
	Broker         string        `default:"127.0.0.1:7600" env:"WXBROKER_BROKER" placeholder:"HOST:PORT" help:"The broker's gRPC address, or unix:/path; ${default} if not given."`
	InsecureBroker bool          `env:"WXBROKER_INSECURE_BROKER" help:"Allow plain text to a broker on another machine."`
	Timeout        time.Duration `default:"1m" placeholder:"DURATION" help:"How long the broker may take; ${default} if not given."`
	JSON           bool          `name:"json" help:"Print JSON, for programs."`
}

// ask connects to the broker and lets f ask it.
func (o operation) ask(ctx context.Context, f func(context.Context, wxbrokerv1.OperatorServiceClient) error) error {
	address, err := daemon.ParseAddress(o.Broker)
	if err != nil {
		return fmt.Errorf("--broker: %w", err)
	}
	if !address.IsLocal() && !o.InsecureBroker {
		return fmt.Errorf("--broker: %s is another machine, and what the broker says would cross the network in plain text: "+
			"run this beside the broker, or give --insecure-broker where the network itself is protected", o.Broker)
	}
	conn, err := grpc.NewClient(o.Broker,
		grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithNoProxy(), grpc.WithDisableServiceConfig(),
		grpc.WithUnaryInterceptor(o.bounded))
	if err != nil {
		return fmt.Errorf("asking the broker at %s: %w", o.Broker, err)
	}
	defer conn.Close()
	if err := f(ctx, wxbrokerv1.NewOperatorServiceClient(conn)); err != nil {
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

// bounded lets each call take so long and no longer. What happens between
// calls, such as a person's thinking, is not bounded.
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
	return c.ask(r.Context, func(ctx context.Context, broker wxbrokerv1.OperatorServiceClient) error {
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

type quotaCommand struct {
	operation
	AppID string `name:"appid" placeholder:"ID" help:"The account; needed if the broker keeps more than one."`
	Clear bool   `help:"Make WeChat forget today's calls of every API of the account. WeChat allows it ten times a month."`
	Yes   bool   `short:"y" help:"With --clear: do not ask."`
}

// Run prints the quotas, or clears them.
func (c quotaCommand) Run(r daemon.Running) error {
	return c.ask(r.Context, func(ctx context.Context, broker wxbrokerv1.OperatorServiceClient) error {
		account, err := c.account(ctx, broker)
		if err != nil {
			return err
		}
		if c.Clear {
			return c.clear(ctx, r, broker, account)
		}
		got, err := broker.GetQuota(ctx, &wxbrokerv1.GetQuotaRequest{Appid: account.GetAppid()})
		if err != nil {
			return err
		}
		if c.JSON {
			return printJSON(r.Stdout, got)
		}
		return printQuota(r.Stdout, account.GetAppid(), got)
	})
}

// account returns the account that is meant.
func (c quotaCommand) account(ctx context.Context, broker wxbrokerv1.OperatorServiceClient) (*wxbrokerv1.AccountStatus, error) {
	got, err := broker.GetStatus(ctx, &wxbrokerv1.GetStatusRequest{Appid: c.AppID})
	if err != nil {
		return nil, err
	}
	if n := len(got.GetAccounts()); n != 1 {
		return nil, fmt.Errorf("the broker keeps %d accounts: say which one with --appid", n)
	}
	return got.GetAccounts()[0], nil
}

// clear asks the person and then WeChat.
func (c quotaCommand) clear(ctx context.Context, r daemon.Running, broker wxbrokerv1.OperatorServiceClient, account *wxbrokerv1.AccountStatus) error {
	if !c.Yes {
		fmt.Fprintf(r.Stderr, "Make WeChat forget today's calls of every API of %s?\nWeChat allows it ten times a month; this broker has done it %d times. [y/N] ",
			account.GetAppid(), spentOn(account, "clear_quota").GetUsed())
		answer, err := bufio.NewReader(io.LimitReader(os.Stdin, 100)).ReadString('\n')
		if err != nil && !errors.Is(err, io.EOF) {
			return fmt.Errorf("reading the answer: %w", err)
		}
		if answer = strings.ToLower(strings.TrimSpace(answer)); answer != "y" && answer != "yes" {
			return errors.New("not cleared: the answer was not yes")
		}
	}
	got, err := broker.ClearQuota(ctx, &wxbrokerv1.ClearQuotaRequest{Appid: account.GetAppid()})
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(r.Stdout, got)
	}
	_, err = fmt.Fprintf(r.Stdout, "Cleared. That was number %d of the %d that WeChat allows this month.\n", got.GetOurs().GetUsed(), got.GetOurs().GetLimit())
	return err
}

// spentOn returns what was spent of an API, nil if it is not there.
func spentOn(account *wxbrokerv1.AccountStatus, api string) *wxbrokerv1.CallBudget {
	for _, b := range account.GetBudget() {
		if b.GetApi() == api {
			return b
		}
	}
	return nil
}

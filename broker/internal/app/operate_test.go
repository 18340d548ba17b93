package app

import (
	"bytes"
	"context"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"

	wxbrokerv1 "github.com/wxbroker/wxbroker/proto/wxbroker/v1"
)

// patientBroker answers operators, and notes how long each of them waits.
type patientBroker struct {
	wxbrokerv1.UnimplementedOperatorServiceServer
	mu    sync.Mutex
	waits map[string]time.Duration // by method; zero means for ever
}

func (b *patientBroker) note(ctx context.Context, request any, info *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (any, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	_, method, _ := strings.Cut(info.FullMethod[1:], "/")
	b.waits[method] = 0
	if deadline, ok := ctx.Deadline(); ok {
		b.waits[method] = time.Until(deadline)
	}
	return handle(ctx, request)
}

func (b *patientBroker) GetStatus(context.Context, *wxbrokerv1.GetStatusRequest) (*wxbrokerv1.GetStatusResponse, error) {
	return &wxbrokerv1.GetStatusResponse{Accounts: []*wxbrokerv1.AccountStatus{{Appid: "wx1"}}}, nil
}

func (b *patientBroker) GetQuota(context.Context, *wxbrokerv1.GetQuotaRequest) (*wxbrokerv1.GetQuotaResponse, error) {
	return new(wxbrokerv1.GetQuotaResponse), nil
}

func (b *patientBroker) ClearQuota(context.Context, *wxbrokerv1.ClearQuotaRequest) (*wxbrokerv1.ClearQuotaResponse, error) {
	return new(wxbrokerv1.ClearQuotaResponse), nil
}

func (b *patientBroker) Refresh(context.Context, *wxbrokerv1.RefreshRequest) (*wxbrokerv1.RefreshResponse, error) {
	return &wxbrokerv1.RefreshResponse{Account: &wxbrokerv1.AccountStatus{Appid: "wx1"}}, nil
}

// take returns the waits that were noted since the last call of take.
func (b *patientBroker) take() map[string]time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	waits := b.waits
	b.waits = map[string]time.Duration{}
	return waits
}

// TestTimeoutBoundsEveryCall that an operator's commands make.
func TestTimeoutBoundsEveryCall(t *testing.T) {
	b := &patientBroker{waits: map[string]time.Duration{}}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer(grpc.UnaryInterceptor(b.note))
	wxbrokerv1.RegisterOperatorServiceServer(server, b)
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(server.Stop)
	called := map[string]bool{}
	for _, command := range []string{"status", "quota", "quota --clear --yes", "refresh", "refresh --force --yes"} {
		for flag, most := range map[string]time.Duration{"": time.Minute, "--timeout=5m": 5 * time.Minute, "--timeout=1h": time.Hour} {
			args := append(strings.Fields(command), strings.Fields("--broker "+listener.Addr().String()+" "+flag)...)
			var out, failed bytes.Buffer
			if code := Main("v1.2.3", args, &out, &failed); code != 0 {
				t.Fatalf("wxbroker %s: %s", command, &failed)
			}
			for method, wait := range b.take() {
				called[method] = true
				if wait <= 0 || wait > most || wait < most/2 {
					t.Errorf("wxbroker %s %s: %s waits for %v", command, flag, method, wait)
				}
			}
		}
	}
	for _, m := range wxbrokerv1.OperatorService_ServiceDesc.Methods {
		if !called[m.MethodName] {
			t.Errorf("no command of these calls %s", m.MethodName)
		}
	}
}

package grpctest_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	"github.com/wxbroker/wxbroker/pkg/grpctest"
)

func TestServe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := grpc.NewServer()
		grpc_health_v1.RegisterHealthServer(server, health.NewServer())
		conn := grpctest.Connect(t, grpctest.Serve(t, server))
		ask := func() error {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			_, err := grpc_health_v1.NewHealthClient(conn).Check(ctx, new(grpc_health_v1.HealthCheckRequest))
			return err
		}
		if err := ask(); err != nil {
			t.Error(err)
		}
		server.Stop()
		if err := ask(); status.Code(err) != codes.Unavailable {
			t.Errorf("after its end it answers %v", err)
		}
	})
}

package rpc

import (
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	"github.com/wxbroker/wxbroker/broker/internal/access"
)

// healthService is gRPC's health service, which the server brings along.
func healthService(server *health.Server) Service {
	need := access.Need{Action: "health"}
	return Service{
		Desc: &healthv1.Health_ServiceDesc, Server: polledHealth{server},
		Needs: access.Needs{
			healthv1.Health_Check_FullMethodName: need, healthv1.Health_List_FullMethodName: need, healthv1.Health_Watch_FullMethodName: need,
		},
	}
}

// polledHealth answers one question at a time, and lets nobody watch: such a
// stream would know nothing of grants, nor of the server's end. UNIMPLEMENTED is
// how gRPC's health protocol says so, and its clients know it.
type polledHealth struct{ healthv1.HealthServer }

// Watch implements [healthv1.HealthServer].
func (polledHealth) Watch(*healthv1.HealthCheckRequest, healthv1.Health_WatchServer) error {
	return status.Error(codes.Unimplemented, "watching is not implemented: ask again with Check")
}

package rpc

import (
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	"github.com/wxbroker/wxbroker/broker/internal/access"
)

// healthService is gRPC's health service, which every server has.
func healthService(server *health.Server) Service {
	need := access.Need{Action: "health"}
	return Service{
		Desc: &healthv1.Health_ServiceDesc, Server: polledHealth{server},
		Needs: access.Needs{
			healthv1.Health_Check_FullMethodName: need, healthv1.Health_List_FullMethodName: need, healthv1.Health_Watch_FullMethodName: need,
		},
	}
}

// polledHealth answers single questions, and refuses to let anybody watch. A stream of
// health states would not end with the caller's grants, nor with the server. In gRPC's
// health protocol UNIMPLEMENTED means that watching is refused, and clients know it.
type polledHealth struct{ healthv1.HealthServer }

// Watch implements [healthv1.HealthServer].
func (polledHealth) Watch(*healthv1.HealthCheckRequest, healthv1.Health_WatchServer) error {
	return status.Error(codes.Unimplemented, "watching is not implemented: ask again with Check")
}

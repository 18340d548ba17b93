package rpc

import (
	"fmt"
	"slices"

	"google.golang.org/grpc"

	"github.com/wxbroker/wxbroker/broker/internal/access"
)

// Service is a gRPC service, which its package implements and whoever wires the
// server hands in.
type Service struct {
	Desc *grpc.ServiceDesc
	// Server implements what Desc describes.
	Server any
	// Needs say what each method takes of its caller. A method that is not in them
	// would be nobody's.
	Needs access.Needs
	// Stop is called once the server stops. It has the calls end that would go on for
	// ever, which the server would wait for; nil for a service without such calls.
	Stop func()
}

// methods returns the full names of a service's methods.
func (s Service) methods() []string {
	var names []string
	for _, m := range s.Desc.Methods {
		names = append(names, "/"+s.Desc.ServiceName+"/"+m.MethodName)
	}
	for _, m := range s.Desc.Streams {
		names = append(names, "/"+s.Desc.ServiceName+"/"+m.StreamName)
	}
	return names
}

// needsOf returns what the methods of services take. It panics where the needs of a
// service are not those of its methods: that is a mistake of whoever wrote the
// service, and nobody could call the method.
func needsOf(services []Service) access.Needs {
	all := make(access.Needs)
	for _, s := range services {
		methods := s.methods()
		for _, method := range methods {
			need, ok := s.Needs[method]
			if !ok {
				panic(fmt.Sprintf("rpc: the needs of the service %s lack its method %s", s.Desc.ServiceName, method))
			}
			all[method] = need
		}
		for method := range s.Needs {
			if !slices.Contains(methods, method) {
				panic(fmt.Sprintf("rpc: the needs of the service %s name %s, which is no method of it", s.Desc.ServiceName, method))
			}
		}
	}
	return all
}

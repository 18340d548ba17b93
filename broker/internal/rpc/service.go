package rpc

import (
	"fmt"
	"slices"

	"google.golang.org/grpc"

	"github.com/wxbroker/wxbroker/broker/internal/access"
)

// Service is a gRPC service. Its own package implements it, and the program's wiring
// hands it to the server.
type Service struct {
	Desc *grpc.ServiceDesc
	// Server implements what Desc describes.
	Server any
	// Needs say what each method takes of its caller. They have to list every method.
	Needs access.Needs
	// Stop is called when the server stops. It ends calls that would otherwise go on for
	// ever and keep the server waiting. It is nil for a service without such calls.
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

// needsOf returns the needs of all methods of the services. It panics where the needs
// of a service do not match its methods. That is a mistake in the service's code, and
// nobody could call the method.
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

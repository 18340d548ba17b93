package brokertest

import (
	"context"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	wxbrokerv1 "github.com/wxbroker/wxbroker/proto/wxbroker/v1"
)

// The services that a Broker serves. They are types of their own since its fields
// have the names of their methods.
type (
	weChatService struct {
		wxbrokerv1.UnimplementedWeChatServiceServer
		*Broker
	}
	credentialService struct {
		wxbrokerv1.UnimplementedCredentialServiceServer
		*Broker
	}
)

// Call implements [wxbrokerv1.WeChatServiceServer].
func (s weChatService) Call(stream Stream) error {
	first, err := stream.Recv()
	if err != nil {
		return err
	}
	head := first.GetHead()
	s.note(stream.Context(), head)
	if s.Answer == nil {
		return status.Error(codes.Unimplemented, "the test has no answer to calls")
	}
	return s.Answer(head, stream)
}

// ReportInvalid implements [wxbrokerv1.CredentialServiceServer].
func (s credentialService) ReportInvalid(ctx context.Context, r *wxbrokerv1.ReportInvalidRequest) (*wxbrokerv1.ReportInvalidResponse, error) {
	s.note(ctx, nil)
	if s.Report == nil {
		return s.UnimplementedCredentialServiceServer.ReportInvalid(ctx, r)
	}
	v, err := s.Report(ctx, r)
	return &wxbrokerv1.ReportInvalidResponse{ReportedVersion: v.Reported, CurrentVersion: v.Current}, err
}

// Watch implements [wxbrokerv1.CredentialServiceServer].
func (s credentialService) Watch(stream WatchStream) error {
	if s.Broker.Watch == nil {
		return s.UnimplementedCredentialServiceServer.Watch(stream)
	}
	return s.Broker.Watch(stream)
}

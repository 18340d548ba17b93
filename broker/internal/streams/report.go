package streams

import (
	"context"
	"crypto/sha256"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/wxbroker/wxbroker/pkg/credential"
	wxbrokerv1 "github.com/wxbroker/wxbroker/proto/wxbroker/v1"
)

// ReportInvalid answers a report. The .proto file says what it promises.
func (s *Service) ReportInvalid(ctx context.Context, r *wxbrokerv1.ReportInvalidRequest) (*wxbrokerv1.ReportInvalidResponse, error) {
	kind, ok := credential.KindFromWire(r.GetKind())
	if !ok {
		return nil, status.Error(codes.InvalidArgument, "report: the kind of the credential is missing or unknown")
	}
	if len(r.GetValueSha256()) != sha256.Size {
		return nil, status.Errorf(codes.InvalidArgument, "report: value_sha256 has %d bytes and not %d", len(r.GetValueSha256()), sha256.Size)
	}
	versions, known, err := s.Report(ctx, r.GetAppid(), kind, [sha256.Size]byte(r.GetValueSha256()))
	switch {
	case ctx.Err() != nil:
		return nil, status.FromContextError(ctx.Err()).Err()
	case err != nil:
		return nil, status.Error(codes.Unavailable, "report: "+err.Error())
	case !known:
		return nil, status.Error(codes.NotFound, "report: no such value was handed out, or it was too long ago")
	}
	return &wxbrokerv1.ReportInvalidResponse{ReportedVersion: versions.Reported, CurrentVersion: versions.Current}, nil
}

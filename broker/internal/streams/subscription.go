package streams

import (
	"fmt"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/wxbroker/wxbroker/broker/internal/audit"
	"github.com/wxbroker/wxbroker/broker/internal/edges"
	"github.com/wxbroker/wxbroker/pkg/credential"
	wxbrokerv1 "github.com/wxbroker/wxbroker/proto/wxbroker/v1"
)

// Bounds of what an edge may send.
const (
	maxAppIDs  = 256
	maxHeld    = 8 << 10
	maxName    = 128 // bytes
	maxVersion = 64  // bytes
)

// subscription is a Subscription after its checks.
type subscription struct {
	appids        []string
	kinds         []credential.Kind
	held          []edges.Holding
	calls         bool // the edge passes on calls as well
	name, version string
}

func readSubscription(request *wxbrokerv1.WatchRequest) (subscription, error) {
	in := request.GetSubscription()
	invalid := func(format string, args ...any) (subscription, error) {
		return subscription{}, status.Error(codes.InvalidArgument, "subscription: "+fmt.Sprintf(format, args...))
	}
	switch {
	case in == nil:
		return invalid("the first request has to be one")
	case len(in.GetAppids()) > maxAppIDs:
		return invalid("%d appids, at most %d are allowed", len(in.GetAppids()), maxAppIDs)
	case len(in.GetKinds()) == 0 && !in.GetCalls():
		return invalid("no kind of credential is wanted, and no calls")
	case len(in.GetEdgeName()) > maxName || len(in.GetEdgeVersion()) > maxVersion:
		return invalid("edge_name or edge_version is too long")
	}
	held, err := readHeld(in.GetHeld())
	if err != nil {
		return subscription{}, err
	}
	out := subscription{
		appids: in.GetAppids(), held: held, calls: in.GetCalls(),
		name: audit.Printable(in.GetEdgeName()), version: audit.Printable(in.GetEdgeVersion()),
	}
	for _, k := range in.GetKinds() {
		// A newer edge may want a kind that this broker does not know. It is ignored.
		if kind, ok := credential.KindFromWire(k); ok {
			out.kinds = append(out.kinds, kind)
		}
	}
	return out, nil
}

// readAcknowledgement returns what the edge holds now.
func readAcknowledgement(request *wxbrokerv1.WatchRequest) ([]edges.Holding, error) {
	ack := request.GetAcknowledgement()
	if ack == nil {
		return nil, status.Error(codes.InvalidArgument, "after the subscription only acknowledgements are expected")
	}
	return readHeld(ack.GetHeld())
}

func readHeld(in []*wxbrokerv1.HeldVersion) ([]edges.Holding, error) {
	if len(in) > maxHeld {
		return nil, status.Errorf(codes.InvalidArgument, "%d versions held, at most %d are allowed", len(in), maxHeld)
	}
	var held []edges.Holding
	for _, h := range in {
		if kind, ok := credential.KindFromWire(h.GetKind()); ok {
			held = append(held, edges.Holding{AppID: h.GetAppid(), Kind: kind, Version: h.GetVersion()})
		}
	}
	return held, nil
}

package broker

import (
	"context"
	"crypto/sha256"
	"time"

	"golang.org/x/time/rate"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/wxbroker/wxbroker/pkg/credential"
	wxbrokerv1 "github.com/wxbroker/wxbroker/proto/wxbroker/v1"
)

// Report names a credential that WeChat is said to refuse.
type Report struct {
	AppID string
	Kind  credential.Kind
	Hash  [sha256.Size]byte // of its value
}

const (
	// reportTimeout bounds a report: the broker may have to ask WeChat twice.
	reportTimeout = 15 * time.Second
	// perSecond is how often the holder of one local key may report, in the
	// long run, and atOnce how many reports may come together: an app of many
	// threads reports the same value from each.
	perSecond = 20
	atOnce    = 200
)

// Report tells the broker, for whoever holds the local key of that name, and
// returns what it found out. Every error is a gRPC status. A caller that
// leaves, by its ctx, fails nobody who asks about the same; of those who share
// a call, the broker hears the key of the first.
func (c *Client) Report(ctx context.Context, key string, r Report) (credential.Versions, error) {
	if !c.limit(key).Allow() {
		return credential.Versions{}, status.Errorf(codes.ResourceExhausted, "more than %d reports a second with this local key", perSecond)
	}
	same := r.AppID + " " + string(r.Kind) + " " + string(r.Hash[:])
	result := c.same.DoChan(same, func() (any, error) { return c.report(context.WithoutCancel(ctx), key, r) })
	select {
	case <-ctx.Done():
		return credential.Versions{}, status.FromContextError(ctx.Err()).Err()
	case got := <-result:
		versions, _ := got.Val.(credential.Versions)
		return versions, got.Err
	}
}

func (c *Client) report(ctx context.Context, key string, r Report) (credential.Versions, error) {
	ctx, cancel := context.WithTimeout(onBehalf(ctx, key), reportTimeout)
	defer cancel()
	var versions credential.Versions
	err := c.reports.use(func(conn *grpc.ClientConn) error {
		answer, err := wxbrokerv1.NewCredentialServiceClient(conn).ReportInvalid(ctx, &wxbrokerv1.ReportInvalidRequest{
			Appid: r.AppID, Kind: r.Kind.Wire(), ValueSha256: r.Hash[:],
		})
		versions = credential.Versions{Reported: answer.GetReportedVersion(), Current: answer.GetCurrentVersion()}
		return err
	})
	return versions, err
}

func (c *Client) limit(key string) *rate.Limiter {
	c.mu.Lock()
	defer c.mu.Unlock()
	limiter, ok := c.limits[key]
	if !ok {
		limiter = rate.NewLimiter(perSecond, atOnce)
		c.limits[key] = limiter
	}
	return limiter
}

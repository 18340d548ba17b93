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
	// reportTimeout bounds a report. In that time the broker may have to ask WeChat
	// twice.
	reportTimeout = 15 * time.Second
	// reportsPerSecond is how often the holder of one local key may report in the long
	// run. reportBurst is how many reports may come at once, because an app with many
	// threads reports the same value from each.
	reportsPerSecond = 20
	reportBurst      = 200
)

// Report reports a credential to the broker, for the holder of the local key of that
// name, and returns what the broker found out. Every error is a gRPC status. Callers
// that report the same credential at the same time share one call. If one of them
// leaves, by its ctx, the others still get the answer. Only the first caller's key is
// named to the broker.
func (c *Client) Report(ctx context.Context, key string, r Report) (credential.Versions, error) {
	if !c.limit(key).Allow() {
		return credential.Versions{}, status.Errorf(codes.ResourceExhausted, "more than %d reports a second with this local key", reportsPerSecond)
	}
	same := r.AppID + " " + string(r.Kind) + " " + string(r.Hash[:])
	result := c.sameReports.DoChan(same, func() (any, error) { return c.report(context.WithoutCancel(ctx), key, r) })
	select {
	case <-ctx.Done():
		return credential.Versions{}, status.FromContextError(ctx.Err()).Err()
	case got := <-result:
		versions, _ := got.Val.(credential.Versions)
		return versions, got.Err
	}
}

func (c *Client) report(ctx context.Context, key string, r Report) (credential.Versions, error) {
	ctx, cancel := context.WithTimeout(withLocalKey(ctx, key), reportTimeout)
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
		limiter = rate.NewLimiter(reportsPerSecond, reportBurst)
		c.limits[key] = limiter
	}
	return limiter
}

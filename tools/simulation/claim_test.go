package simulation

import (
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/wxbroker/wxbroker/broker/brokertest"
	"github.com/wxbroker/wxbroker/pkg/grpctest"
	wxbrokerv1 "github.com/wxbroker/wxbroker/proto/wxbroker/v1"
)

// claims: a client that is no edge of ours claims again and again that it holds newer
// versions than there are, by minutes and by more than is possible.
func claims(r *rand.Rand) (string, func(*world)) {
	ahead := time.Duration(r.Int64N(int64(10 * time.Minute)))
	tooFar := brokertest.MaxClaim + time.Duration(1+r.Int64N(int64(100*time.Hour)))
	every, times := time.Minute+time.Duration(r.Int64N(int64(2*time.Minute))), 2+r.IntN(4)
	return fmt.Sprintf("somebody claims versions %v and %v ahead, %d times", ahead, tooFar, times), func(w *world) {
		var again func(*world)
		left := times
		again = func(w *world) {
			// The next call mints a version above the claimed one.
			w.disturb(overlap + time.Minute)()
			w.claim(ahead)
			w.claim(tooFar)
			if left--; left > 0 {
				w.after(every, "somebody claims newer versions", again)
			}
		}
		again(w)
	}
}

// claim claims versions that are so far ahead of the broker's clock and of the versions
// that it has.
func (w *world) claim(ahead time.Duration) {
	w.mu.Lock()
	b := w.broker
	w.mu.Unlock()
	if b == nil {
		return
	}
	subscription := &wxbrokerv1.Subscription{EdgeName: "somebody"}
	for _, k := range b.Status(appid).Kinds {
		version := max(k.Version, w.clock.Now().UnixMilli()) + 1 + ahead.Milliseconds()
		subscription.Kinds = append(subscription.Kinds, k.Kind.Wire())
		subscription.Held = append(subscription.Held, &wxbrokerv1.HeldVersion{Appid: appid, Kind: k.Kind.Wire(), Version: version})
	}
	conn := grpctest.Connect(w.t, w.dial)
	defer conn.Close() // a month has many claims
	stream, err := wxbrokerv1.NewCredentialServiceClient(conn).Watch(w.t.Context())
	w.must(err)
	w.must(stream.Send(&wxbrokerv1.WatchRequest{Request: &wxbrokerv1.WatchRequest_Subscription{Subscription: subscription}}))
	_, err = stream.Recv() // then the broker has read the claim
	w.must(err)
}

package broker

import (
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
)

// Nothing is opened after the end that nobody would close.
func TestNoNewConnectionAfterTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		opened := 0
		l, err := newRedialingConn("v1.2.3", func() (*grpc.ClientConn, error) {
			opened++
			return grpc.NewClient("passthrough:///broker", grpc.WithTransportCredentials(insecure.NewCredentials()))
		})
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		err = l.use(func(*grpc.ClientConn) error {
			l.close() // while the answer is on its way
			return status.Error(codes.Unauthenticated, "the certificate has expired")
		})
		if status.Code(err) != codes.Unauthenticated || opened != 1 {
			t.Errorf("%v, with %d connections", err, opened)
		}
	})
}

package transfer_test

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wxbroker/wxbroker/edge/internal/apitest"
	"github.com/wxbroker/wxbroker/edge/internal/transfer"
)

const ask = "GET / HTTP/1.0\r\nHost: edge\r\n\r\n"

// answering is a handler that sends an answer of some pieces and says what came of
// it, and when.
func answering(length int64, pieces int, piece string, ended chan<- outcome) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		f := transfer.NewFlow(w)
		f.Begin(http.StatusOK, length)
		var err error
		for range pieces {
			if err == nil {
				err = f.Piece([]byte(piece))
			}
		}
		if err == nil {
			err = f.CheckLength()
		}
		o := f.End(err, nil)
		ended <- outcome{o, time.Now()}
		if !o.Whole {
			panic(http.ErrAbortHandler)
		}
	}
}

type outcome struct {
	transfer.Outcome

	at time.Time
}

// A client that takes little at a time gets the whole answer, however long that
// takes. One that takes nothing is cut off.
func TestSlowClients(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const piece, pieces = 25 << 10, 160
		ended := make(chan outcome, 2)
		dial, stop := apitest.Serve(answering(piece*pieces, pieces, strings.Repeat("a", piece), ended))
		defer stop()
		stuck, slow := dial(), dial()
		defer stuck.Close()
		defer slow.Close()
		began := time.Now()
		_, _ = io.WriteString(stuck, ask)
		_, _ = io.WriteString(slow, ask)
		got, err := 0, error(nil)
		for buffer := make([]byte, 32<<10); err == nil; {
			time.Sleep(15 * time.Second)
			var n int
			n, err = io.ReadFull(slow, buffer)
			got += n
		}
		if got < piece*pieces {
			t.Fatalf("cut off after %v and %d bytes: %v", time.Since(began), got, err)
		}
		if took := time.Since(began); took < 30*time.Minute {
			t.Errorf("the slow client took %v, which shows nothing", took)
		}
		cut := <-ended
		if after := cut.at.Sub(began); after < 20*time.Second || after > time.Minute || cut.Whole || cut.Audited != http.StatusServiceUnavailable {
			t.Errorf("the stuck client was cut off after %v: %+v", after, cut.Outcome)
		}
		if o := <-ended; !o.Whole || o.Err != nil || o.Audited != http.StatusOK {
			t.Errorf("the slow client: %+v", o.Outcome)
		}
		if n, err := io.Copy(io.Discard, stuck); err != nil || n > 1<<20 {
			t.Errorf("the stuck client got %d bytes, %v", n, err)
		}
	})
}

// What is left of an answer when all was written does not wait for its client either.
func TestStuckClientOfASmallAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dial, stop := apitest.Serve(answering(-1, 1, "small", make(chan outcome, 1)))
		defer stop()
		conn := dial()
		defer conn.Close()
		_, _ = io.WriteString(conn, ask)
		time.Sleep(25 * time.Second)
		if answer, _ := io.ReadAll(conn); len(answer) > 0 {
			t.Errorf("answered %q", answer)
		}
	})
}

// Nobody takes an answer of another length than was said for the whole one.
func TestLengthThatIsNotKept(t *testing.T) {
	for name, test := range map[string]struct {
		length int64
		says   string
	}{
		"shorter": {7, "shorter"}, "longer": {5, "longer"}, "as it was said": {6, ""}, "not said": {-1, ""},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ended := make(chan outcome, 1)
				dial, stop := apitest.Serve(answering(test.length, 2, "abc", ended))
				defer stop()
				conn := dial()
				defer conn.Close()
				_, _ = io.WriteString(conn, ask)
				go func() { _, _ = io.Copy(io.Discard, conn) }()
				o := <-ended
				if o.Whole != (test.says == "") || !o.Whole && !strings.Contains(o.Err.Error(), test.says) {
					t.Errorf("%+v", o.Outcome)
				}
				_ = conn.Close()
				time.Sleep(time.Second) // in which the server closes
			})
		})
	}
}

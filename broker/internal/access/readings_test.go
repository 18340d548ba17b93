package access_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-jose/go-jose/v4"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/wxbroker/wxbroker/broker/clustertest"
	"github.com/wxbroker/wxbroker/broker/internal/access"
	"github.com/wxbroker/wxbroker/pkg/credential"
)

// changingKeys are a cluster's keys, which a test changes.
type changingKeys struct {
	t       *testing.T
	current []jose.JSONWebKey
	failure error
	delay   time.Duration
	reads   int
}

// source returns the keys after the delay. It ends with ctx, as a reading over a
// network does.
func (c *changingKeys) source(ctx context.Context, _ string) ([]jose.JSONWebKey, error) {
	c.reads++
	select {
	case <-time.After(c.delay):
		return c.current, c.failure
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func keysOf(t *testing.T, cluster *clustertest.Cluster) []jose.JSONWebKey {
	t.Helper()
	found, err := access.ReadKeyFile(t.Context(), cluster.KeysFile(t))
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// TestKeysAreReadAgain when they change, and not for every token of a stranger.
// While they cannot be read, the known keys are used for a day. A caller is not
// refused for good if its key may be there at the next reading.
func TestKeysAreReadAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first, second := clustertest.New(t, "first"), clustertest.New(t, "second")
		k8s := &changingKeys{t: t, current: keysOf(t, first)}
		k := access.NewKubernetes(clustertest.Issuer, "a test", k8s.source)
		check := func(c *clustertest.Cluster, want string, wantReads int) {
			t.Helper()
			_, _, err := k.Verify(t.Context(), c.Token(t, "shop", "web"), time.Now())
			got := "taken"
			switch {
			case errors.Is(err, access.ErrNoKeys):
				got = "unknown"
			case err != nil:
				got = "refused"
			}
			synctest.Wait()
			if got != want || k8s.reads != wantReads {
				t.Errorf("%s (%v) after %d readings, want %s after %d", got, err, k8s.reads, want, wantReads)
			}
		}
		check(first, "taken", 1)
		check(first, "taken", 1)
		k8s.current = keysOf(t, second)
		check(second, "unknown", 1) // too soon
		time.Sleep(10 * time.Second)
		check(second, "taken", 2)
		check(first, "unknown", 2) // it was withdrawn; it could also be another new one
		time.Sleep(10 * time.Second)
		check(first, "refused", 3)
		for range 100 {
			check(clustertest.New(t, "stranger"), "unknown", 3)
		}
		check(clustertest.New(t, "second"), "refused", 3) // a forgery
		time.Sleep(6 * time.Minute)
		check(second, "taken", 4)
		k8s.failure = errors.New("the API server is away")
		time.Sleep(23 * time.Hour)
		check(second, "taken", 5)
		check(clustertest.New(t, "stranger"), "unknown", 5)
		time.Sleep(2 * time.Hour)
		check(second, "unknown", 6)
		k8s.failure = nil
		time.Sleep(10 * time.Second)
		check(second, "taken", 7)
	})
}

// TestKnownKeysDoNotWait for a server that hangs.
func TestKnownKeysDoNotWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cluster := clustertest.New(t, "one")
		k8s := &changingKeys{t: t, current: keysOf(t, cluster)}
		k := access.NewKubernetes(clustertest.Issuer, "a test", k8s.source)
		verify := func(c *clustertest.Cluster) (time.Duration, error) {
			start := time.Now()
			_, _, err := k.Verify(t.Context(), c.Token(t, "shop", "web"), start)
			return time.Since(start), err
		}
		if _, err := verify(cluster); err != nil {
			t.Fatal(err)
		}
		k8s.delay = 4 * time.Second
		time.Sleep(6 * time.Minute)
		if took, err := verify(cluster); took > 0 || err != nil {
			t.Errorf("it took %v: %v", took, err)
		}
		if took, err := verify(clustertest.New(t, "other")); took != 4*time.Second || err == nil {
			t.Errorf("an unknown key took %v: %v", took, err)
		}
	})
}

// TestAReadingIsForAllWhoWait: it does not end with the caller that began it.
// Callers that come meanwhile, or soon after, begin no other.
func TestAReadingIsForAllWhoWait(t *testing.T) {
	for _, tt := range []struct {
		name    string
		delay   time.Duration
		failure error
		took    time.Duration // until those who wait are answered
		taken   bool
	}{
		{"that brings the keys", 3 * time.Second, nil, 3 * time.Second, true},
		{"that fails", 3 * time.Second, errors.New("the API server is away"), 3 * time.Second, false},
		{"that never ends", time.Hour, nil, 5 * time.Second, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cluster := clustertest.New(t, "one")
				k8s := &changingKeys{t: t, current: keysOf(t, cluster), delay: tt.delay, failure: tt.failure}
				k := access.NewKubernetes(clustertest.Issuer, "a test", k8s.source)
				token := cluster.Token(t, "shop", "web")
				start := time.Now()
				impatient, leave := context.WithTimeout(t.Context(), time.Second)
				defer leave()
				var waiting sync.WaitGroup
				waiting.Go(func() {
					if _, _, err := k.Verify(impatient, token, time.Now()); !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != time.Second {
						t.Errorf("who leaves is told %v after %v", err, time.Since(start))
					}
				})
				synctest.Wait()
				for range 10 {
					waiting.Go(func() {
						_, _, err := k.Verify(t.Context(), token, time.Now())
						if (err == nil) != tt.taken || err != nil && !errors.Is(err, access.ErrNoKeys) || time.Since(start) != tt.took {
							t.Errorf("who waits is told %v after %v, want %v", err, time.Since(start), tt.took)
						}
					})
				}
				waiting.Go(func() { _, _, _ = k.Verify(t.Context(), token, time.Now().Add(time.Hour)) }) // by a clock that was stepped
				waiting.Wait()
				stranger := clustertest.New(t, "stranger")
				for window := range 3 {
					for time.Since(start) < time.Duration(window+1)*10*time.Second {
						_, _, _ = k.Verify(t.Context(), token, time.Now())
						_, _, _ = k.Verify(t.Context(), stranger.Token(t, "shop", "web"), time.Now())
						synctest.Wait()
						if k8s.reads != window+1 {
							t.Fatalf("the cluster was asked %d times in %v", k8s.reads, time.Since(start))
						}
						time.Sleep(100 * time.Millisecond)
					}
				}
			})
		})
	}
}

// TestKeysWithoutNames: a key that was added to a PEM file is unknown until the file
// is read again.
func TestKeysWithoutNames(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first, second := clustertest.New(t, "first"), clustertest.New(t, "second")
		unnamed := func(clusters ...*clustertest.Cluster) (keys []jose.JSONWebKey) {
			for _, c := range clusters {
				key := keysOf(t, c)[0]
				keys = append(keys, jose.JSONWebKey{Key: key.Key})
			}
			return keys
		}
		k8s := &changingKeys{t: t, current: unnamed(first)}
		k := access.NewKubernetes(clustertest.Issuer, "a test", k8s.source)
		if _, _, err := k.Verify(t.Context(), first.Token(t, "shop", "web"), time.Now()); err != nil {
			t.Fatal(err)
		}
		k8s.current = unnamed(first, second)
		time.Sleep(10 * time.Second)
		for _, c := range []*clustertest.Cluster{second, first} {
			if _, _, err := k.Verify(t.Context(), c.Token(t, "shop", "web"), time.Now()); err != nil {
				t.Error(err)
			}
		}
	})
}

// TestANewPolicyKnowsTheSameClusterOnly: keys from one file are not taken for those
// of another, nor keys of one issuer for another's.
func TestANewPolicyKnowsTheSameClusterOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cluster := clustertest.New(t, "one")
		away := func(context.Context, string) ([]jose.JSONWebKey, error) { return nil, errors.New("away") }
		app := access.App{Name: "web", Identities: []access.Identity{"k8s:shop:web"}}
		old := mustPolicy(t, access.NewKubernetes(clustertest.Issuer, "here", access.KeyFile(cluster.KeysFile(t))), app)
		if err := old.Check(t.Context(), time.Now()); err != nil {
			t.Fatal(err)
		}
		for from, want := range map[string]codes.Code{"here": codes.OK, "elsewhere": codes.Unavailable} {
			next := mustPolicy(t, access.NewKubernetes(clustertest.Issuer, from, away), app)
			next.Succeed(old, time.Now())
			control := access.NewControl(next, credential.WallClock)
			_, err := control.Identify(call{headers: bearer(cluster.Token(t, "shop", "web"))}.context(t))
			if status.Code(err) != want {
				t.Errorf("%s: %v, want %v", from, err, want)
			}
		}
		next := mustPolicy(t, access.NewKubernetes("https://another.example.com", "here", away), app)
		next.Succeed(old, time.Now())
		if err := next.Check(t.Context(), time.Now()); !errors.Is(err, access.ErrNoKeys) {
			t.Errorf("another issuer's keys: %v, want that they are not known", err)
		}
	})
}

// TestANewPolicyReadsTheKeysAnew: the keys that it takes over are used until they
// have been read again. A key that was withdrawn is believed no longer than that.
func TestANewPolicyReadsTheKeysAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		leaked, sound := clustertest.New(t, "leaked"), clustertest.New(t, "sound")
		k8s := &changingKeys{t: t, current: keysOf(t, leaked)}
		app := access.App{Name: "web", Identities: []access.Identity{"k8s:shop:web"}}
		old := mustPolicy(t, access.NewKubernetes(clustertest.Issuer, "here", k8s.source), app)
		if err := old.Check(t.Context(), time.Now()); err != nil {
			t.Fatal(err)
		}
		k8s.current, k8s.delay = keysOf(t, sound), 2*time.Second
		next := mustPolicy(t, access.NewKubernetes(clustertest.Issuer, "here", k8s.source), app)
		next.Succeed(old, time.Now())
		control := access.NewControl(next, credential.WallClock)
		identify := func(when string, cluster *clustertest.Cluster, want codes.Code) {
			t.Helper()
			_, err := control.Identify(call{headers: bearer(cluster.Token(t, "shop", "web"))}.context(t))
			if status.Code(err) != want {
				t.Errorf("%s: %v, want %v", when, err, want)
			}
		}
		if err := next.Check(t.Context(), time.Now()); err != nil {
			t.Error(err)
		}
		identify("while they are read", leaked, codes.OK)
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if k8s.reads != 2 {
			t.Errorf("the cluster was asked %d times, want once for each policy", k8s.reads)
		}
		identify("afterwards, the new key", sound, codes.OK)
		identify("afterwards, the one that was withdrawn", leaked, codes.Unavailable)
	})
}

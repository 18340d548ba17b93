package access

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// TestAReadingEndsWhileKnownKeysAreTried: its keys count, though it was under
// way when the known ones were taken and is over when another would begin.
func TestAReadingEndsWhileKnownKeysAreTried(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		current := []jose.JSONWebKey{{Key: "old"}}
		k := newKeys("", func(context.Context, string) ([]jose.JSONWebKey, error) { return current, nil })
		signedBy := func(signer string) func(jose.JSONWebKey) bool {
			return func(key jose.JSONWebKey) bool {
				synctest.Wait()
				return key.Key == signer
			}
		}
		if err := k.verify(t.Context(), "", time.Now(), signedBy("old")); err != nil {
			t.Fatal(err)
		}
		current = append(current, jose.JSONWebKey{Key: "new"})
		time.Sleep(freshKeys + time.Second)
		if err := k.verify(t.Context(), "", time.Now(), signedBy("new")); err != nil {
			t.Error(err)
		}
	})
}

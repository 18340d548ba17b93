package access

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// TestAReadingEndsWhileKnownKeysAreTried: a reading is under way when the known keys
// are tried, and is over before another could begin. Its keys count all the same.
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

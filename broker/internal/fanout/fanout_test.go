package fanout_test

import (
	"sync"
	"testing"

	"github.com/wxbroker/wxbroker/broker/internal/fanout"
	"github.com/wxbroker/wxbroker/pkg/credential"
)

func account(appid string, version int64) credential.Account {
	return credential.Account{
		AppID:       appid,
		Credentials: []credential.Credential{{Kind: credential.JSAPITicket, Version: version}},
	}
}

func TestSlowReaderSeesTheNewestState(t *testing.T) {
	var f fanout.Fanout
	changed := f.Changed()
	select {
	case <-changed:
		t.Fatal("changed before anything was published")
	default:
	}
	for v := range int64(5) {
		f.Publish(account("wx1", v))
	}
	<-changed
	changed = f.Changed()
	state := f.Current(nil)
	if c, _ := state.Accounts[0].Credential(credential.JSAPITicket); c.Version != 4 || state.Revision != 5 {
		t.Errorf("version %d at revision %d, want 4 at 5", c.Version, state.Revision)
	}
	select {
	case <-changed:
		t.Error("changed though nothing was published since")
	default:
	}
}

func TestCurrentIsOfTheWantedAccountsInOrder(t *testing.T) {
	var f fanout.Fanout
	for _, appid := range []string{"wx3", "wx1", "wx2"} {
		f.Publish(account(appid, 1))
	}
	for _, tt := range []struct {
		name         string
		wanted, want []string
	}{
		{"all", nil, []string{"wx1", "wx2", "wx3"}},
		{"some", []string{"wx3", "wx1", "wx9"}, []string{"wx1", "wx3"}},
		{"unknown", []string{"wx9"}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			state := f.Current(tt.wanted)
			var got []string
			for _, a := range state.Accounts {
				got = append(got, a.AppID)
			}
			if len(got) != len(tt.want) {
				t.Fatalf("got %v, want %v", got, tt.want)
			}
			for i := range got {
				if got[i] != tt.want[i] {
					t.Fatalf("got %v, want %v", got, tt.want)
				}
			}
		})
	}
}

func TestAccount(t *testing.T) {
	var f fanout.Fanout
	f.Publish(account("wx1", 1))
	f.Publish(account("wx1", 2))
	if a, ok := f.Account("wx1"); !ok || a.Credentials[0].Version != 2 {
		t.Errorf("%+v, %v", a, ok)
	}
	f.Remove("wx1")
	if a, ok := f.Account("wx1"); ok {
		t.Errorf("removed, and there is %+v", a)
	}
}

func TestRevisionIsOfTheWantedAccounts(t *testing.T) {
	var f fanout.Fanout
	f.Publish(account("wx1", 1))
	before := f.Current([]string{"wx1"})
	f.Publish(account("wx2", 1))
	if after := f.Current([]string{"wx1"}); after.Revision != before.Revision {
		t.Errorf("revision went from %d to %d though wx1 did not change", before.Revision, after.Revision)
	}
}

func TestEveryReaderReachesTheLastState(*testing.T) {
	var f fanout.Fanout
	const readers, last = 50, 200
	var wg sync.WaitGroup
	for range readers {
		wg.Go(func() {
			for {
				changed := f.Changed()
				state := f.Current(nil)
				if state.Revision == last {
					return
				}
				<-changed
			}
		})
	}
	for v := range int64(last) {
		f.Publish(account("wx1", v))
	}
	wg.Wait()
}

// TestRemovedAndRenewed: a removal is a change for whoever wanted the account, and a
// renewal is one for everybody, whatever the revision of the other accounts.
func TestRemovedAndRenewed(t *testing.T) {
	var f fanout.Fanout
	f.Publish(account("wx1", 1))
	f.Publish(account("wx2", 1))
	last := f.Current([]string{"wx2"}).Revision
	for _, tt := range []struct {
		name   string
		change func()
		left   int
	}{
		{"the older one is removed", func() { f.Remove("wx1") }, 1},
		{"all is renewed", f.Renew, 1},
		{"the last one is removed", func() { f.Remove("wx2") }, 0},
		{"nothing is removed", func() { f.Remove("wx2") }, 0},
	} {
		changed := f.Changed()
		tt.change()
		select {
		case <-changed:
		default:
			t.Errorf("%s: nobody is woken", tt.name)
		}
		state := f.Current([]string{"wx1", "wx2"})
		if state.Revision <= last || len(state.Accounts) != tt.left {
			t.Errorf("%s: %d accounts at revision %d after %d", tt.name, len(state.Accounts), state.Revision, last)
		}
		last = state.Revision
	}
}

package relay

import (
	"cmp"
	"fmt"
	"slices"
	"sync"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/wxbroker/wxbroker/broker/internal/wechat"
	"github.com/wxbroker/wxbroker/pkg/credential"
	"github.com/wxbroker/wxbroker/pkg/wxapi"
)

// trial is how long the first call after a stop may take, until which nobody else
// makes one.
const trial = 15 * time.Second

// stops are the APIs that are not called for now, because WeChat said that the
// day's calls are spent or that there are too many in a minute. They are
// forgotten with the process: then WeChat says it once more.
type stops struct {
	clock credential.Clock

	mu  sync.Mutex
	all map[stopped]Stop
}

type stopped struct{ appid, api string }

// Stop is an API that is not called for now.
type Stop struct {
	API   string
	Code  wxapi.Code
	Until time.Time

	since time.Time // when it began, or began anew
	trial bool      // somebody finds out how it is
}

// check returns RESOURCE_EXHAUSTED while the API is not to be called.
func (s *stops) check(appid, api string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.refusal(stopped{appid, api})
}

// take is check for who is about to call: the first of them after a stop finds
// out how it is now, and the others wait for what comes of that.
func (s *stops) take(appid, api string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := stopped{appid, api}
	if err := s.refusal(key); err != nil {
		return err
	}
	if stop, ok := s.all[key]; ok {
		stop.Until, stop.trial = s.clock().Add(trial), true
		s.all[key] = stop
	}
	return nil
}

// release lets the next one find out: what was taken came to nothing.
func (s *stops) release(appid, api string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := stopped{appid, api}
	if stop, ok := s.all[key]; ok && stop.trial {
		stop.Until, stop.trial = s.clock(), false
		s.all[key] = stop
	}
}

func (s *stops) refusal(key stopped) error {
	stop, ok := s.all[key]
	if !ok || !s.clock().Before(stop.Until) {
		return nil
	}
	why := "WeChat says that it is called too often"
	if stop.Code == wxapi.QuotaSpent {
		why = "WeChat says that today's calls of it are spent"
	}
	return wxapi.Refusal{
		Code: stop.Code, Retry: stop.Until,
		Message: fmt.Sprintf("%s is not called until %s: %s", key.api, stop.Until.UTC().Format(time.RFC3339), why),
	}.Status(codes.ResourceExhausted)
}

// answered takes note of the answer to a call that began then: said is nil for
// one that is no refusal. What began before a stop says nothing about it.
func (s *stops) answered(appid, api string, began time.Time, said *wechat.Error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := stopped{appid, api}
	switch {
	case said != nil && (said.Class == wxapi.Quota || said.Class == wxapi.Rate):
		if s.all == nil {
			s.all = make(map[stopped]Stop)
		}
		now := s.clock()
		s.all[key] = Stop{API: api, Code: cmp.Or(said.Code, wxapi.TooOften), Until: said.Class.Retry(now), since: now}
	case said != nil && said.Class == wxapi.RefusedToken: // WeChat may not have looked further
	case began.After(s.all[key].since):
		delete(s.all, key)
	}
}

// resume forgets the stops of an account.
func (s *stops) resume(appid string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for key := range s.all {
		if key.appid == appid {
			delete(s.all, key)
		}
	}
}

func (s *stops) list(appid string) []Stop {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []Stop
	for key, stop := range s.all {
		if key.appid == appid && s.clock().Before(stop.Until) {
			list = append(list, stop)
		}
	}
	slices.SortFunc(list, func(a, b Stop) int { return cmp.Compare(a.API, b.API) })
	return list
}

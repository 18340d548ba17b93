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

// trialTime is how long the first call after a stop may take. Until it has ended, or
// that time is over, no other call is made.
const trialTime = 15 * time.Second

// stops are the APIs that are not called for now. WeChat has said that the day's calls
// of them are spent, or that there are too many in a minute. The stops live in memory
// only. After a restart WeChat says so once more.
type stops struct {
	clock credential.Clock

	mu  sync.Mutex
	all map[stopKey]Stop
}

type stopKey struct{ appid, api string }

// Stop is an API that is not called for now.
type Stop struct {
	API   string
	Code  wxapi.Code
	Until time.Time

	since time.Time // when WeChat last said so
	trial bool      // a call is under way that finds out whether WeChat still refuses
}

// check returns RESOURCE_EXHAUSTED while the API must not be called.
func (s *stops) check(appid, api string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.refusal(stopKey{appid, api})
}

// begin is check for a call that is about to be made. The first call after a stop
// finds out whether WeChat still refuses. Until it has an answer, begin refuses the
// others.
func (s *stops) begin(appid, api string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := stopKey{appid, api}
	if err := s.refusal(key); err != nil {
		return err
	}
	if stop, ok := s.all[key]; ok {
		stop.Until, stop.trial = s.clock().Add(trialTime), true
		s.all[key] = stop
	}
	return nil
}

// release ends a call that found nothing out, and lets the next one find out.
func (s *stops) release(appid, api string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := stopKey{appid, api}
	if stop, ok := s.all[key]; ok && stop.trial {
		stop.Until, stop.trial = s.clock(), false
		s.all[key] = stop
	}
}

func (s *stops) refusal(key stopKey) error {
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

// note notes WeChat's answer to a call that began at began. refusal is nil where
// WeChat did not refuse. A call that began before a stop says nothing about it.
func (s *stops) note(appid, api string, began time.Time, refusal *wechat.Error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := stopKey{appid, api}
	switch {
	case refusal != nil && (refusal.Class == wxapi.Quota || refusal.Class == wxapi.Rate):
		if s.all == nil {
			s.all = make(map[stopKey]Stop)
		}
		now := s.clock()
		s.all[key] = Stop{API: api, Code: cmp.Or(refusal.Code, wxapi.TooOften), Until: refusal.Class.Retry(now), since: now}
	case refusal != nil && refusal.Class == wxapi.RefusedToken: // WeChat may not have looked further
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

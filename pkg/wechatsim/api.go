package wechatsim

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"time"
)

// The paths of WeChat's API that are simulated.
const (
	PathToken       = "/cgi-bin/token"
	PathStableToken = "/cgi-bin/stable_token"
	PathTicket      = "/cgi-bin/ticket/getticket"
	PathDomainIP    = "/cgi-bin/get_api_domain_ip"
	PathCallbackIP  = "/cgi-bin/getcallbackip"

	PathQuota             = "/cgi-bin/openapi/quota/get"
	PathClearQuota        = "/cgi-bin/clear_quota/v2" // by appid and secret
	PathClearQuotaByToken = "/cgi-bin/clear_quota"

	PathTemplateSend = "/cgi-bin/message/template/send"
	PathCustomSend   = "/cgi-bin/message/custom/send"
	PathUserInfo     = "/cgi-bin/user/info"
	PathUserSummary  = "/datacube/getusersummary"
	PathTextCheck    = "/wxa/msg_sec_check"

	PathMedia       = "/cgi-bin/media/get"
	PathMediaHD     = "/cgi-bin/media/get/jssdk"
	PathMediaUpload = "/cgi-bin/media/upload"

	PathOAuthToken    = "/sns/oauth2/access_token"
	PathOAuthRefresh  = "/sns/oauth2/refresh_token"
	PathOAuthUserInfo = "/sns/userinfo"
	PathOAuthCheck    = "/sns/auth"
)

// bodyLimit bounds how much of a request is read. WeChat's own limit is unknown, and no
// honest request comes near this one.
const bodyLimit = 1 << 20

// apis says who answers a path. The functions are called with the lock held.
var apis = map[string]func(*Sim, *call) answer{
	PathToken:       (*Sim).classicToken,
	PathStableToken: (*Sim).stableToken,
	PathTicket:      (*Sim).ticket,
	PathDomainIP:    (*Sim).addresses,
	PathCallbackIP:  (*Sim).addresses,

	PathQuota:             (*Sim).quota,
	PathClearQuota:        (*Sim).clearQuotaBySecret,
	PathClearQuotaByToken: (*Sim).clearQuotaByToken,

	PathTemplateSend: (*Sim).templateSend,
	PathCustomSend:   (*Sim).customSend,
	PathUserInfo:     (*Sim).userInfo,
	PathUserSummary:  (*Sim).userSummary,
	PathTextCheck:    (*Sim).textCheck,

	PathMedia:       (*Sim).mediaGet,
	PathMediaHD:     (*Sim).mediaGetHD,
	PathMediaUpload: (*Sim).mediaUpload,

	PathOAuthToken:    (*Sim).oauthToken,
	PathOAuthRefresh:  (*Sim).oauthRefresh,
	PathOAuthUserInfo: (*Sim).oauthUserInfo,
	PathOAuthCheck:    (*Sim).oauthCheck,
}

// call is an API request, read to its end. That is needed because a fault that hangs
// learns that its client has left only when there is nothing left to read.
type call struct {
	path   string
	method string
	query  url.Values
	raw    string // the query as it was sent
	body   []byte // empty where there is an upload
	upload upload // of a file; nothing elsewhere
	from   netip.Addr
	now    time.Time
}

func readCall(r *http.Request) (*call, error) {
	c := &call{
		path:   r.URL.Path,
		method: r.Method,
		query:  r.URL.Query(),
		raw:    r.URL.RawQuery,
		from:   remoteAddress(r.RemoteAddr),
	}
	var err error
	if c.path == PathMediaUpload {
		c.upload, err = readUpload(r, MediaType(c.query.Get("type")))
	} else {
		c.body, err = io.ReadAll(io.LimitReader(r.Body, bodyLimit))
		c.body = bytes.TrimSpace(c.body)
	}
	if err != nil {
		return nil, fmt.Errorf("read request: %w", err)
	}
	return c, nil
}

// decode reads the JSON body into q. It returns the code for what is wrong with it.
func (c *call) decode(q any) int {
	switch {
	case len(c.body) == 0:
		return codeEmptyPost
	case json.Unmarshal(c.body, q) != nil:
		return codeDataFormat
	default:
		return codeOK
	}
}

// remoteAddress is the caller's IP address, or 127.0.0.1 where the connection
// has none: a Unix socket or a pipe in memory.
func remoteAddress(remote string) netip.Addr {
	if ap, err := netip.ParseAddrPort(remote); err == nil {
		return ap.Addr().Unmap().WithZone("")
	}
	return netip.AddrFrom4([4]byte{127, 0, 0, 1})
}

// serveAPI reads the call. If a fault applies, the fault answers it.
func (s *Sim) serveAPI(w http.ResponseWriter, r *http.Request) {
	c, err := readCall(r)
	if err != nil {
		return // the client left in the middle of its request
	}
	for _, f := range s.faultsFor(c) {
		if f.Kind != FaultDelay {
			s.serveFault(w, r, c, f)
			return
		}
		if !wait(r.Context(), f.Duration) {
			s.note(c, faultOutcome(f.Kind))
			panic(http.ErrAbortHandler)
		}
	}
	a := s.perform(c)
	s.note(c, outcome(a.code))
	a.write(w, r)
}

// perform lets a call take effect.
func (s *Sim) perform(c *call) answer {
	s.mu.Lock()
	defer s.mu.Unlock()
	c.now = s.now()
	if seen := s.settings.SeenAddress; seen.IsValid() {
		c.from = seen.Unmap()
	}
	return apis[c.path](s, c)
}

func writeJSON(w http.ResponseWriter, status int, body []byte) {
	// Not a registered parameter, but what WeChat sends.
	w.Header().Set("Content-Type", "application/json; encoding=utf-8")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	w.Write(body) // an error means the client left; there is nobody to tell
}

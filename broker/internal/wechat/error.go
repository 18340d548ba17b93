package wechat

import (
	"cmp"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/wxbroker/wxbroker/pkg/wxapi"
)

// Error is a call that gave no usable answer. It holds no secret. The tags are
// for keeping it in the database.
type Error struct {
	API      API         `json:"api,omitempty"`
	Upstream string      `json:"upstream,omitempty"` // the host that was called, "" where none was
	Class    wxapi.Class `json:"class,omitempty"`
	// Code is WeChat's errcode, 0 when there was none to read.
	Code wxapi.Code `json:"code,omitempty"`
	// HTTPStatus is 0 when no answer came.
	HTTPStatus int `json:"http_status,omitempty"`
	// Detail is WeChat's errmsg, or what went wrong on the way.
	Detail string `json:"detail,omitempty"`
	// Advice says what a person can do. It is "" where a person can do nothing.
	Advice string `json:"advice,omitempty"`
	// Wait is how long WeChat says to wait, 0 when it says nothing.
	Wait time.Duration `json:"wait,omitempty"`
	// SeenAddress is, in class Address, the caller's address as WeChat saw it.
	SeenAddress string `json:"seen_address,omitempty"`
}

// Sentence says what happened and what to do. Unlike Error, it does not say which
// API was called at which host.
func (e *Error) Sentence() string {
	var b strings.Builder
	if e.Code != 0 {
		fmt.Fprintf(&b, "errcode %d: ", e.Code)
	}
	b.WriteString(e.Detail)
	if e.SeenAddress != "" {
		fmt.Fprintf(&b, " (WeChat saw %s)", e.SeenAddress)
	}
	if e.Advice != "" {
		b.WriteString("; " + e.Advice)
	}
	return b.String()
}

// Error says which API was called at which host, what happened, and what to do.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString("calling " + string(e.API))
	if e.Upstream != "" {
		b.WriteString(" at " + e.Upstream)
	}
	return b.String() + ": " + e.Sentence()
}

// ErrMsg returns WeChat's message, or what went wrong, for callers that expect
// WeChat's errmsg.
func (e *Error) ErrMsg() string { return cmp.Or(e.Detail, "system error") }

// refusal is the error for an errcode.
func refusal(api API, upstream string, status int, code wxapi.Code, errmsg string) *Error {
	e := &Error{
		API: api, Upstream: upstream, HTTPStatus: status,
		Class: code.Class(), Code: code, Detail: errmsg, Advice: code.Advice(), Wait: code.Wait(),
	}
	switch {
	case code == wxapi.InvalidCredential && !api.takesToken(): // the invalid credential is the AppSecret
		e.Class, e.Advice = wxapi.Configuration, wxapi.InvalidSecret.Advice()
	case e.Class == wxapi.Address:
		e.SeenAddress = addressIn(errmsg)
	}
	return e
}

// ipAddress finds the address in 40164's message, which reads `invalid ip
// 203.0.113.7 ipv6 ::ffff:203.0.113.7, not in whitelist`. An IPv6 caller has
// its address in both places.
var ipAddress = regexp.MustCompile(`invalid ip ([0-9a-fA-F:.]+)`)

func addressIn(errmsg string) string {
	if m := ipAddress.FindStringSubmatch(errmsg); m != nil {
		return strings.TrimRight(m[1], ".:")
	}
	return ""
}

package wechat

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/wxbroker/wxbroker/pkg/credential"
	"github.com/wxbroker/wxbroker/pkg/wxapi"
)

const (
	// standstill is how long nothing may move, in either direction, before a
	// call that is passed on is broken off.
	standstill = 30 * time.Second
	// idle is how long a connection is kept for the next call: less than WeChat
	// keeps it, or calls would meet ones that it has just closed.
	idle = 5 * time.Second
	// maxRefusal bounds an answer that is looked into, in bytes. Refusals have
	// under 1 KiB.
	maxRefusal = 8 << 10
)

// Request is a call that is passed on for an app.
type Request struct {
	AppID string
	// API is what it counts as: TemplateAPI, MediaAPI, OAuthAPI or CallAPI.
	API                 API
	Method, Path, Query string // the query without credentials
	ContentType, Range  string
	Body                io.Reader // nil for none
	Length              int64     // of the body, -1 if it is not known
	// Again returns the body anew, nil where it cannot be had again: net/http
	// asks for it when it finds that a connection was closed before anything was
	// written to it.
	Again func() io.Reader
	// Secrets are put into the query. No error has them.
	Secrets []Parameter
}

// Parameter is one that is nobody else's to see.
type Parameter struct {
	Name  string
	Value credential.Secret // zero for none: then it is left out
	// Returned is set where WeChat may say the value back for good reason. Else the
	// answer has stars in its place.
	Returned bool
}

// Answer is what WeChat says to a Request.
type Answer struct {
	Status int
	Header http.Header // what is of use to an app
	Length int64       // of the body, -1 if it is not known
	// Body is to be closed. Where it has one of the Request's Secrets, it has stars
	// of the same length.
	Body io.ReadCloser
	// Refusal is set where the body is WeChat's way to say no, which can be
	// read all the same.
	Refusal *Error
}

// answerHeaders are what is passed on of an answer's headers.
var answerHeaders = []string{"Content-Type", "Content-Disposition", "Content-Range", "Accept-Ranges", "Last-Modified", "Etag"}

var (
	// ErrBody says that a request's body did not come, or has another length than
	// was said: nobody else is to blame.
	ErrBody = errors.New("the body did not arrive whole")
	// ErrRequest says that a request is none that HTTP can carry.
	ErrRequest = errors.New("the request has what no request can have")
)

// Pass makes a call for an app. It is made once, and at another upstream only
// where the first could not be connected to. The error is an *Error, or the
// context's when that ended first, [ErrBody] or [ErrRequest].
func (c *Client) Pass(ctx context.Context, r Request) (*Answer, error) {
	if !isHeader(r.ContentType) || !isHeader(r.Range) {
		return nil, fmt.Errorf("calling %s: %w", r.Path, ErrRequest)
	}
	body := &sending{from: r.Body, left: r.Length}
	if r.Body != nil {
		r.Body = body
	}
	for tries := 1; ; tries++ {
		upstream := c.upstreams.pick(time.Now())
		answer, sent, failure := c.pass(ctx, upstream, r)
		if err := ctx.Err(); err != nil && failure != nil {
			return nil, fmt.Errorf("calling %s: %w", r.Path, err)
		}
		if failure != nil && r.Body != nil && sent && body.missing() {
			return nil, fmt.Errorf("calling %s: %w", r.Path, ErrBody)
		}
		told := failure
		if answer != nil {
			told = answer.Refusal
		}
		c.done(r.AppID, r.API, told)
		// Of an answer to one app's call, a strange one says little of the host.
		if failure == nil || failure.HTTPStatus == 0 || failure.HTTPStatus >= 500 {
			c.upstreams.called(upstream, failure, time.Now())
		}
		if failure == nil {
			return answer, nil
		}
		if sent || tries >= len(c.upstreams.hosts) {
			return nil, failure
		}
	}
}

// maxHeaderValue bounds a header that an app has a say in, in bytes.
const maxHeaderValue = 256

func isHeader(value string) bool {
	return len(value) <= maxHeaderValue && !strings.ContainsFunc(value, func(r rune) bool { return r < ' ' || r > '~' })
}

// pass makes a call at one upstream. sent is whether WeChat may have seen it.
func (c *Client) pass(ctx context.Context, upstream *url.URL, r Request) (_ *Answer, sent bool, _ *Error) {
	ctx, cancel := context.WithCancel(ctx)
	moved := time.AfterFunc(standstill, cancel)
	end := func() { moved.Stop(); cancel() }
	secrets, hidden := r.secrets()
	failed := func(class wxapi.Class, status int, detail string) *Error {
		end()
		return &Error{API: r.API, Upstream: upstream.Host, Class: class, HTTPStatus: status, Detail: quote(detail, secrets)}
	}
	req, err := r.request(ctx, upstream, moved)
	if err != nil {
		return nil, false, failed(wxapi.Transient, 0, withoutURL(err))
	}
	client := c.passing
	if r.Method == http.MethodGet && r.API != MediaAPI { // net/http repeats a GET whose kept-alive connection breaks
		client = c.once
	}
	resp, err := client.Do(req)
	if err != nil {
		at, dialling := errors.AsType[*net.OpError](err)
		if context.Cause(ctx) != nil {
			err = errors.New("no answer in time")
		}
		return nil, !dialling || at.Op != "dial", failed(wxapi.Transient, 0, withoutURL(err))
	}
	refuse := func(class wxapi.Class, detail string) (*Answer, bool, *Error) {
		_ = resp.Body.Close() // it is not looked at
		return nil, true, failed(class, resp.StatusCode, detail)
	}
	switch status := resp.StatusCode; {
	case status == http.StatusTooManyRequests:
		return refuse(wxapi.Rate, "answered HTTP "+resp.Status)
	case status >= 500:
		return refuse(wxapi.Transient, "answered HTTP "+resp.Status)
	case status >= 300 && status < 400:
		return refuse(wxapi.Transient, "answered with a redirect (HTTP "+resp.Status+"), which is not followed")
	}
	body := bufio.NewReaderSize(moving{resp.Body, moved}, maxRefusal)
	head, err := body.Peek(maxRefusal)
	if err != nil && !errors.Is(err, io.EOF) {
		return refuse(wxapi.Transient, "reading the answer: "+withoutURL(err))
	}
	answer := &Answer{
		Status: resp.StatusCode, Header: passedOn(resp.Header, hidden), Length: resp.ContentLength,
		Body: closing{newMasked(body, hidden), func() error { end(); return resp.Body.Close() }},
	}
	if errors.Is(err, io.EOF) && resp.Header.Get("Content-Disposition") == "" {
		if said, err := decode(head); err == nil && said.ErrCode != 0 {
			answer.Refusal = refusal(r.API, upstream.Host, resp.StatusCode, said.ErrCode, quote(said.ErrMsg, secrets))
		}
	}
	return answer, true, nil
}

// secrets returns what no error has, and what no answer has.
func (r Request) secrets() (quoted []string, hidden [][]byte) {
	var stars []string
	for _, own := range r.Secrets {
		forms := secretForms(own.Value)
		quoted = append(quoted, forms...)
		if !own.Returned {
			stars = append(stars, forms...)
		}
	}
	return quoted, distinct(stars)
}

// request returns what is sent to an upstream.
func (r Request) request(ctx context.Context, upstream *url.URL, moved *time.Timer) (*http.Request, error) {
	target := upstream.JoinPath(r.Path)
	target.RawQuery = r.Query
	for _, own := range r.Secrets {
		if !own.Value.IsZero() {
			target.RawQuery += "&" + own.Name + "=" + url.QueryEscape(own.Value.Reveal())
		}
	}
	target.RawQuery = strings.TrimPrefix(target.RawQuery, "&")
	var body io.Reader
	if r.Body != nil {
		body = moving{r.Body, moved}
	}
	req, err := http.NewRequestWithContext(ctx, r.Method, target.String(), body)
	if err != nil {
		return nil, err
	}
	if r.Body != nil {
		req.ContentLength = r.Length
	}
	if r.Again != nil {
		req.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(moving{r.Again(), moved}), nil }
	}
	if req.ContentLength == 0 {
		req.Body = http.NoBody // net/http takes 0 beside a body for not known
	}
	for name, value := range map[string]string{"Content-Type": r.ContentType, "Range": r.Range} {
		if value != "" {
			req.Header.Set(name, value)
		}
	}
	return req, nil
}

// passedOn returns the headers that are of use, without secrets.
func passedOn(headers http.Header, secrets [][]byte) http.Header {
	out := make(http.Header)
	for _, name := range answerHeaders {
		value := []byte(headers.Get(name))
		if mask(value, secrets); len(value) > 0 {
			out.Set(name, string(value))
		}
	}
	return out
}

// moving puts off the end of a call while it is read.
type moving struct {
	io.Reader
	moved *time.Timer
}

func (m moving) Read(p []byte) (int, error) {
	n, err := m.Reader.Read(p)
	if n > 0 {
		m.moved.Reset(standstill)
	}
	return n, err
}

// sending is the body of a request. It knows whether it is what keeps WeChat
// waiting: net/http reads it on a goroutine of its own.
type sending struct {
	from io.Reader
	left int64 // bytes that are to come, -1 if that is not known

	mu      sync.Mutex
	waiting bool  // for more of it
	failed  error // what it ended with, unless it ended well
}

func (s *sending) Read(p []byte) (int, error) {
	s.note(true, nil)
	n, err := s.from.Read(p)
	switch {
	case s.left < 0:
	case int64(n) > s.left:
		n, err = int(s.left), errors.New("more than was said")
	default:
		s.left -= int64(n)
	}
	if errors.Is(err, io.EOF) && s.left > 0 {
		err = io.ErrUnexpectedEOF
	}
	if errors.Is(err, io.EOF) {
		s.note(false, nil)
	} else {
		s.note(false, err)
	}
	return n, err
}

func (s *sending) note(waiting bool, failed error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.waiting = waiting
	if failed != nil {
		s.failed = failed
	}
}

// missing reports whether the body failed or is yet to come.
func (s *sending) missing() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.waiting || s.failed != nil
}

// closing is a reader with what closes it.
type closing struct {
	io.Reader
	close func() error
}

func (c closing) Close() error { return c.close() }

// masked passes on what it reads with stars in the place of secrets, however
// the pieces fall.
type masked struct {
	from    io.Reader
	secrets [][]byte
	longest int
	held    []byte // read, and not yet passed on
	room    []byte // held's
	err     error  // what reading ended with
}

// pieces is how much is read at once, in bytes.
const pieces = 32 << 10

func newMasked(from io.Reader, secrets [][]byte) *masked {
	m := &masked{from: from, secrets: secrets}
	for _, s := range secrets {
		m.longest = max(m.longest, len(s))
	}
	m.room = make([]byte, m.longest+pieces)
	return m
}

func (m *masked) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for {
		safe := len(m.held)
		if m.err == nil { // what is at the end may be the beginning of a secret
			safe = max(0, safe-max(0, m.longest-1))
		}
		if safe > 0 {
			n := copy(p, m.held[:safe])
			m.held = m.held[n:]
			return n, nil
		}
		if m.err != nil {
			return 0, m.err
		}
		kept := copy(m.room, m.held)
		n, err := m.from.Read(m.room[kept : kept+pieces])
		m.held, m.err = m.room[:kept+n], err
		mask(m.held, m.secrets)
	}
}

// mask puts stars in the place of secrets.
func mask(text []byte, secrets [][]byte) {
	for _, s := range secrets {
		for rest := text; ; {
			i := bytes.Index(rest, s)
			if i < 0 {
				break
			}
			copy(rest[i:], bytes.Repeat([]byte("*"), len(s)))
			rest = rest[i+len(s):]
		}
	}
}

// distinct returns the forms of secrets, each once and none that is empty.
func distinct(forms []string) [][]byte {
	var secrets [][]byte
	for i, s := range forms {
		if s != "" && !slices.Contains(forms[:i], s) {
			secrets = append(secrets, []byte(s))
		}
	}
	return secrets
}

// newPassing returns the client for calls of apps: many at a time, some of them
// long. Without kept connections each call is sent once, whatever becomes of it.
func newPassing(like *http.Transport, keep bool) *http.Client {
	transport := like.Clone()
	transport.DisableKeepAlives = !keep
	transport.MaxIdleConnsPerHost = 100
	transport.IdleConnTimeout = idle
	transport.ResponseHeaderTimeout = standstill
	return &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// ErrMsg returns what WeChat said, or what went wrong, for whoever knows
// WeChat's codes.
func (e *Error) ErrMsg() string { return cmp.Or(e.Detail, "system error") }

package wechat

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/wxbroker/wxbroker/pkg/credential"
	"github.com/wxbroker/wxbroker/pkg/wxapi"
)

// maxRefusal bounds an answer in which a refusal is looked for, in bytes. Refusals
// have under 1 KiB.
const maxRefusal = 8 << 10

// Request is a call that is passed on for an app.
type Request struct {
	AppID string
	// API is TemplateAPI, MediaAPI, OAuthAPI or CallAPI. Metrics count the call as it.
	API                 API
	Method, Path, Query string // the query without credentials
	ContentType, Range  string
	Body                io.Reader // nil for none
	Length              int64     // of the body, -1 if it is not known
	// Again returns the body from its beginning. It is nil where the body can be
	// read only once. net/http calls it when a connection turns out to be closed
	// before anything was written to it.
	Again func() io.Reader
	// Secrets are added to the query. No error contains them.
	Secrets []Parameter
}

// Parameter is a parameter of the query that the app must not see.
type Parameter struct {
	Name  string
	Value credential.Secret // a zero value is left out of the query
	// Returned is set where WeChat may return the value for a good reason. Otherwise
	// the answer has stars in its place.
	Returned bool
}

// Answer is WeChat's answer to a Request.
type Answer struct {
	Status int
	Header http.Header // the headers that are of use to an app
	Length int64       // of the body, -1 if it is not known
	// Body must be closed. Stars of the same length take the place of the Request's
	// Secrets in it.
	Body io.ReadCloser
	// Refusal is set where the body is a refusal of WeChat's. The body can be read
	// all the same.
	Refusal *Error
}

// answerHeaders are the headers of an answer that are passed on.
var answerHeaders = []string{"Content-Type", "Content-Disposition", "Content-Range", "Accept-Ranges", "Last-Modified", "Etag"}

var (
	// ErrBody says that the request's body did not arrive, or does not have its
	// announced length. So neither the broker nor WeChat is to blame.
	ErrBody = errors.New("the body did not arrive whole")
	// ErrRequest says that HTTP cannot carry the request.
	ErrRequest = errors.New("HTTP cannot carry this request: its method, path, query or a header is malformed")
)

// Pass makes a call for an app. It sends the call once. It tries another upstream
// only where it could not connect to the one before. The error is an *Error,
// [ErrBody], [ErrRequest], or the context's when that ended first.
func (c *Client) Pass(ctx context.Context, r Request) (*Answer, error) {
	if !isHeader(r.ContentType) || !isHeader(r.Range) {
		return nil, fmt.Errorf("calling %s: %w", r.Path, ErrRequest)
	}
	body := &requestBody{from: r.Body, left: r.Length}
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
		outcome := failure
		if answer != nil {
			outcome = answer.Refusal
		}
		c.done(r.AppID, r.API, outcome)
		// A strange answer to one app's call says little about the host. Only no
		// answer, and an error of the server's, count against it.
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

// maxHeaderValue bounds a header whose value an app chooses, in bytes.
const maxHeaderValue = 256

func isHeader(value string) bool {
	return len(value) <= maxHeaderValue && !strings.ContainsFunc(value, func(r rune) bool { return r < ' ' || r > '~' })
}

// pass makes a call at one upstream. sent is whether WeChat may have received it.
func (c *Client) pass(ctx context.Context, upstream *url.URL, r Request) (_ *Answer, sent bool, _ *Error) {
	ctx, cancel := context.WithCancel(ctx)
	idleTimer := time.AfterFunc(idleTimeout, cancel)
	end := func() { idleTimer.Stop(); cancel() }
	secrets, hidden := r.secrets()
	failed := func(class wxapi.Class, status int, detail string) *Error {
		end()
		return &Error{API: r.API, Upstream: upstream.Host, Class: class, HTTPStatus: status, Detail: quote(detail, secrets)}
	}
	req, err := r.request(ctx, upstream, idleTimer)
	if err != nil {
		return nil, false, failed(wxapi.Transient, 0, withoutURL(err))
	}
	client := c.apps
	if r.Method == http.MethodGet && r.API != MediaAPI { // net/http repeats a GET whose kept-alive connection breaks
		client = c.appsOnce
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
		_ = resp.Body.Close() // the body is not read
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
	body := bufio.NewReaderSize(activityReader{resp.Body, idleTimer}, maxRefusal)
	head, err := body.Peek(maxRefusal)
	if err != nil && !errors.Is(err, io.EOF) {
		return refuse(wxapi.Transient, "reading the answer: "+withoutURL(err))
	}
	answer := &Answer{
		Status: resp.StatusCode, Header: appHeaders(resp.Header, hidden), Length: resp.ContentLength,
		Body: answerBody{newMaskingReader(body, hidden), func() error { end(); return resp.Body.Close() }},
	}
	if errors.Is(err, io.EOF) && resp.Header.Get("Content-Disposition") == "" {
		if got, err := decode(head); err == nil && got.ErrCode != 0 {
			answer.Refusal = refusal(r.API, upstream.Host, resp.StatusCode, got.ErrCode, quote(got.ErrMsg, secrets))
		}
	}
	return answer, true, nil
}

// secrets returns the forms of secrets that no error may contain, and those that no
// answer may contain.
func (r Request) secrets() (quoted []string, hidden [][]byte) {
	var stars []string
	for _, secret := range r.Secrets {
		forms := secretForms(secret.Value)
		quoted = append(quoted, forms...)
		if !secret.Returned {
			stars = append(stars, forms...)
		}
	}
	return quoted, distinctForms(stars)
}

// request returns the HTTP request for an upstream.
func (r Request) request(ctx context.Context, upstream *url.URL, idleTimer *time.Timer) (*http.Request, error) {
	target := upstream.JoinPath(r.Path)
	target.RawQuery = r.Query
	for _, secret := range r.Secrets {
		if !secret.Value.IsZero() {
			target.RawQuery += "&" + secret.Name + "=" + url.QueryEscape(secret.Value.Reveal())
		}
	}
	target.RawQuery = strings.TrimPrefix(target.RawQuery, "&")
	var body io.Reader
	if r.Body != nil {
		body = activityReader{r.Body, idleTimer}
	}
	req, err := http.NewRequestWithContext(ctx, r.Method, target.String(), body)
	if err != nil {
		return nil, err
	}
	if r.Body != nil {
		req.ContentLength = r.Length
	}
	if r.Again != nil {
		req.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(activityReader{r.Again(), idleTimer}), nil }
	}
	if req.ContentLength == 0 {
		req.Body = http.NoBody // with another body, net/http would take a length of 0 for unknown
	}
	for name, value := range map[string]string{"Content-Type": r.ContentType, "Range": r.Range} {
		if value != "" {
			req.Header.Set(name, value)
		}
	}
	return req, nil
}

// appHeaders returns the headers that are of use to an app, without secrets.
func appHeaders(headers http.Header, secrets [][]byte) http.Header {
	out := make(http.Header)
	for _, name := range answerHeaders {
		value := []byte(headers.Get(name))
		if mask(value, secrets); len(value) > 0 {
			out.Set(name, string(value))
		}
	}
	return out
}

// answerBody is a reader with the function that closes it.
type answerBody struct {
	io.Reader
	close func() error
}

func (c answerBody) Close() error { return c.close() }

package wechat

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/wxbroker/wxbroker/pkg/wxapi"
)

const (
	// callTimeout bounds one call from dialling to the last byte.
	callTimeout = 10 * time.Second
	// maxAnswer bounds an answer's body, in bytes. Real ones are under 1 KiB.
	maxAnswer = 64 << 10
)

// Options are what a Client needs to know.
type Options struct {
	// Upstreams are base URLs such as https://api.weixin.qq.com; the first is
	// preferred.
	Upstreams []*url.URL
	// CAs are trusted besides the system's, nil for none.
	CAs *x509.CertPool
	// Dial opens connections, nil for the network.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// Done is called when a call has ended. It may be nil. err is nil when the call
	// succeeded.
	Done func(appid string, api API, err *Error)
}

// Client calls WeChat. It is safe for concurrent use.
type Client struct {
	http      *http.Client // for the broker's own calls
	apps      *http.Client // for calls of apps
	appsOnce  *http.Client // for calls of apps that net/http would repeat on a kept connection
	upstreams *upstreams
	done      func(string, API, *Error)
}

// New returns a Client. It opens no connection.
func New(o Options) *Client {
	transport := &http.Transport{
		Proxy:       http.ProxyFromEnvironment,
		DialContext: o.Dial,
		// Each call has a connection of its own. Calls are minutes apart, and
		// net/http silently repeats a GET whose kept-alive connection breaks.
		DisableKeepAlives:      true,
		TLSHandshakeTimeout:    callTimeout,
		MaxResponseHeaderBytes: maxAnswer,
		TLSClientConfig:        &tls.Config{RootCAs: o.CAs, MinVersion: tls.VersionTLS12},
	}
	if o.Dial == nil {
		transport.DialContext = (&net.Dialer{Timeout: callTimeout / 2}).DialContext
	}
	if o.Done == nil {
		o.Done = func(string, API, *Error) {}
	}
	return &Client{
		http: &http.Client{
			Transport: transport,
			Timeout:   callTimeout,
			// The query holds the secret, so it must not go to another address.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		apps:      newAppClient(transport, true),
		appsOnce:  newAppClient(transport, false),
		upstreams: newUpstreams(o.Upstreams),
		done:      o.Done,
	}
}

// Upstream returns the host that the next call goes to.
func (c *Client) Upstream() string { return c.upstreams.pick(time.Now()).Host }

// Upstreams returns every host, in the configured order.
func (c *Client) Upstreams() []Upstream { return c.upstreams.list(time.Now()) }

// call is one request to be made.
type call struct {
	appid   string
	api     API
	method  string
	query   url.Values
	body    any      // marshalled as JSON, nil for none
	secrets []string // the answer may echo them, but no error may show them
	// take takes the wanted value out of the answer. It is nil where only the
	// errcode matters. Its error quotes nothing of the answer.
	take func(answer) error
}

// do makes the call. The error is always an *Error, or the context's when that
// ended first.
func (c *Client) do(ctx context.Context, call call) error {
	upstream := c.upstreams.pick(time.Now())
	failure := c.ask(ctx, upstream, call)
	if err := ctx.Err(); err != nil && failure != nil {
		return fmt.Errorf("calling %s: %w", call.api, err)
	}
	c.done(call.appid, call.api, failure)
	c.upstreams.called(upstream, failure, time.Now())
	if failure == nil {
		return nil // returning failure would make an error of a nil *Error, which compares unequal to nil
	}
	return failure
}

func (c *Client) ask(ctx context.Context, upstream *url.URL, call call) *Error {
	failed := func(class wxapi.Class, status int, detail string) *Error {
		return &Error{
			API: call.api, Upstream: upstream.Host, Class: class,
			HTTPStatus: status, Detail: quote(detail, call.secrets),
		}
	}
	req, err := newRequest(ctx, upstream, call)
	if err != nil {
		return failed(wxapi.Transient, 0, withoutURL(err))
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return failed(wxapi.Transient, 0, withoutURL(err))
	}
	defer resp.Body.Close()
	status := resp.StatusCode
	raw, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	switch {
	case status == http.StatusTooManyRequests:
		return failed(wxapi.Rate, status, "answered HTTP "+resp.Status)
	case status >= 500:
		return failed(wxapi.Transient, status, "answered HTTP "+resp.Status)
	case status >= 300 && status < 400:
		return failed(wxapi.Transient, status, "answered with a redirect (HTTP "+resp.Status+"), which is not followed")
	case err != nil:
		return failed(wxapi.Transient, status, "reading the answer: "+withoutURL(err))
	case len(raw) > maxAnswer:
		return failed(wxapi.Transient, status, fmt.Sprintf("the answer is larger than %d bytes", maxAnswer))
	}
	got, err := decode(raw)
	switch {
	case err == nil && got.ErrCode != 0:
		return refusal(call.api, upstream.Host, status, got.ErrCode, quote(got.ErrMsg, call.secrets))
	case status >= 400:
		return failed(wxapi.Transient, status, "answered HTTP "+resp.Status)
	case err != nil:
		return failed(wxapi.Transient, status, err.Error())
	case call.take == nil:
		return nil
	}
	if err := call.take(got); err != nil {
		return failed(wxapi.Transient, status, err.Error())
	}
	return nil
}

func newRequest(ctx context.Context, upstream *url.URL, call call) (*http.Request, error) {
	target := upstream.JoinPath(paths[call.api])
	target.RawQuery = call.query.Encode()
	if call.body == nil {
		return http.NewRequestWithContext(ctx, call.method, target.String(), nil)
	}
	body := new(bytes.Buffer)
	encoder := json.NewEncoder(body)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(call.body); err != nil {
		return nil, fmt.Errorf("marshalling the request: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, call.method, target.String(), body)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	return req, nil
}

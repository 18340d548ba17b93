package httpapi

import (
	"net/http"

	"github.com/wxbroker/wxbroker/edge/internal/signing"
	"github.com/wxbroker/wxbroker/pkg/jsapi"
)

// legacyAPIs is the jsApiList of /getApi when the page sends none.
var legacyAPIs = []string{"updateAppMessageShareData", "updateTimelineShareData"}

// config answers with the object that wx.config takes.
func (a *API) config(r *http.Request) (any, error) { return a.wxConfig(r, []string{}) }

// getAPI is config for pages that were written for other token servers.
func (a *API) getAPI(r *http.Request) (any, error) { return a.wxConfig(r, legacyAPIs) }

func (a *API) wxConfig(r *http.Request, apis []string) (any, error) {
	p, config, err := a.sign(r)
	if err != nil {
		return nil, err
	}
	config.Debug = p.debug
	config.JSAPIList = p.jsAPIList
	if config.JSAPIList == nil {
		config.JSAPIList = apis
	}
	config.OpenTagList = p.openTagList
	return config, nil
}

type signatureAnswer struct {
	Timestamp int64  `json:"timestamp"`
	NonceStr  string `json:"noncestr"`
	Signature string `json:"signature"`
}

func (a *API) signature(r *http.Request) (any, error) {
	_, c, err := a.sign(r)
	if err != nil {
		return nil, err
	}
	return signatureAnswer{c.Timestamp, c.NonceStr, c.Signature}, nil
}

type allAnswer struct {
	AppID     string `json:"appId"`
	Timestamp int64  `json:"timestamp"`
	NonceStr  string `json:"nonceStr"`
	Signature string `json:"signature"`
	URL       string `json:"url"`
}

func (a *API) all(r *http.Request) (any, error) {
	_, c, err := a.sign(r)
	if err != nil {
		return nil, err
	}
	return allAnswer{c.AppID, c.Timestamp, c.NonceStr, c.Signature, c.URL}, nil
}

type nonceAnswer struct {
	NonceStr string `json:"nonce_str"`
}

func (*API) nonce(r *http.Request) (any, error) {
	_, err := readParameters(r)
	return nonceAnswer{jsapi.NewNonce()}, err
}

// sign reads a request for a signature, and signs the page.
func (a *API) sign(r *http.Request) (parameters, jsapi.Config, error) {
	p, err := readParameters(r)
	if err != nil {
		return parameters{}, jsapi.Config{}, err
	}
	page, err := p.page(r)
	if err != nil {
		return parameters{}, jsapi.Config{}, err
	}
	config, err := a.State.Sign(signing.Request{Page: page, AppID: p.appid, NonceStr: p.noncestr, Timestamp: p.timestamp})
	return p, config, err
}

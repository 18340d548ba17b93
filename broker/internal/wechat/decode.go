package wechat

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/wxbroker/wxbroker/pkg/credential"
	"github.com/wxbroker/wxbroker/pkg/wxapi"
)

// maxLifetime is the longest expires_in that is believed. WeChat's is two hours.
const maxLifetime = 30 * 24 * time.Hour

// maxValue bounds a token or ticket, in bytes. WeChat asks for room for 512.
const maxValue = 4 << 10

// answer is everything that the answers of all calls have in common.
type answer struct {
	ErrCode     wxapi.Code `json:"errcode"`
	ErrMsg      string     `json:"errmsg"`
	AccessToken string     `json:"access_token"`
	Ticket      string     `json:"ticket"`
	ExpiresIn   *seconds   `json:"expires_in"`
	Quota       *DayQuota  `json:"quota"`
}

// decode reads an answer's body. Its errors quote nothing of it.
func decode(raw []byte) (answer, error) {
	trimmed := bytes.TrimSpace(raw)
	switch {
	case len(trimmed) == 0:
		return answer{}, errors.New("the answer is empty")
	case trimmed[0] != '{':
		return answer{}, errors.New("the answer is not a JSON object")
	}
	var a answer
	if err := json.Unmarshal(trimmed, &a); err != nil {
		return answer{}, errors.New("the answer is not the JSON that WeChat documents")
	}
	return a, nil
}

// grant takes the value and its lifetime out of an answer.
func (a answer) grant(value string) (Grant, error) {
	switch {
	case value == "":
		return Grant{}, errors.New("the answer has neither a value nor an errcode")
	case len(value) > maxValue:
		return Grant{}, fmt.Errorf("the answer's value is longer than %d bytes", maxValue)
	case a.ExpiresIn == nil:
		return Grant{}, errors.New("the answer has no expires_in")
	}
	for i := range len(value) {
		if value[i] <= ' ' || value[i] >= 0x7f {
			return Grant{}, errors.New("the answer's value has characters that no token or ticket has")
		}
	}
	return Grant{Value: credential.NewSecret(value), Lifetime: time.Duration(*a.ExpiresIn) * time.Second}, nil
}

// seconds is an expires_in, which WeChat sends as a number and gateways in
// between as a string.
type seconds int64

func (s *seconds) UnmarshalJSON(b []byte) error {
	n, err := integer(b)
	if err != nil || n < 0 || n > int64(maxLifetime/time.Second) {
		return errors.New("expires_in is not a number of seconds")
	}
	*s = seconds(n)
	return nil
}

func integer(b []byte) (int64, error) {
	if len(b) >= 2 && b[0] == '"' {
		b = b[1 : len(b)-1]
	}
	n, err := strconv.ParseInt(string(b), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("reading a number: %w", err)
	}
	return n, nil
}

package wechatsim

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"time"
)

// The return codes this simulator knows, from WeChat's table of global codes.
const (
	codeOK               = 0
	codeInvalidToken     = 40001
	codeInvalidGrantType = 40002
	codeInvalidAppID     = 40013
	codeMalformedToken   = 40014
	codeInvalidArgs      = 40097
	codeInvalidSecret    = 40125
	codeAddress          = 40164
	codeTokenMissing     = 41001
	codeAppIDMissing     = 41002
	codeSecretMissing    = 41004
	codeTokenExpired     = 42001
	codeRequireGET       = 43001
	codeRequirePOST      = 43002
	codeQuota            = 45009
	codeDataFormat       = 47001
	codeClears           = 48006
	codeCGIPathForm      = 76003
	codeCGIPathUnknown   = 76021
	codeCGIPathForbidden = 76022
)

var messages = map[int]string{
	codeInvalidToken:     "invalid credential, access_token is invalid or not latest",
	codeInvalidGrantType: "invalid grant_type",
	codeInvalidAppID:     "invalid appid",
	codeMalformedToken:   "invalid access_token",
	codeInvalidArgs:      "invalid args",
	codeInvalidSecret:    "invalid appsecret",
	codeTokenMissing:     "access_token missing",
	codeAppIDMissing:     "appid missing",
	codeSecretMissing:    "appsecret missing",
	codeTokenExpired:     "access_token expired",
	codeRequireGET:       "require GET method",
	codeRequirePOST:      "require POST method",
	codeQuota:            "reach max api daily quota limit",
	codeDataFormat:       "data format error",
	codeClears:           "forbid to clear quota because of reaching the limit",
	codeCGIPathForm:      "invalid cgi_path", // our words: WeChat documents the code alone
	codeCGIPathUnknown:   "cgi_path not found, please check",
	codeCGIPathForbidden: "could not use this cgi_path,no permission",
}

// answer is what an API call comes to: a code, and the body that says so.
type answer struct {
	code int
	body []byte
}

// refuse is WeChat's way to say no: HTTP 200, a code, and a request id.
func refuse(code int, now time.Time) answer {
	return refuseSaying(code, messages[code], now)
}

func refuseSaying(code int, message string, now time.Time) answer {
	return answer{code, encode(struct {
		Code    int    `json:"errcode"`
		Message string `json:"errmsg"`
	}{code, fmt.Sprintf("%s rid: %s", message, requestID(now))})}
}

func grant(body any) answer { return answer{codeOK, encode(body)} }

// encode cannot fail: everything it is given is a struct or a map of strings
// and numbers. It leaves & < > as they are, as WeChat does.
func encode(body any) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(body); err != nil {
		panic(fmt.Sprintf("wechatsim: encode %T: %v", body, err))
	}
	return bytes.TrimRight(b.Bytes(), "\n")
}

// expiresIn is a lifetime in whole seconds, rounded down, as a JSON number or
// string.
type expiresIn struct {
	left   time.Duration
	quoted bool
}

func (e expiresIn) MarshalJSON() ([]byte, error) {
	text := strconv.FormatInt(int64(max(e.left, 0)/time.Second), 10)
	if e.quoted {
		text = strconv.Quote(text)
	}
	return []byte(text), nil
}

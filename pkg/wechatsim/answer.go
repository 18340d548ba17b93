package wechatsim

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"
)

// The return codes this simulator knows, from WeChat's table of global codes.
const (
	codeOK               = 0
	codeInvalidToken     = 40001
	codeInvalidGrantType = 40002
	codeInvalidOpenID    = 40003
	codeMediaType        = 40004
	codeMediaSize        = 40006
	codeInvalidMediaID   = 40007
	codeMessageType      = 40008
	codeInvalidAppID     = 40013
	codeMalformedToken   = 40014
	codeInvalidCode      = 40029
	codeInvalidRefresh   = 40030
	codeInvalidTemplate  = 40037
	codeInvalidArgs      = 40097
	codeInvalidSecret    = 40125
	codeInvalidScene     = 40129
	codeUsedCode         = 40163
	codeAddress          = 40164
	codeTokenMissing     = 41001
	codeAppIDMissing     = 41002
	codeRefreshMissing   = 41003
	codeSecretMissing    = 41004
	codeMediaMissing     = 41005
	codeMediaIDMissing   = 41006
	codeCodeMissing      = 41008
	codeOpenIDMissing    = 41009
	codeTokenExpired     = 42001
	codeRefreshExpired   = 42002
	codeCodeExpired      = 42003
	codeRequireGET       = 43001
	codeRequirePOST      = 43002
	codeRequireSubscribe = 43004
	codeEmptyMedia       = 44001
	codeEmptyPost        = 44002
	codeQuota            = 45009
	codeDataFormat       = 47001
	codeUnauthorized     = 48001
	codeClears           = 48006
	codeDateFormat       = 61500
	codeDateRange        = 61501
	codeCGIPathForm      = 76003
	codeCGIPathUnknown   = 76021
	codeCGIPathForbidden = 76022
)

var messages = map[int]string{
	codeInvalidToken:     "invalid credential, access_token is invalid or not latest",
	codeInvalidGrantType: "invalid grant_type",
	codeInvalidOpenID:    "invalid openid",
	codeMediaType:        "invalid media type",
	codeMediaSize:        "invalid meida size", // sic
	codeInvalidMediaID:   "invalid media_id",
	codeMessageType:      "invalid message type",
	codeInvalidAppID:     "invalid appid",
	codeMalformedToken:   "invalid access_token",
	codeInvalidCode:      "invalid code",
	codeInvalidRefresh:   "invalid refresh_token",
	codeInvalidTemplate:  "invalid template_id",
	codeInvalidArgs:      "invalid args",
	codeInvalidSecret:    "invalid appsecret",
	codeInvalidScene:     "invalid scene", // our words, as for 76003
	codeUsedCode:         "code been used",
	codeTokenMissing:     "access_token missing",
	codeAppIDMissing:     "appid missing",
	codeRefreshMissing:   "refresh_token missing",
	codeSecretMissing:    "appsecret missing",
	codeMediaMissing:     "media data missing",
	codeMediaIDMissing:   "media_id missing",
	codeCodeMissing:      "missing code",
	codeOpenIDMissing:    "openid missing",
	codeTokenExpired:     "access_token expired",
	codeRefreshExpired:   "refresh_token expired",
	codeCodeExpired:      "code expired",
	codeRequireGET:       "require GET method",
	codeRequirePOST:      "require POST method",
	codeRequireSubscribe: "require subscribe",
	codeEmptyMedia:       "empty media data",
	codeEmptyPost:        "empty post data",
	codeQuota:            "reach max api daily quota limit",
	codeDataFormat:       "data format error",
	codeUnauthorized:     "api unauthorized",
	codeClears:           "forbid to clear quota because of reaching the limit",
	codeDateFormat:       "date format error",
	codeDateRange:        "date range error",
	codeCGIPathForm:      "invalid cgi_path", // our words: WeChat documents the code alone
	codeCGIPathUnknown:   "cgi_path not found, please check",
	codeCGIPathForbidden: "could not use this cgi_path,no permission",
}

// answer is the answer to an API call: a code, and the body with that code. The body
// is JSON unless it is a file.
type answer struct {
	code int
	body []byte
	file *download
}

// write sends the answer. No lock is held: a client may take as long as it likes
// over a file.
func (a answer) write(w http.ResponseWriter, r *http.Request) {
	if a.file != nil {
		a.file.serve(w, r)
		return
	}
	writeJSON(w, http.StatusOK, a.body)
}

// refuse is WeChat's way to say no: HTTP 200, a code, and a request id.
func refuse(code int, now time.Time) answer {
	return refuseSaying(code, messages[code], now)
}

func refuseSaying(code int, message string, now time.Time) answer {
	return answer{code: code, body: encode(status{code, fmt.Sprintf("%s rid: %s", message, requestID(now))})}
}

func grant(body any) answer { return answer{code: codeOK, body: encode(body)} }

// status is the beginning of an answer: it says how the call went.
type status struct {
	Code    int    `json:"errcode"`
	Message string `json:"errmsg"`
}

// granted is the whole answer to a successful call that has nothing else to tell.
var granted = status{codeOK, "ok"}

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

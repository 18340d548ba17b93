package wxapi

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
)

// Code is an errcode of WeChat's. Zero means that it took the call.
// https://developers.weixin.qq.com/doc/offiaccount/en/Getting_Started/Global_Return_Code.html
type Code int

// UnmarshalJSON implements [encoding/json.Unmarshaler]. WeChat sends a number, and
// gateways in between a string.
func (c *Code) UnmarshalJSON(raw []byte) error {
	n, err := strconv.ParseInt(strings.Trim(string(raw), `"`), 10, 32)
	if err != nil {
		return errors.New("errcode is not a number")
	}
	*c = Code(n)
	return nil
}

// The codes that broker or edge know by name, because they say them themselves or
// do something of their own about them.
const (
	Busy              Code = -1
	InvalidCredential Code = 40001
	InvalidGrantType  Code = 40002
	InvalidMediaID    Code = 40007
	InvalidAppID      Code = 40013
	InvalidRenewal    Code = 40030
	InvalidParameter  Code = 40035
	InvalidTicketType Code = 40097
	InvalidSecret     Code = 40125
	MissingToken      Code = 41001
	MissingAppID      Code = 41002
	MissingSecret     Code = 41004
	NotGet            Code = 43001
	NotPost           Code = 43002
	TooLarge          Code = 45001
	QuotaSpent        Code = 45009
	TooOften          Code = 45011
	InvalidFormat     Code = 47001
	NotAuthorized     Code = 48001
)

// meaning is what is known of a code.
type meaning struct {
	code  Code
	class Class
	// theirs is gRPC's status of an app's call that WeChat refused with this code;
	// OK for that of the class.
	theirs codes.Code
	// ours is HTTP's status where an edge itself refuses its caller with this code,
	// for its audit; 0 for 400. The same code says another thing then: 40001 is the
	// caller's token, and not the broker's.
	ours int
	// words are WeChat's for the code, where broker or edge say it themselves: SDKs
	// show them.
	words string
	// advice says what a person can do where the account is concerned.
	advice string
	// wait is how long WeChat says to wait, 0 where it says nothing.
	wait time.Duration
}

const (
	checkSecret  = "check the account's AppSecret: it may have been reset at mp.weixin.qq.com"
	checkAppID   = "check the account's appid in the configuration"
	checkRequest = "report this: the broker sent what WeChat does not take"
	confirm      = "an administrator of the account has to confirm this address"
)

// refused is what a person has to see to: it concerns what the broker sent of its
// own.
const refused = codes.FailedPrecondition

var table = []meaning{
	{code: Busy, class: Transient, ours: http.StatusServiceUnavailable, words: "system error"},

	{code: InvalidCredential, class: RefusedToken, ours: http.StatusUnauthorized, words: "invalid credential, access_token is invalid or not latest"},
	{code: 40014, class: RefusedToken},
	{code: 42001, class: RefusedToken},

	{code: TooOften, class: Rate, ours: http.StatusTooManyRequests, words: "api minute-quota reach limit, must slower, retry next minute"},
	{code: QuotaSpent, class: Quota, ours: http.StatusTooManyRequests, words: "reach max api daily quota limit", advice: "the day's quota is spent: find what else calls this API for this appid, or clear the quota at mp.weixin.qq.com"},

	{code: InvalidGrantType, class: Configuration, theirs: refused, words: "invalid grant_type", advice: checkRequest},
	{code: InvalidAppID, class: Configuration, theirs: refused, words: "invalid appid", advice: checkAppID},
	{code: InvalidSecret, class: Configuration, theirs: refused, ours: http.StatusUnauthorized, words: "invalid appsecret", advice: checkSecret},
	{code: 40243, class: Configuration, theirs: refused, advice: "the AppSecret is frozen: unfreeze it at mp.weixin.qq.com"},
	{code: MissingAppID, class: Configuration, theirs: refused, words: "appid missing", advice: checkAppID},
	{code: MissingSecret, class: Configuration, theirs: refused, ours: http.StatusUnauthorized, words: "appsecret missing", advice: checkSecret},
	{code: 50004, class: Configuration, theirs: refused, advice: "the account is forbidden to use this API: see its notices at mp.weixin.qq.com"},
	{code: 50007, class: Configuration, theirs: refused, advice: "the account is frozen: see its notices at mp.weixin.qq.com"},
	{code: 61024, class: Configuration, theirs: refused, advice: "the appid belongs to a third-party platform: fetch its token there"},

	{code: NotAuthorized, class: Configuration, theirs: codes.PermissionDenied, ours: http.StatusForbidden, words: "api unauthorized", advice: "the account may not use this API: see its permissions at mp.weixin.qq.com"},
	{code: 48004, class: Configuration, theirs: codes.PermissionDenied},
	{code: 48008, class: Configuration, theirs: codes.PermissionDenied},
	{code: 50001, class: Configuration, theirs: codes.PermissionDenied},
	{code: 50002, class: Configuration, theirs: codes.PermissionDenied},
	{code: 48006, class: Configuration, advice: "the quota was cleared ten times this month, and WeChat allows no more"},

	{code: InvalidMediaID, class: Configuration, theirs: codes.NotFound},
	{code: InvalidRenewal, class: Configuration, words: "invalid refresh_token"},
	{code: InvalidParameter, class: Configuration, words: "invalid parameter"},
	{code: InvalidTicketType, class: Configuration, words: "invalid args"},
	{code: MissingToken, class: Configuration, ours: http.StatusUnauthorized, words: "access_token missing"},
	{code: NotGet, class: Configuration, words: "require GET method"},
	{code: NotPost, class: Configuration, words: "require POST method"},
	{code: TooLarge, class: Configuration, words: "media size out of limit"},
	{code: InvalidFormat, class: Configuration, words: "data format error"},

	{code: 40164, class: Address, advice: "add the address to the IP allow-list at mp.weixin.qq.com"},

	{code: 89501, class: Approval, advice: confirm},
	{code: 89503, class: Approval, advice: confirm},
	{code: 89506, class: Approval, advice: "an administrator refused this address twice: it may not call for 24 hours", wait: 24 * time.Hour},
	{code: 89507, class: Approval, advice: "an administrator refused this address: it may not call for an hour", wait: time.Hour},
}

// of returns what is known of a code. What is not in the table is for a person to
// look up.
func (c Code) of() meaning {
	found := meaning{code: c, class: Configuration}
	for _, row := range table {
		if row.code == c {
			found = row
			break
		}
	}
	if found.advice == "" && found.class == Configuration {
		found.advice = fmt.Sprintf("look errcode %d up in WeChat's list of return codes", c)
	}
	return found
}

// Class says what kind of trouble a code is.
func (c Code) Class() Class { return c.of().class }

// Advice says what a person can do, "" where nothing.
func (c Code) Advice() string { return c.of().advice }

// Wait is how long WeChat says to wait, 0 where it says nothing.
func (c Code) Wait() time.Duration { return c.of().wait }

// Words are WeChat's own, "" where nobody but WeChat says the code.
func (c Code) Words() string { return c.of().words }

// Status returns gRPC's status of a call of an app's that WeChat refused with
// this code, which is trouble of that class.
func (c Code) Status(class Class) codes.Code { return cmp.Or(c.of().theirs, class.status()) }

// HTTPStatus returns HTTP's status where an edge itself refuses its caller with
// this code.
func (c Code) HTTPStatus() int { return cmp.Or(c.of().ours, http.StatusBadRequest) }

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

// Code is an errcode of WeChat's. Zero means that WeChat accepted the call.
// https://developers.weixin.qq.com/doc/offiaccount/en/Getting_Started/Global_Return_Code.html
type Code int

// UnmarshalJSON implements [encoding/json.Unmarshaler]. WeChat sends a number. Gateways
// in between may send a string.
func (c *Code) UnmarshalJSON(raw []byte) error {
	n, err := strconv.ParseInt(strings.Trim(string(raw), `"`), 10, 32)
	if err != nil {
		return errors.New("errcode is not a number")
	}
	*c = Code(n)
	return nil
}

// These are the codes that the broker or an edge knows by name. It answers with them
// itself, or has to do something special about them.
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

// meaning is what is known about a code.
type meaning struct {
	code  Code
	class Class
	// grpcStatus is the gRPC status of an app's call that WeChat refused with this
	// code. OK stands for the status of the class.
	grpcStatus codes.Code
	// httpStatus is for the audit of an edge that itself refuses its caller with this
	// code. It is the fitting HTTP status, and 0 stands for 400. The code has another
	// meaning then: 40001 is about the caller's token, not about the broker's.
	httpStatus int
	// words are WeChat's words for the code, where the broker or an edge answers with
	// it. SDKs show them.
	words string
	// advice says what a person can do about the account.
	advice string
	// wait is how long WeChat says to wait, 0 where it does not say.
	wait time.Duration
}

const (
	checkSecret  = "check the account's AppSecret: it may have been reset at mp.weixin.qq.com"
	checkAppID   = "check the account's appid in the configuration"
	checkRequest = "report this: the broker sent what WeChat does not take"
	confirm      = "an administrator of the account has to confirm this address"
)

// failedPrecondition is the status of codes about something that the broker itself sent.
// The app cannot change that, and a person has to.
const failedPrecondition = codes.FailedPrecondition

var table = []meaning{
	{code: Busy, class: Transient, httpStatus: http.StatusServiceUnavailable, words: "system error"},

	{code: InvalidCredential, class: RefusedToken, httpStatus: http.StatusUnauthorized, words: "invalid credential, access_token is invalid or not latest"},
	{code: 40014, class: RefusedToken},
	{code: 42001, class: RefusedToken},

	{code: TooOften, class: Rate, httpStatus: http.StatusTooManyRequests, words: "api minute-quota reach limit, must slower, retry next minute"},
	{code: QuotaSpent, class: Quota, httpStatus: http.StatusTooManyRequests, words: "reach max api daily quota limit", advice: "the day's quota is spent: find what else calls this API for this appid, or clear the quota at mp.weixin.qq.com"},

	{code: InvalidGrantType, class: Configuration, grpcStatus: failedPrecondition, words: "invalid grant_type", advice: checkRequest},
	{code: InvalidAppID, class: Configuration, grpcStatus: failedPrecondition, words: "invalid appid", advice: checkAppID},
	{code: InvalidSecret, class: Configuration, grpcStatus: failedPrecondition, httpStatus: http.StatusUnauthorized, words: "invalid appsecret", advice: checkSecret},
	{code: 40243, class: Configuration, grpcStatus: failedPrecondition, advice: "the AppSecret is frozen: unfreeze it at mp.weixin.qq.com"},
	{code: MissingAppID, class: Configuration, grpcStatus: failedPrecondition, words: "appid missing", advice: checkAppID},
	{code: MissingSecret, class: Configuration, grpcStatus: failedPrecondition, httpStatus: http.StatusUnauthorized, words: "appsecret missing", advice: checkSecret},
	{code: 50004, class: Configuration, grpcStatus: failedPrecondition, advice: "the account is forbidden to use this API: see its notices at mp.weixin.qq.com"},
	{code: 50007, class: Configuration, grpcStatus: failedPrecondition, advice: "the account is frozen: see its notices at mp.weixin.qq.com"},
	{code: 61024, class: Configuration, grpcStatus: failedPrecondition, advice: "the appid belongs to a third-party platform: fetch its token there"},

	{code: NotAuthorized, class: Configuration, grpcStatus: codes.PermissionDenied, httpStatus: http.StatusForbidden, words: "api unauthorized", advice: "the account may not use this API: see its permissions at mp.weixin.qq.com"},
	{code: 48004, class: Configuration, grpcStatus: codes.PermissionDenied},
	{code: 48008, class: Configuration, grpcStatus: codes.PermissionDenied},
	{code: 50001, class: Configuration, grpcStatus: codes.PermissionDenied},
	{code: 50002, class: Configuration, grpcStatus: codes.PermissionDenied},
	{code: 48006, class: Configuration, advice: "the quota was cleared ten times this month, and WeChat allows no more"},

	{code: InvalidMediaID, class: Configuration, grpcStatus: codes.NotFound},
	{code: InvalidRenewal, class: Configuration, words: "invalid refresh_token"},
	{code: InvalidParameter, class: Configuration, words: "invalid parameter"},
	{code: InvalidTicketType, class: Configuration, words: "invalid args"},
	{code: MissingToken, class: Configuration, httpStatus: http.StatusUnauthorized, words: "access_token missing"},
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

// meaning returns what is known about a code. For a code that is not in the table, the
// advice is to look it up.
func (c Code) meaning() meaning {
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

// Class returns the kind of trouble that a code means.
func (c Code) Class() Class { return c.meaning().class }

// Advice says what a person can do. It is "" where a person can do nothing.
func (c Code) Advice() string { return c.meaning().advice }

// Wait returns how long WeChat says to wait, 0 where it does not say.
func (c Code) Wait() time.Duration { return c.meaning().wait }

// Words returns WeChat's words for the code. They are "" for codes with which only
// WeChat answers.
func (c Code) Words() string { return c.meaning().words }

// Status returns the gRPC status of an app's call that WeChat refused with this code, in
// that class.
func (c Code) Status(class Class) codes.Code { return cmp.Or(c.meaning().grpcStatus, class.status()) }

// HTTPStatus returns the HTTP status for an edge that itself refuses its caller with
// this code.
func (c Code) HTTPStatus() int { return cmp.Or(c.meaning().httpStatus, http.StatusBadRequest) }

package wechat

import (
	"fmt"
	"time"
)

// Class says what kind of trouble an error is, and so what to do about it.
type Class string

// The classes. They are told apart by code, never by WeChat's wording.
const (
	// Transient: WeChat is busy, unreachable or talks nonsense. Try soon, at
	// the next upstream.
	Transient Class = "transient"
	// Rate: too many calls in this minute.
	Rate Class = "rate"
	// Quota: the day's calls are spent.
	Quota Class = "quota"
	// Configuration: a person has to change something here or at WeChat.
	Configuration Class = "configuration"
	// Address: WeChat's allow-list lacks the address it saw.
	Address Class = "address"
	// Approval: an administrator of the account has to confirm the call.
	Approval Class = "approval"
	// RefusedToken: the access_token that was sent is not, or no longer, valid.
	RefusedToken Class = "refused_token"
	// Budget: the broker itself holds the call back, to stay within WeChat's
	// limits. WeChat was not asked.
	Budget Class = "budget"
)

// Classes lists every class, for whoever counts by it.
func Classes() []Class {
	return []Class{Transient, Rate, Quota, Configuration, Address, Approval, RefusedToken, Budget}
}

// meaning is what is known of one of WeChat's codes.
type meaning struct {
	class  Class
	advice string        // what a person can do, "" where nothing
	wait   time.Duration // how long WeChat says to wait, 0 where it says nothing
}

const (
	checkSecret  = "check the account's AppSecret: it may have been reset at mp.weixin.qq.com"
	checkAppID   = "check the account's appid in the configuration"
	checkRequest = "report this: the broker sent what WeChat does not take"
)

var meanings = map[int]meaning{
	-1:    {class: Transient},
	40001: {class: RefusedToken},
	40014: {class: RefusedToken},
	42001: {class: RefusedToken},
	45011: {class: Rate},
	45009: {class: Quota, advice: "the day's quota is spent: find what else calls this API for this appid, or clear the quota at mp.weixin.qq.com"},
	40002: {class: Configuration, advice: checkRequest},
	40013: {class: Configuration, advice: checkAppID},
	40125: {class: Configuration, advice: checkSecret},
	40243: {class: Configuration, advice: "the AppSecret is frozen: unfreeze it at mp.weixin.qq.com"},
	41002: {class: Configuration, advice: checkAppID},
	41004: {class: Configuration, advice: checkSecret},
	48001: {class: Configuration, advice: "the account may not use this API: see its permissions at mp.weixin.qq.com"},
	50004: {class: Configuration, advice: "the account is forbidden to use this API: see its notices at mp.weixin.qq.com"},
	50007: {class: Configuration, advice: "the account is frozen: see its notices at mp.weixin.qq.com"},
	48006: {class: Configuration, advice: "the quota was cleared ten times this month, and WeChat allows no more"},
	61024: {class: Configuration, advice: "the appid belongs to a third-party platform: fetch its token there"},
	40164: {class: Address, advice: "add the address to the IP allow-list at mp.weixin.qq.com"},
	89501: {class: Approval, advice: "an administrator of the account has to confirm this address"},
	89503: {class: Approval, advice: "an administrator of the account has to confirm this address"},
	89506: {class: Approval, advice: "an administrator refused this address twice: it may not call for 24 hours", wait: 24 * time.Hour},
	89507: {class: Approval, advice: "an administrator refused this address: it may not call for an hour", wait: time.Hour},
}

// meaningOf looks code up. Any code not known is for a person to read.
func meaningOf(api API, code int) meaning {
	if code == 40001 && !api.takesToken() {
		return meaning{class: Configuration, advice: checkSecret}
	}
	if m, ok := meanings[code]; ok {
		return m
	}
	return meaning{class: Configuration, advice: fmt.Sprintf("look errcode %d up in WeChat's list of return codes", code)}
}

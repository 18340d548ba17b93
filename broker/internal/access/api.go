package access

import (
	"errors"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/wxbroker/wxbroker/pkg/credential"
	"github.com/wxbroker/wxbroker/pkg/wxapi"
)

// patterns are the APIs that each grant for calls lets an app call. The grant Call is
// not among them, because the app's configuration says what it allows.
var patterns = map[credential.Grant][]Pattern{
	credential.Template: {wxapi.PathTemplate},
	credential.Media:    {wxapi.PathMedia, wxapi.PathHDVoice},
	credential.OAuth:    {wxapi.PathCode, wxapi.PathRenewal, wxapi.PathUserInfo, wxapi.PathAuth},
}

// namedGrant returns the grant other than Call that is for an API, "" for none.
func namedGrant(api string) credential.Grant {
	for grant, apis := range patterns {
		if slices.ContainsFunc(apis, func(p Pattern) bool { return p.Matches(api) }) {
			return grant
		}
	}
	return ""
}

// apiForm is the form of a path of WeChat's, after path.Clean.
var apiForm = regexp.MustCompile(`^(/[A-Za-z0-9_-][A-Za-z0-9._-]*)+$`)

// maxAPI bounds a path, in bytes.
const maxAPI = 256

// CleanAPI returns the path of an API in the form in which it is compared, counted
// and called. It refuses a path with an escape, or with a character that no path of
// WeChat's has. Such a path could be one path to the broker and another to WeChat.
func CleanAPI(raw string) (string, error) {
	cleaned := path.Clean("/" + raw)
	if !strings.HasPrefix(raw, "/") || len(raw) > maxAPI || !apiForm.MatchString(cleaned) {
		return "", errors.New("the path is not one such as /cgi-bin/message/custom/send")
	}
	return cleaned, nil
}

// closedWords are parts of paths. An API that has one of them anywhere in its path
// hands out or resets credentials, or clears quotas. Examples are clear_quota,
// component/api_query_auth of third-party platforms, openapi/rid/get, which shows
// requests with the token in them, sns/jscode2session, which takes the AppSecret, and
// resetusersessionkey. The same is true of every part that ends with token or ticket:
// token, stable_token, ticket/getticket, getqcloudtoken.
var closedWords = []string{"component", "clear_quota", "rid", "jscode2session", "checksession", "resetusersessionkey"}

// Closed reports whether an API, as CleanAPI returns it, is never called, whatever
// was granted. The OAuth APIs are not closed, because their tokens are the users'.
func Closed(api string) bool {
	if namedGrant(api) != "" {
		return false
	}
	lower := strings.ToLower(api)
	closed := func(word string) bool {
		return strings.HasSuffix(word, "token") || strings.HasSuffix(word, "ticket") || slices.Contains(closedWords, word)
	}
	return strings.HasPrefix(lower+"/", wxapi.BelowSNS) || strings.HasPrefix(lower, "/cgi-bin/openapi/quota/clear") ||
		slices.ContainsFunc(strings.Split(lower, "/"), closed)
}

// IsOAuth reports whether an API, as CleanAPI returns it, is about a page's user
// and takes no access_token of an account's.
func IsOAuth(api string) bool { return namedGrant(api) == credential.OAuth }

// Pattern names the APIs that may be called. It is one path, or a path with /* at its
// end, which names all paths below it.
type Pattern string

// ParsePattern reads a pattern.
func ParsePattern(s string) (Pattern, error) {
	fixed, below := strings.CutSuffix(s, "/*")
	if s == "/*" {
		return Pattern(s), nil
	}
	cleaned, err := CleanAPI(fixed)
	switch {
	case err != nil || cleaned != fixed:
		return "", errors.New("is not a path of WeChat's API: write one such as /cgi-bin/message/custom/send, or /cgi-bin/message/* for all paths below one")
	case !below && Closed(fixed):
		return "", errors.New("hands out or resets credentials, or clears quotas, and is never called for an app")
	}
	return Pattern(s), nil
}

// Matches reports whether the pattern names an API, as CleanAPI returns it.
func (p Pattern) Matches(api string) bool {
	if above, ok := strings.CutSuffix(string(p), "*"); ok {
		return strings.HasPrefix(api, above)
	}
	return api == string(p)
}

// Admits returns the grant by which the broker makes calls of an API, as CleanAPI
// returns it, for the app. ok is false if it makes none.
func (a *App) Admits(api string) (credential.Grant, bool) {
	own := namedGrant(api)
	switch {
	case Closed(api):
		return "", false
	case own != "" && a.Has(own):
		return own, true
	case own == credential.OAuth || !a.Has(credential.Call):
		return "", false
	}
	if len(a.Calls) > 0 && !slices.ContainsFunc(a.Calls, func(p Pattern) bool { return p.Matches(api) }) {
		return "", false
	}
	return credential.Call, true
}

// MayCall reports whether the broker makes calls of an API, as CleanAPI returns it, for
// the app.
func (a *App) MayCall(api string) bool {
	_, ok := a.Admits(api)
	return ok
}

// EachAPI stands, in an app's calls a day, for each API without an entry of its own.
const EachAPI = "*"

// CallsPerDay returns how many calls of an API the broker makes for the app in a
// day, and false if there is no limit.
func (a *App) CallsPerDay(api string) (int, bool) {
	if n, ok := a.PerDay[strings.ToLower(api)]; ok {
		return n, true
	}
	n, ok := a.PerDay[EachAPI]
	return n, ok
}

// CallGrants returns the grants for calls that the app has.
func (a *App) CallGrants() []credential.Grant {
	return slices.DeleteFunc(credential.CallGrants(), func(g credential.Grant) bool { return !a.Has(g) })
}

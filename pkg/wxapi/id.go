package wxapi

import "regexp"

var (
	// mediaID is the form of WeChat's media_id.
	mediaID = regexp.MustCompile(`^[A-Za-z0-9_-]{1,256}$`)
	// appID is the form of every appid of WeChat's.
	appID = regexp.MustCompile(`^wx[0-9a-f]{16}$`)
	// account is the form of an appid that the configuration accepts. It bounds the
	// text that an error repeats.
	account = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)
)

// IsMediaID reports whether s may name a file that was uploaded.
func IsMediaID(s string) bool { return mediaID.MatchString(s) }

// IsAppID reports whether s has the form of WeChat's appids.
func IsAppID(s string) bool { return appID.MatchString(s) }

// CanBeAppID reports whether an account may be configured with that appid. It accepts
// more than IsAppID, because other platforms of WeChat's have other forms.
func CanBeAppID(s string) bool { return account.MatchString(s) }

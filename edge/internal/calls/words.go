package calls

import (
	"regexp"

	"google.golang.org/grpc/status"

	wxbrokerv1 "github.com/wxbroker/wxbroker/proto/wxbroker/v1"
)

// mediaID is what the name of a file of WeChat's looks like.
var mediaID = regexp.MustCompile(`^[A-Za-z0-9_-]{1,256}$`)

// IsMediaID reports whether s may be the name of a file.
func IsMediaID(s string) bool { return mediaID.MatchString(s) }

// RefusalIn returns what WeChat says in an error of a call, nil if it is not
// WeChat that says it.
func RefusalIn(err error) *wxbrokerv1.Refusal {
	for _, detail := range status.Convert(err).Details() {
		if r, ok := detail.(*wxbrokerv1.Refusal); ok {
			return r
		}
	}
	return nil
}

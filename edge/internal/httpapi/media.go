package httpapi

import (
	"errors"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"

	"github.com/wxbroker/wxbroker/edge/internal/audit"
	"github.com/wxbroker/wxbroker/edge/internal/broker"
	"github.com/wxbroker/wxbroker/edge/internal/filename"
	"github.com/wxbroker/wxbroker/edge/internal/media"
	"github.com/wxbroker/wxbroker/pkg/credential"
	"github.com/wxbroker/wxbroker/pkg/daemon"
	"github.com/wxbroker/wxbroker/pkg/wxapi"
)

// oneRange is a Range that may be answered with a part. Any other means the
// whole, as RFC 9110 lets it.
var oneRange = regexp.MustCompile(`^bytes=(\d{1,18}-\d{0,18}|-\d{1,18})$`)

// errEnough ends a download whose head is all that was wanted.
var errEnough = errors.New("the head is all that is wanted")

type videoAnswer struct {
	VideoURL string `json:"video_url"`
}

// file downloads a file.
func (a *API) file(w http.ResponseWriter, r *http.Request) (status int, whole bool) {
	entry := audit.Entry{Action: audit.Media}
	f := newFlow(w)
	err := a.download(f, r, &entry)
	return a.end(f, r, entry, err)
}

func (a *API) download(f *flow, r *http.Request, entry *audit.Entry) (err error) {
	if entry.LocalKey, err = a.unlock(r, callsWeChat); err != nil {
		return err
	}
	given, err := read(r, callNames)
	if err != nil {
		return err
	}
	path := mediaPath.FindStringSubmatch(r.URL.Path)
	if !wxapi.IsMediaID(path[1]) {
		return refuse(http.StatusBadRequest, "the path does not end with a media_id")
	}
	if entry.AppID, err = a.caller(given, credential.Media); err != nil {
		return err
	}
	await(f.w, 2*broker.Stall) // for what WeChat says of it, and for its first byte
	err = media.Get(r.Context(), a.Broker, entry.LocalKey,
		media.Request{AppID: entry.AppID, MediaID: path[1], HDVoice: path[2] != "", Range: wantedRange(r)},
		media.Sink{Piece: f.piece, Head: func(head media.Head) error {
			f.mediaHead(head)
			if r.Method == http.MethodHead || head.VideoURL != "" {
				return errEnough
			}
			return nil
		}})
	switch {
	case errors.Is(err, errEnough):
		return nil
	case err == nil:
		return f.whole()
	case f.status == 0:
		return brokerSays(err, "call")
	}
	return err
}

// wantedRange returns the Range of a request, if it may be answered with a part. With
// an If-Range it may only if the file is still the same, which nobody knows: it
// has no ETag.
func wantedRange(r *http.Request) string {
	given := r.Header["Range"]
	if r.Method != http.MethodGet || len(given) != 1 || r.Header["If-Range"] != nil || !oneRange.MatchString(given[0]) {
		return ""
	}
	return given[0]
}

// mediaHead begins the answer with a file, or is the answer for a video.
func (f *flow) mediaHead(head media.Head) {
	if head.VideoURL != "" {
		f.status = http.StatusOK
		daemon.Answer(f.w, f.status, videoAnswer{head.VideoURL})
		return
	}
	h := f.w.Header()
	h.Set("Content-Type", contentType(head.ContentType))
	h.Set("Content-Disposition", attachment(head.FileName))
	h.Set("Accept-Ranges", "bytes")
	size := "*"
	if head.Size >= 0 {
		size = strconv.FormatInt(head.Size, 10)
	}
	part := head.Part
	if part == nil {
		f.begin(http.StatusOK, head.Size)
		return
	}
	h.Set("Content-Range", fmt.Sprintf("bytes %d-%d/%s", part.First, part.First+part.Length-1, size))
	f.begin(http.StatusPartialContent, part.Length)
}

// contentType returns what WeChat says a file is, if that is a type.
func contentType(said string) string {
	if _, _, err := mime.ParseMediaType(said); err != nil || !strings.Contains(said, "/") {
		return "application/octet-stream"
	}
	return said
}

// attachment has the file saved, not shown: it is somebody else's, and a page
// in it would be one of the edge's origin. The name is for whoever knows RFC
// 6266, and in ASCII for who does not.
func attachment(said string) string {
	name := filename.Safe(said)
	if name == "" {
		return "attachment"
	}
	ascii := strings.Map(func(r rune) rune {
		if r > '~' || r == '"' || r == '%' {
			return '_'
		}
		return r
	}, name)
	disposition := `attachment; filename="` + ascii + `"`
	if ascii != name {
		disposition += "; filename*=UTF-8''" + strings.ReplaceAll(url.QueryEscape(name), "+", "%20") // RFC 8187 has fewer characters than a path
	}
	return disposition
}

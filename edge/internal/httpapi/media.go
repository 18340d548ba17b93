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
	"github.com/wxbroker/wxbroker/edge/internal/transfer"
	"github.com/wxbroker/wxbroker/pkg/credential"
	"github.com/wxbroker/wxbroker/pkg/daemon"
	"github.com/wxbroker/wxbroker/pkg/wxapi"
)

// oneRange matches a Range that may be answered with a part. Any other is answered with
// the whole file, as RFC 9110 allows.
var oneRange = regexp.MustCompile(`^bytes=(\d{1,18}-\d{0,18}|-\d{1,18})$`)

// errEnough ends a download of which only the head is wanted.
var errEnough = errors.New("the head is all that is wanted")

type videoAnswer struct {
	VideoURL string `json:"video_url"`
}

// file answers with a file that was uploaded to WeChat.
func (a *API) file(w http.ResponseWriter, r *http.Request) (status int, whole bool) {
	entry := audit.Entry{Action: audit.Media}
	f := transfer.NewFlow(w)
	outcome := f.End(a.download(w, f, r, &entry), func(w http.ResponseWriter, err error) (sent, audited int) {
		status, answer := failure(w, err)
		daemon.Answer(w, status, answer)
		return status, status
	})
	a.Audit(entry.Of(r, outcome.Audited, outcome.Err))
	return outcome.Status, outcome.Whole
}

func (a *API) download(w http.ResponseWriter, f *transfer.Flow, r *http.Request, entry *audit.Entry) (err error) {
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
	if entry.AppID, err = a.callAccount(given, credential.Media); err != nil {
		return err
	}
	transfer.ExtendDeadline(w, 2*broker.Stall) // once for WeChat's head, and once for the first byte
	err = media.Get(r.Context(), a.Broker, entry.LocalKey,
		media.Request{AppID: entry.AppID, MediaID: path[1], HDVoice: path[2] != "", Range: wantedRange(r)},
		media.Sink{Piece: f.Piece, Head: func(head media.Head) error {
			beginFile(f, head)
			if r.Method == http.MethodHead || head.VideoURL != "" {
				return errEnough
			}
			return nil
		}})
	switch {
	case errors.Is(err, errEnough):
		return nil
	case err == nil:
		return f.CheckLength()
	case !f.Begun():
		return brokerRefusal(err, "call")
	}
	return err
}

// wantedRange returns the Range of a request that may be answered with a part, "" for
// any other. A request with an If-Range gets the whole file. It allows a part only of
// the same file as before, and without an ETag nobody knows whether it is the same.
func wantedRange(r *http.Request) string {
	given := r.Header["Range"]
	if r.Method != http.MethodGet || len(given) != 1 || r.Header["If-Range"] != nil || !oneRange.MatchString(given[0]) {
		return ""
	}
	return given[0]
}

// beginFile begins the answer with a file. For a video it sends the whole answer.
func beginFile(f *transfer.Flow, head media.Head) {
	if head.VideoURL != "" {
		f.Send(func(w http.ResponseWriter) int {
			daemon.Answer(w, http.StatusOK, videoAnswer{head.VideoURL})
			return http.StatusOK
		})
		return
	}
	h := f.Header()
	h.Set("Content-Type", contentType(head.ContentType))
	h.Set("Content-Disposition", attachment(head.FileName))
	h.Set("Accept-Ranges", "bytes")
	size := "*"
	if head.Size >= 0 {
		size = strconv.FormatInt(head.Size, 10)
	}
	part := head.Part
	if part == nil {
		f.Begin(http.StatusOK, head.Size)
		return
	}
	h.Set("Content-Range", fmt.Sprintf("bytes %d-%d/%s", part.First, part.First+part.Length-1, size))
	f.Begin(http.StatusPartialContent, part.Length)
}

// contentType returns the content type that WeChat gives, if it has the form of one.
func contentType(given string) string {
	if _, _, err := mime.ParseMediaType(given); err != nil || !strings.Contains(given, "/") {
		return "application/octet-stream"
	}
	return given
}

// attachment returns a Content-Disposition that makes browsers save the file and not
// show it. The file is somebody else's, and a page in it would run with the edge's
// origin. The header has the name in RFC 6266's form, and in ASCII for clients that do
// not know that form.
func attachment(given string) string {
	name := filename.Safe(given)
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

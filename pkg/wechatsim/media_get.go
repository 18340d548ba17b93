package wechatsim

import (
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// mediaGet answers GET /cgi-bin/media/get: the file, or the address of a video. WeChat
// converts a voice that the JS-SDK uploaded into AMR of 8 kHz here. The simulator sends
// every voice as it is. The address of a video leads nowhere.
// Source: https://developers.weixin.qq.com/doc/service/api/material/temporary/api_getmedia
func (s *Sim) mediaGet(c *call) answer {
	m, refusal := s.medium(c)
	switch {
	case m == nil:
		return refusal
	case m.Type == Video:
		return grant(struct {
			URL string `json:"video_url"`
		}{"http://video.wxsim.invalid/" + m.id + ".mp4"})
	}
	return s.download(m)
}

// mediaGetHD answers GET /cgi-bin/media/get/jssdk: a voice that a page uploaded
// through the JS-SDK, as it was recorded.
// Source: https://developers.weixin.qq.com/doc/service/api/material/temporary/api_gethdvoice
func (s *Sim) mediaGetHD(c *call) answer {
	m, refusal := s.medium(c)
	switch {
	case m == nil:
		return refusal
	case !m.HDVoice:
		return refuse(codeInvalidMediaID, c.now)
	}
	return s.download(m)
}

// medium returns the media that a call asks for, or why it is refused. WeChat's
// own example is `curl -I`, so HEAD is taken for GET.
func (s *Sim) medium(c *call) (*medium, answer) {
	if c.method == http.MethodHead {
		c.method = http.MethodGet
	}
	a, refusal := s.bearer(c, http.MethodGet)
	if a == nil {
		return nil, refusal
	}
	id := c.query.Get("media_id")
	if id == "" {
		return nil, refuse(codeMediaIDMissing, c.now)
	}
	m := a.media.find(id, c.now)
	if m == nil {
		return nil, refuse(codeInvalidMediaID, c.now)
	}
	return m, answer{}
}

func (s *Sim) download(m *medium) answer {
	return answer{code: codeOK, file: &download{
		name:        m.FileName,
		contentType: m.ContentType,
		content:     m.open(),
		ranges:      s.settings.MediaRanges,
	}}
}

// download is a file on its way out. It is read as it is sent.
type download struct {
	name        string
	contentType string
	content     *io.SectionReader
	ranges      bool
}

func (d *download) serve(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Type", d.contentType)
	h.Set("Content-Disposition", `attachment; filename="`+quoted.Replace(d.name)+`"`)
	h.Set("Cache-Control", "no-cache, must-revalidate")
	if d.ranges {
		http.ServeContent(w, r, "", time.Time{}, d.content)
		return
	}
	h.Set("Content-Length", strconv.FormatInt(d.content.Size(), 10))
	w.WriteHeader(http.StatusOK)
	_, _ = io.Copy(w, d.content) // an error means the client left; there is nobody to tell
}

// quoted writes a file name between quotes. The name arrives as it was given, with
// directories and Chinese characters. Only characters that no header can carry are
// replaced.
var quoted = func() *strings.Replacer {
	pairs := []string{`\`, `\\`, `"`, `\"`, "\x7f", "_"}
	for control := range ' ' {
		pairs = append(pairs, string(control), "_")
	}
	return strings.NewReplacer(pairs...)
}()

package wechatsim

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"
)

// MediaType is the type parameter of an upload.
type MediaType string

// The types of media.
const (
	Image MediaType = "image"
	Voice MediaType = "voice"
	Video MediaType = "video"
	Thumb MediaType = "thumb"
)

// mediaKind is what WeChat says of a type.
type mediaKind struct {
	limit       int64  // of an upload, in bytes
	contentType string // of what a user sent
	extension   string
}

// Source of the limits: https://developers.weixin.qq.com/doc/service/api/material/temporary/api_uploadtempmedia
var mediaKinds = map[MediaType]mediaKind{
	Image: {10 << 20, "image/jpeg", ".jpg"},
	Voice: {2 << 20, "audio/amr", ".amr"},
	Video: {10 << 20, "video/mp4", ".mp4"},
	Thumb: {64 << 10, "image/jpeg", ".jpg"},
}

// hdVoice is what a page recorded and uploaded by the JS-SDK's uploadVoice.
// Source: https://developers.weixin.qq.com/doc/service/api/material/temporary/api_gethdvoice
var hdVoice = mediaKind{contentType: "voice/speex", extension: ".speex"}

// Media is a file that a user sent to an account, or that the account uploaded.
type Media struct {
	Type MediaType
	// FileName is the name that a download has; if empty, the media_id and an extension.
	FileName string
	// ContentType is the content type that a download has; if empty, the usual one of
	// the type.
	ContentType string
	// Content is the file. Where Size is given instead, the file is so many bytes of
	// [Generated], which may be more than fit into memory. One of the two must be given.
	Content []byte
	Size    int64
	// HDVoice marks a voice that a page uploaded through the JS-SDK.
	HDVoice bool
}

const (
	// keptMedia and keptMediaBytes bound what an account holds, so that a
	// simulator that runs for weeks does not grow. The oldest go first.
	keptMedia      = 1000
	keptMediaBytes = 256 << 20
)

// medium is a media that an account holds.
type medium struct {
	Media
	id      string
	expires time.Time
}

// open returns the content, for a reader of its own.
func (m *medium) open() *io.SectionReader {
	if m.Size == 0 {
		return io.NewSectionReader(bytes.NewReader(m.Content), 0, int64(len(m.Content)))
	}
	return Generated(m.id, m.Size)
}

// shelf is the media of an account.
type shelf struct {
	byID  map[string]*medium
	order []*medium // oldest first
	bytes int       // of content
}

func (s *shelf) add(m *medium, now time.Time) {
	s.order = append(s.order, m)
	s.byID[m.id] = m
	s.bytes += len(m.Content)
	for len(s.order) > keptMedia || s.bytes > keptMediaBytes || !now.Before(s.order[0].expires) {
		old := s.order[0]
		s.order = slices.Delete(s.order, 0, 1)
		delete(s.byID, old.id)
		s.bytes -= len(old.Content)
		if old == m {
			break // its lifetime is zero
		}
	}
}

// find returns a media that lives, or nil.
func (s *shelf) find(id string, now time.Time) *medium {
	if m := s.byID[id]; m != nil && now.Before(m.expires) {
		return m
	}
	return nil
}

// count returns how many media live.
func (s *shelf) count(now time.Time) int {
	n := 0
	for _, m := range s.order {
		if now.Before(m.expires) {
			n++
		}
	}
	return n
}

// AddMedia lets a user send a file to an account, of any size, and returns its
// media_id. The error says what is wrong with the media, or that there is no
// such account.
func (s *Sim) AddMedia(appid string, m Media) (mediaID string, err error) {
	kind, exists := mediaKinds[m.Type]
	switch {
	case !exists:
		return "", fmt.Errorf("wechatsim: no media type %q: image, voice, video or thumb", m.Type)
	case m.HDVoice && m.Type != Voice:
		return "", fmt.Errorf("wechatsim: an HD voice is of type %s", Voice)
	case m.Size < 0 || m.Size > 0 == (len(m.Content) > 0):
		return "", errors.New("wechatsim: a media has either content or a size")
	}
	if m.HDVoice {
		kind = hdVoice
	}
	m.Content = bytes.Clone(m.Content)
	s.mu.Lock()
	defer s.mu.Unlock()
	a, err := s.account(appid)
	if err != nil {
		return "", err
	}
	return s.keepMedia(a, m, kind, s.now()), nil
}

// keepMedia adds a media to an account's shelf and sets the fields that have a default.
func (s *Sim) keepMedia(a *account, m Media, kind mediaKind, now time.Time) (mediaID string) {
	id := randomText(64)
	if m.FileName == "" {
		m.FileName = id + kind.extension
	}
	if m.ContentType == "" {
		m.ContentType = kind.contentType
	}
	a.media.add(&medium{m, id, now.Add(s.settings.resolved().MediaLifetime)}, now)
	return id
}

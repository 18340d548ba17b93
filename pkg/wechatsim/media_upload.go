package wechatsim

import (
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
)

// uploadLimit bounds how much of an upload is read. It is well above the limit of every
// type, so that a file which is too large gets WeChat's answer. A file larger than
// uploadLimit gets that answer too, but it is not read to its end, and its connection is
// closed.
const uploadLimit = 20 << 20

// upload is the file of an upload call, read as it came in.
type upload struct {
	found       bool
	tooLarge    bool
	fileName    string
	contentType string
	content     []byte // no more than the type allows
}

// readUpload reads the form of an upload. It keeps the file of the first field "media",
// unless that is too large or of no known type. The error says that the client left. If
// the body is no form, there is no file.
func readUpload(r *http.Request, kind MediaType) (upload, error) {
	source := &sourceReader{Reader: r.Body}
	limited := io.LimitReader(source, uploadLimit)
	u := readForm(r.Header.Get("Content-Type"), limited, mediaKinds[kind].limit)
	_, _ = io.Copy(io.Discard, limited) // whatever follows
	if source.err != nil {
		return upload{}, source.err
	}
	return u, nil
}

func readForm(contentType string, body io.Reader, limit int64) upload {
	_, params, err := mime.ParseMediaType(contentType)
	if err != nil || params["boundary"] == "" {
		return upload{}
	}
	for form := multipart.NewReader(body, params["boundary"]); ; {
		part, err := form.NextRawPart()
		if err != nil {
			return upload{}
		}
		// Part.FileName would take the directories off.
		_, field, err := mime.ParseMediaType(part.Header.Get("Content-Disposition"))
		if err != nil || field["name"] != "media" || field["filename"] == "" {
			continue
		}
		content, err := io.ReadAll(io.LimitReader(part, limit+1))
		if err != nil {
			return upload{}
		}
		u := upload{found: true, fileName: field["filename"], contentType: part.Header.Get("Content-Type")}
		if int64(len(content)) > limit {
			u.tooLarge = true
			return u
		}
		u.content = content
		return u
	}
}

// sourceReader remembers that a connection failed. The reader of a form reports that
// like a mistake in the form.
type sourceReader struct {
	io.Reader
	err error
}

func (s *sourceReader) Read(p []byte) (int, error) {
	n, err := s.Reader.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		s.err = err
	}
	return n, err
}

// mediaUpload answers POST /cgi-bin/media/upload. It does not check formats. A field
// without a file name is no file: WeChat answers 41005 then.
// Source: https://developers.weixin.qq.com/doc/service/api/material/temporary/api_uploadtempmedia
func (s *Sim) mediaUpload(c *call) answer {
	a, refusal := s.bearer(c, http.MethodPost)
	if a == nil {
		return refusal
	}
	mediaType := MediaType(c.query.Get("type"))
	kind, exists := mediaKinds[mediaType]
	switch {
	case !exists:
		return refuse(codeMediaType, c.now)
	case !c.upload.found:
		return refuse(codeMediaMissing, c.now)
	case c.upload.tooLarge:
		return refuse(codeMediaSize, c.now)
	case len(c.upload.content) == 0:
		return refuse(codeEmptyMedia, c.now)
	}
	id := s.keepMedia(a, Media{
		Type:        mediaType,
		FileName:    c.upload.fileName,
		ContentType: c.upload.contentType,
		Content:     c.upload.content,
	}, kind, c.now)
	return grant(struct {
		Type      MediaType `json:"type"`
		MediaID   string    `json:"media_id"`
		CreatedAt int64     `json:"created_at"`
	}{mediaType, id, c.now.Unix()})
}

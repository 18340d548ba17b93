package relay

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"

	"google.golang.org/grpc/codes"

	"github.com/wxbroker/wxbroker/broker/internal/access"
	"github.com/wxbroker/wxbroker/broker/internal/wechat"
)

// Media is a file of WeChat's, or a part of it.
type Media struct {
	ContentType string
	FileName    string // as WeChat has it
	Size        int64  // of the whole file, -1 if WeChat does not say
	Part        *Part  // nil for the whole file
	VideoURL    string // where a video is; then there is no Body
	Body        io.ReadCloser
}

// Media opens a file. Range is a Range header, "" for the whole file.
func (r *Relay) Media(ctx context.Context, app *access.App, appid, api, mediaID, wanted string) (*Media, error) {
	if part, err := parseRange(wanted, maxSize); part == nil && err == nil {
		wanted = "" // WeChat may read something into what is no range
	}
	answer, err := r.Do(ctx, app, Call{
		AppID: appid, Kind: wechat.MediaAPI, Method: http.MethodGet, Path: api,
		Query: url.Values{"media_id": {mediaID}}.Encode(), Range: wanted,
	})
	if err != nil {
		return nil, err
	}
	m, err := r.media(answer, wanted)
	if err != nil || m.Body == nil {
		_ = answer.Body.Close() // what was of use is read
	}
	return m, err
}

func (r *Relay) media(answer *wechat.Answer, wanted string) (*Media, error) {
	if answer.Refusal != nil {
		return nil, r.refused(answer.Refusal)
	}
	unexpected := func(format string, args ...any) (*Media, error) {
		return nil, broken("WeChat's answer about a file %s", fmt.Sprintf(format, args...))
	}
	body := bufio.NewReader(answer.Body)
	m := &Media{ContentType: answer.Header.Get("Content-Type"), Size: answer.Length, Body: closing{body, answer.Body}}
	if _, parameters, err := mime.ParseMediaType(answer.Header.Get("Content-Disposition")); err == nil {
		m.FileName = parameters["filename"]
	} else if first, err := body.Peek(1); err == nil && first[0] == '{' {
		raw, err := io.ReadAll(io.LimitReader(body, maxAnswer))
		var video struct {
			URL string `json:"video_url"`
		}
		if err != nil || json.Unmarshal(raw, &video) != nil || video.URL == "" {
			return unexpected("is neither a file nor a video's address")
		}
		return &Media{ContentType: "application/json", Size: -1, VideoURL: video.URL}, nil
	}
	switch answer.Status {
	case http.StatusOK:
		if err := m.cut(wanted); err != nil {
			return nil, err
		}
		return m, nil
	case http.StatusPartialContent:
		said := answer.Header.Get("Content-Range")
		if m.Part, m.Size = partIn(said, wanted); m.Part == nil {
			return unexpected("has the range %q, which is not the one that was asked for", said)
		}
		m.Body = closing{&skipping{from: m.Body, left: m.Part.Length}, m.Body}
		return m, nil
	case http.StatusRequestedRangeNotSatisfiable:
		return nil, Refuse(codes.OutOfRange, "the file has not that range")
	default:
		return unexpected("is HTTP %d", answer.Status)
	}
}

// cut makes m the part that is wanted: WeChat gave the whole file.
func (m *Media) cut(wanted string) error {
	part, err := parseRange(wanted, m.Size)
	if err != nil {
		return Refuse(codes.OutOfRange, "%s", err.Error())
	}
	if part == nil {
		return nil
	}
	m.Part = part
	m.Body = closing{&skipping{m.Body, part.First, part.Length}, m.Body}
	return nil
}

// closing is a reader with what is to be closed.
type closing struct {
	io.Reader
	io.Closer
}

// skipping reads a part of a file that begins further back.
type skipping struct {
	from io.Reader
	skip int64
	left int64
}

func (s *skipping) Read(p []byte) (int, error) {
	if s.skip > 0 {
		n, err := io.CopyN(io.Discard, s.from, s.skip)
		s.skip -= n
		if err != nil {
			return 0, unexpectedEOF(err)
		}
	}
	if s.left == 0 {
		return 0, io.EOF
	}
	n, err := s.from.Read(p[:min(int64(len(p)), s.left)])
	if s.left -= int64(n); s.left > 0 {
		err = unexpectedEOF(err)
	}
	return n, err
}

func unexpectedEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

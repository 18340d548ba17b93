// Package media downloads files that pages or programs uploaded to WeChat. It calls
// WeChat's media/get through the broker. It gets a whole file, a part of one, or the
// address of a video.
//
// WeChat's answer is one of four things: a file, a part of a file, a JSON object with a
// video's address, or a JSON object with an errcode. Its head does not always say which
// (media.go). WeChat may ignore a range, and then the part is cut out here (part.go).
//
// The rule to keep: a file is passed on piece by piece as it arrives, and an answer that
// is not the wanted file is an error.
package media

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/wxbroker/wxbroker/edge/internal/broker"
	"github.com/wxbroker/wxbroker/pkg/wxapi"
	wxbrokerv1 "github.com/wxbroker/wxbroker/proto/wxbroker/v1"
)

// Request names a file.
type Request struct {
	AppID, MediaID string
	// HDVoice asks for a voice as the JS-SDK recorded it (speex, 16 kHz), not for its
	// AMR form.
	HDVoice bool
	// Range is a Range header in RFC 9110's form, "" for the whole file.
	Range string
}

// Head is what is known of a file before its bytes come. ContentType and FileName are
// WeChat's, and are not safe to use as they are.
type Head struct {
	ContentType string
	FileName    string // "" where WeChat gives none
	Size        int64  // of the whole file in bytes, -1 where WeChat does not give it
	Part        *Part  // nil for the whole file
	// VideoURL is the address of a video. With it no bytes follow.
	VideoURL string
}

// Sink takes a file. An error of its functions ends the download, and the download
// returns it.
type Sink struct {
	// Head is called once, before anything else.
	Head func(Head) error
	// Piece is called with each piece of the file, or of its part.
	Piece func([]byte) error
}

// Get downloads a file for the holder of the local key of that name. Its errors are
// those of [broker.Client.Download], and WeChat's refusals. The error is OUT_OF_RANGE if
// the file does not have the range.
func Get(ctx context.Context, b *broker.Client, key string, r Request, to Sink) error {
	if part, err := parseRange(r.Range, maxSize); part == nil && err == nil {
		r.Range = "" // the header is not a range, and WeChat might still take it for one
	}
	d := &download{wanted: r.Range, to: to}
	head := &wxbrokerv1.CallHead{
		Appid: r.AppID, Method: http.MethodGet, Path: wxapi.PathMedia, Proven: true,
		Query: url.Values{"media_id": {r.MediaID}}.Encode(), Range: r.Range,
	}
	if r.HDVoice {
		head.Path = wxapi.PathHDVoice
	}
	err := b.Download(ctx, key, head, broker.Sink{Head: d.head, Piece: d.piece})
	if err == nil || errors.Is(err, errEnough) {
		err = d.end()
	}
	return err
}

// errEnough ends a download when the whole part has come.
var errEnough = errors.New("all of the part has come")

// maxJSON bounds an answer that is not a file, in bytes.
const maxJSON = 64 << 10

// download turns WeChat's answer into a file.
type download struct {
	wanted string // the Range
	to     Sink

	answer *wxbrokerv1.CallAnswer
	file   Head
	begun  bool   // the answer is a file, and the sink has its head
	json   []byte // the bytes so far of an answer that is not a file
	skip   int64  // bytes before the part
	left   int64  // bytes of the part that are still to come, -1 for all bytes
}

// head notes the head of WeChat's answer. If the head says that the body is a file, it
// begins the file.
func (d *download) head(answer *wxbrokerv1.CallAnswer) error {
	d.answer, d.file = answer, Head{Size: -1}
	header := make(http.Header)
	for _, h := range answer.GetHeaders() {
		header.Add(h.GetName(), h.GetValue())
	}
	d.file.ContentType = header.Get("Content-Type")
	if answer.ContentLength != nil {
		d.file.Size = answer.GetContentLength()
	}
	if status := answer.GetStatus(); status == http.StatusPartialContent {
		contentRange := header.Get("Content-Range")
		if d.file.Part, d.file.Size = partIn(contentRange, d.wanted); d.file.Part == nil {
			return unexpected("has the range %q, which is not the one that was asked for", contentRange)
		}
	}
	if _, parameters, err := mime.ParseMediaType(header.Get("Content-Disposition")); err == nil {
		d.file.FileName = parameters["filename"]
		return d.begin()
	}
	return nil
}

// piece passes on a piece of a file. It collects the pieces of any other answer.
func (d *download) piece(piece []byte) error {
	if !d.begun && (len(d.json) > 0 || piece[0] == '{') {
		if d.json = append(d.json, piece...); len(d.json) > maxJSON {
			return unexpected("is neither a file nor a video's address")
		}
		return nil
	}
	if err := d.begin(); err != nil {
		return err
	}
	skipped := min(d.skip, int64(len(piece)))
	d.skip -= skipped
	piece = piece[skipped:]
	if d.left >= 0 {
		piece = piece[:min(d.left, int64(len(piece)))]
		d.left -= int64(len(piece))
	}
	if len(piece) > 0 {
		if err := d.to.Piece(piece); err != nil {
			return err
		}
	}
	if d.left == 0 {
		return errEnough
	}
	return nil
}

// begin gives the file's head to the sink, unless the sink has it already.
func (d *download) begin() error {
	if d.begun {
		return nil
	}
	d.begun, d.left = true, -1
	switch status := d.answer.GetStatus(); status {
	case http.StatusOK: // WeChat may have ignored the Range
		part, err := parseRange(d.wanted, d.file.Size)
		if err != nil {
			return wxapi.Refusal{Message: err.Error()}.Status(codes.OutOfRange)
		}
		if d.file.Part = part; part != nil {
			d.skip, d.left = part.First, part.Length
		}
	case http.StatusPartialContent:
		d.left = d.file.Part.Length
	case http.StatusRequestedRangeNotSatisfiable:
		return wxapi.Refusal{Message: "the file does not have that range"}.Status(codes.OutOfRange)
	default:
		return unexpected("is HTTP %d", status)
	}
	return d.to.Head(d.file)
}

// end finishes an answer that has ended. An answer that is not a file is a video's
// address or an error.
func (d *download) end() error {
	if len(d.json) == 0 {
		if err := d.begin(); err != nil {
			return err
		}
		if d.left > 0 {
			return unexpected("is shorter than it said")
		}
		return nil
	}
	var answer struct {
		ErrCode  wxapi.Code `json:"errcode"`
		ErrMsg   string     `json:"errmsg"`
		VideoURL string     `json:"video_url"`
	}
	switch err := json.Unmarshal(bytes.TrimSpace(d.json), &answer); {
	case err == nil && answer.ErrCode != 0:
		return answer.ErrCode.Refuse(answer.ErrMsg, time.Now())
	case err != nil || answer.VideoURL == "":
		return unexpected("is neither a file nor a video's address")
	}
	return d.to.Head(Head{ContentType: "application/json", Size: -1, VideoURL: answer.VideoURL})
}

// unexpected returns the error for an answer of WeChat's that is not as documented.
func unexpected(format string, args ...any) error {
	return wxapi.SystemError("WeChat's answer about a file %s", fmt.Sprintf(format, args...))
}

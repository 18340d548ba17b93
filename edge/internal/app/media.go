package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"mime"
	"strings"

	"google.golang.org/grpc/status"

	"github.com/wxbroker/wxbroker/edge/internal/broker"
	"github.com/wxbroker/wxbroker/edge/internal/download"
	"github.com/wxbroker/wxbroker/edge/internal/filename"
	"github.com/wxbroker/wxbroker/edge/internal/media"
	"github.com/wxbroker/wxbroker/pkg/credential"
	"github.com/wxbroker/wxbroker/pkg/daemon"
	"github.com/wxbroker/wxbroker/pkg/uplink"
	"github.com/wxbroker/wxbroker/pkg/wxapi"
)

type mediaCommand struct {
	Get mediaGetCommand `cmd:"" help:"Download what a page uploaded, or an app, and print where it is saved."`
}

type mediaGetCommand struct {
	MediaID string `arg:"" name:"MEDIA_ID" help:"Which file: what wx.uploadImage, wx.uploadVoice or media/upload answered. One that begins with a dash stands last, after --."`
	Output  string `short:"o" required:"" placeholder:"FILE|DIR" help:"Where to save it. In a directory it gets the name that WeChat has for it."`
	Force   bool   `help:"Replace a file that is there."`
	HD      bool   `name:"hd" help:"Voice as it was recorded (speex, 16 kHz), not the AMR of it."`
	AppID   string `name:"appid" placeholder:"ID" help:"Account that it was uploaded to. Without it, the only one that the broker grants downloads of."`
	Broker  string `required:"" env:"WXEDGE_BROKER" placeholder:"HOST:PORT" help:"The broker's gRPC address, or unix:/path. On another machine it has to speak TLS."`
	uplink.Flags
}

// Run downloads and prints the file's path.
func (c mediaGetCommand) Run(r daemon.Running) error {
	if !wxapi.IsMediaID(c.MediaID) {
		return errors.New("MEDIA_ID is not one that WeChat gives: letters, digits, _ and -")
	}
	target, err := download.Open(c.Output, c.Force)
	if err != nil {
		return err
	}
	defer target.Close()
	link, err := c.Open(r.Context, c.Broker)
	if err != nil {
		return err
	}
	for _, warning := range link.Warnings() {
		fmt.Fprintf(r.Stderr, "%s: warning: %s\n", program, warning)
	}
	client, err := broker.New(c.Broker, r.Version, link.Dial())
	if err != nil {
		return err
	}
	defer client.Close()
	video, err := c.download(r.Context, client, target)
	switch {
	case err != nil:
		return fmt.Errorf("downloading %s: %w", c.MediaID, inWords(err))
	case strings.ContainsFunc(video, func(r rune) bool { return r <= ' ' || r > '~' }):
		return errors.New("nothing was saved: it is a video, and its address has characters that cannot be shown")
	case video != "":
		fmt.Fprintln(r.Stdout, video)
		return errors.New("nothing was saved: a video has an address of its own to be downloaded from, the one above")
	}
	path, err := target.Commit()
	if err != nil {
		return err
	}
	fmt.Fprintln(r.Stdout, path)
	return nil
}

// errVideo ends the download of a video, for which WeChat gives an address and no
// file.
var errVideo = errors.New("it is a video")

// download writes the file to target. For a video it returns the address instead.
func (c mediaGetCommand) download(ctx context.Context, client *broker.Client, target *download.Target) (video string, err error) {
	appid := c.AppID
	if appid == "" {
		if appid, err = client.OnlyAccount(ctx, program+" media get", credential.Media); err != nil {
			return "", err
		}
	}
	size, got := int64(-1), int64(0)
	err = media.Get(ctx, client, "", media.Request{AppID: appid, MediaID: c.MediaID, HDVoice: c.HD}, media.Sink{
		Head: func(head media.Head) error {
			if video = head.VideoURL; video != "" {
				return errVideo
			}
			size = head.Size
			return target.Begin(cmp.Or(filename.Safe(head.FileName), c.MediaID+extension(head.ContentType)))
		},
		Piece: func(piece []byte) error {
			got += int64(len(piece))
			_, err := target.Write(piece)
			return err
		},
	})
	switch {
	case errors.Is(err, errVideo):
		return video, nil
	case err == nil && size >= 0 && size != got:
		return "", errors.New("it did not arrive whole")
	}
	return "", err
}

// extensions are those of the types that WeChat takes. The table of the machine is
// not used: it differs from one machine to the next.
var extensions = map[string]string{
	"image/jpeg": ".jpg", "image/jpg": ".jpg", "image/png": ".png", "image/gif": ".gif", "image/bmp": ".bmp",
	"audio/amr": ".amr", "audio/mpeg": ".mp3", "audio/mp3": ".mp3", "audio/speex": ".speex", "voice/speex": ".speex",
	"video/mp4": ".mp4", "video/mpeg4": ".mp4",
}

func extension(contentType string) string {
	kind, _, _ := mime.ParseMediaType(contentType) // "" for none
	return extensions[kind]
}

// inWords returns the error of a call in words for a person, without gRPC's own.
func inWords(err error) error {
	s, ok := status.FromError(err)
	if !ok {
		return err
	}
	if refusal, ok := wxapi.RefusalIn(err); ok {
		return fmt.Errorf("WeChat answers %d: %s", refusal.Code, refusal.Message)
	}
	return fmt.Errorf("%s: %s", s.Code(), s.Message())
}

package wechatsim

import "net/http"

// userControls are what the users of WeChat do: follow, open pages, send files.
func (s *Sim) userControls(mux *http.ServeMux) {
	mux.Handle("POST /sim/subscribed", action(func(q struct {
		AppID      string `json:"appid"`
		OpenID     string `json:"openid"`
		Subscribed bool   `json:"subscribed"`
	},
	) error {
		return s.SetSubscribed(q.AppID, q.OpenID, q.Subscribed)
	}))
	type code struct {
		Code string `json:"code"`
	}
	mux.Handle("POST /sim/authorize", question(func(q struct {
		AppID string `json:"appid"`
		Scope string `json:"scope"`
		User  User   `json:"user"`
	},
	) (code, error) {
		c, err := s.Authorize(q.AppID, q.User, q.Scope)
		return code{c}, err
	}))
	type mediaID struct {
		MediaID string `json:"media_id"`
	}
	mux.Handle("POST /sim/media", question(func(q struct {
		AppID       string    `json:"appid"`
		Type        MediaType `json:"type"`
		FileName    string    `json:"file_name"`
		ContentType string    `json:"content_type"`
		Content     []byte    `json:"content"` // in base64
		Size        int64     `json:"size"`
		HDVoice     bool      `json:"hd_voice"`
	},
	) (mediaID, error) {
		id, err := s.AddMedia(q.AppID, Media{
			Type: q.Type, FileName: q.FileName, ContentType: q.ContentType,
			Content: q.Content, Size: q.Size, HDVoice: q.HDVoice,
		})
		return mediaID{id}, err
	}))
}

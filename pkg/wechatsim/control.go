package wechatsim

import (
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"time"
)

// controlHandler serves the simulator's own paths. There is no CORS, and a browser's
// requests from other sites are refused: a web page that a developer visits must not be
// able to rotate tokens in a simulator on the same machine.
func (s *Sim) controlHandler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", s.servePage)
	mux.HandleFunc("GET /sim/verify", s.serveVerify)
	mux.HandleFunc("GET /sim/state", s.serveState)
	mux.HandleFunc("GET /sim/messages", s.serveMessages)
	mux.HandleFunc("GET /sim/faults", func(w http.ResponseWriter, _ *http.Request) {
		list := []faultJSON{}
		for _, f := range s.Faults() {
			list = append(list, faultToJSON(f))
		}
		writeJSON(w, http.StatusOK, encode(list))
	})
	mux.HandleFunc("DELETE /sim/faults", func(w http.ResponseWriter, _ *http.Request) {
		s.ClearFaults()
		writeJSON(w, http.StatusOK, done)
	})
	mux.Handle("POST /sim/faults", action(func(q faultJSON) error {
		f, err := q.fault()
		if err != nil {
			return err
		}
		return s.Inject(f)
	}))
	type account struct {
		AppID string `json:"appid"`
	}
	mux.Handle("POST /sim/rotate-token", action(func(q account) error { return s.RotateToken(q.AppID) }))
	mux.Handle("POST /sim/force-token", action(func(q account) error { return s.ForceToken(q.AppID) }))
	mux.Handle("POST /sim/clear-quota", action(func(q account) error { return s.ClearQuota(q.AppID) }))
	mux.Handle("POST /sim/kill-token", action(func(q struct {
		AppID string   `json:"appid"`
		API   TokenAPI `json:"api"`
		Stuck bool     `json:"stuck"`
	},
	) error {
		if q.Stuck && q.API == Classic {
			return errors.New("wechatsim: a classic token cannot be stuck: each call mints a new one")
		}
		return s.killToken(q.AppID, q.API, q.Stuck)
	}))
	mux.Handle("POST /sim/kill-ticket", action(func(q struct {
		AppID string     `json:"appid"`
		Type  TicketType `json:"type"`
	},
	) error {
		return s.KillTicket(q.AppID, q.Type)
	}))
	mux.Handle("POST /sim/secret", action(func(q struct {
		AppID  string `json:"appid"`
		Secret string `json:"secret"`
	},
	) error {
		if q.Secret == "" {
			return errors.New("wechatsim: secret is empty")
		}
		return s.SetSecret(q.AppID, q.Secret)
	}))
	mux.Handle("POST /sim/allow-list", action(func(q struct {
		AppID string   `json:"appid"`
		Allow []string `json:"allow"`
	},
	) error {
		var allow []netip.Prefix
		for _, entry := range q.Allow {
			prefix, err := ParseAllow(entry)
			if err != nil {
				return err
			}
			allow = append(allow, prefix)
		}
		return s.SetAllowList(q.AppID, allow...)
	}))
	s.userControls(mux)
	return http.NewCrossOriginProtection().Handler(mux)
}

func (s *Sim) serveVerify(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	v := s.Verify(q.Get("appid"), q.Get("noncestr"), q.Get("timestamp"), q.Get("url"), q.Get("signature"))
	writeJSON(w, http.StatusOK, encode(v))
}

// serveState describes the account named, or the only one there is.
func (s *Sim) serveState(w http.ResponseWriter, r *http.Request) {
	st, err := s.stateAsked(r)
	if err != nil {
		writeError(w, err)
		return
	}
	writeJSON(w, http.StatusOK, encode(st))
}

// serveMessages lists what the account named, or the only one there is, has
// sent.
func (s *Sim) serveMessages(w http.ResponseWriter, r *http.Request) {
	st, err := s.stateAsked(r)
	if err != nil {
		writeError(w, err)
		return
	}
	writeJSON(w, http.StatusOK, encode(append([]Message{}, s.Messages(st.AppID)...)))
}

func (s *Sim) stateAsked(r *http.Request) (State, error) {
	appid := r.URL.Query().Get("appid")
	if ids := s.AppIDs(); appid == "" && len(ids) == 1 {
		appid = ids[0]
	} else if appid == "" {
		return State{}, fmt.Errorf("wechatsim: which appid: %s", strings.Join(ids, ", "))
	}
	return s.State(appid)
}

// faultJSON is a [Fault] in the form that the control calls have.
type faultJSON struct {
	Kind      FaultKind `json:"kind"`
	Path      string    `json:"path,omitempty"`
	Count     int       `json:"count,omitempty"`
	Code      int       `json:"code,omitempty"`
	Message   string    `json:"message,omitempty"`
	Status    int       `json:"status,omitempty"`
	Body      string    `json:"body,omitempty"`
	Location  string    `json:"location,omitempty"`
	Duration  string    `json:"duration,omitempty"` // as in "1m30s"
	Megabytes int       `json:"megabytes,omitempty"`
}

func (q faultJSON) fault() (Fault, error) {
	f := Fault{
		Kind: q.Kind, Path: q.Path, Count: q.Count, Code: q.Code, Message: q.Message,
		Status: q.Status, Body: q.Body, Location: q.Location, Megabytes: q.Megabytes,
	}
	if q.Duration == "" {
		return f, nil
	}
	var err error
	if f.Duration, err = time.ParseDuration(q.Duration); err != nil {
		return Fault{}, fmt.Errorf("wechatsim: fault: %w", err)
	}
	return f, nil
}

func faultToJSON(f Fault) faultJSON {
	q := faultJSON{
		Kind: f.Kind, Path: f.Path, Count: f.Count, Code: f.Code, Message: f.Message,
		Status: f.Status, Body: f.Body, Location: f.Location, Megabytes: f.Megabytes,
	}
	if f.Duration != 0 {
		q.Duration = f.Duration.String()
	}
	return q
}

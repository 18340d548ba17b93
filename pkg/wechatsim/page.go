package wechatsim

import (
	"bytes"
	_ "embed"
	"html/template"
	"net/http"
)

//go:embed page.html
var pageSource string

var page = template.Must(template.New("page").Parse(pageSource))

// servePage shows what this program is and what happened. The page has no secret and
// loads nothing from another host.
func (s *Sim) servePage(w http.ResponseWriter, _ *http.Request) {
	var view struct {
		Accounts []State
		Unknown  []Counter
		Faults   []faultJSON
	}
	for _, appid := range s.AppIDs() {
		if st, err := s.State(appid); err == nil {
			view.Accounts = append(view.Accounts, st)
		}
	}
	s.mu.Lock()
	view.Unknown = s.counters(UnknownApp)
	s.mu.Unlock()
	for _, f := range s.Faults() {
		view.Faults = append(view.Faults, faultToJSON(f))
	}
	var b bytes.Buffer
	if err := page.Execute(&b, view); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Security-Policy", "default-src 'none'; img-src data:; style-src 'unsafe-inline'")
	w.Header().Set("Cache-Control", "no-store")
	writeText(w, http.StatusOK, "text/html; charset=utf-8", b.String())
}

package wechatsim

import (
	"encoding/json"
	"fmt"
	"net/http"
)

var done = []byte(`{"ok":true}`)

// action decodes a JSON body and does something with it.
func action[T any](do func(T) error) http.Handler {
	return question(func(q T) (json.RawMessage, error) { return done, do(q) })
}

// question decodes a JSON body and answers with the result of do.
func question[T, R any](do func(T) (R, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var q T
		d := json.NewDecoder(http.MaxBytesReader(w, r.Body, bodyLimit))
		d.DisallowUnknownFields()
		if err := d.Decode(&q); err != nil {
			writeError(w, fmt.Errorf("wechatsim: body: %w", err))
			return
		}
		result, err := do(q)
		if err != nil {
			writeError(w, err)
			return
		}
		writeJSON(w, http.StatusOK, encode(result))
	})
}

func writeError(w http.ResponseWriter, err error) {
	writeJSON(w, http.StatusBadRequest, encode(map[string]string{"error": err.Error()}))
}

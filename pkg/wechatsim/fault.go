package wechatsim

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// FaultKind is a way in which a call goes wrong.
type FaultKind string

// The kinds of faults. Unless it says otherwise, the call has no effect.
const (
	// FaultCode answers Code and Message (WeChat's own words by default).
	FaultCode FaultKind = "errcode"
	// FaultStatus answers the HTTP status Status with Body as plain text.
	FaultStatus FaultKind = "status"
	// FaultHang answers nothing until the client leaves or Duration is over
	// (zero: for ever), then closes the connection.
	FaultHang FaultKind = "hang"
	// FaultDelay waits for Duration, then lets the call take its course: the
	// next fault that matches, or the true answer. A client that leaves while
	// it waits leaves without effect.
	FaultDelay FaultKind = "delay"
	// FaultReset resets the connection: with RST where it is TCP.
	FaultReset FaultKind = "reset"
	// FaultTruncate lets the call take effect and sends half of the answer, also where
	// that is a file.
	FaultTruncate FaultKind = "truncate"
	// FaultEmpty answers 200 with no body.
	FaultEmpty FaultKind = "empty"
	// FaultOversize answers with JSON that does not end before Megabytes
	// (default 64), and then breaks off.
	FaultOversize FaultKind = "oversize"
	// FaultHTML answers a web page, Body if set, with Status (default 200), as
	// a gateway or a captive portal does.
	FaultHTML FaultKind = "html"
	// FaultLost lets the call take effect and resets the connection: the token is
	// rotated, and the caller does not learn of it.
	FaultLost FaultKind = "lost"
	// FaultRedirect sends the client to Location with Status (default 302).
	FaultRedirect FaultKind = "redirect"
	// FaultMalformed answers Body, by default broken JSON, as JSON.
	FaultMalformed FaultKind = "malformed"
	// FaultEcho answers Code (default 40013) with a message that repeats the request
	// with its secret.
	FaultEcho FaultKind = "echo"
)

// Fault makes calls go wrong. Setting a field that its kind does not use is an error,
// so that no test relies on a fault that does something else.
type Fault struct {
	Kind FaultKind
	// Path is the API to hit, one of the Path constants; empty hits all.
	Path string
	// Count is how many calls to hit; zero hits all until [Sim.ClearFaults].
	Count int

	Code      int
	Message   string
	Status    int
	Body      string
	Location  string
	Duration  time.Duration
	Megabytes int
}

// usedFields says which fields have a meaning for a kind; those with a star
// must be set.
var usedFields = map[FaultKind]string{
	FaultCode:      "code* message",
	FaultStatus:    "status* body",
	FaultHang:      "duration",
	FaultDelay:     "duration*",
	FaultReset:     "",
	FaultTruncate:  "",
	FaultEmpty:     "",
	FaultOversize:  "megabytes",
	FaultHTML:      "status body",
	FaultLost:      "",
	FaultRedirect:  "status location*",
	FaultMalformed: "body",
	FaultEcho:      "code",
}

func (f Fault) validate() error {
	used, known := usedFields[f.Kind]
	switch {
	case !known:
		return fmt.Errorf("unknown kind %q", f.Kind)
	case f.Path != "" && apis[f.Path] == nil:
		return fmt.Errorf("no API at path %q", f.Path)
	case f.Count < 0 || f.Duration < 0 || f.Megabytes < 0:
		return errors.New("count, duration and megabytes cannot be negative")
	case f.Status != 0 && (f.Status < 200 || f.Status > 599):
		return fmt.Errorf("status %d is not between 200 and 599", f.Status)
	case f.Kind == FaultRedirect && f.Status != 0 && f.Status/100 != 3:
		return fmt.Errorf("status %d does not redirect", f.Status)
	}
	if _, err := url.Parse(f.Location); err != nil {
		return fmt.Errorf("location: %w", err)
	}
	fields := strings.Fields(used)
	for name, set := range map[string]bool{
		"code":      f.Code != 0,
		"message":   f.Message != "",
		"status":    f.Status != 0,
		"body":      f.Body != "",
		"location":  f.Location != "",
		"duration":  f.Duration != 0,
		"megabytes": f.Megabytes != 0,
	} {
		if set && !slices.Contains(fields, name) && !slices.Contains(fields, name+"*") {
			return fmt.Errorf("kind %q does not use %s", f.Kind, name)
		}
		if !set && slices.Contains(fields, name+"*") {
			return fmt.Errorf("kind %q needs %s", f.Kind, name)
		}
	}
	return nil
}

// withDefaults sets the fields that have a default.
func (f Fault) withDefaults() Fault {
	switch f.Kind {
	case FaultOversize:
		if f.Megabytes == 0 {
			f.Megabytes = 64
		}
	case FaultHTML:
		if f.Status == 0 {
			f.Status = http.StatusOK
		}
		if f.Body == "" {
			f.Body = "<html><head><title>502 Bad Gateway</title></head><body>stgw</body></html>"
		}
	case FaultRedirect:
		if f.Status == 0 {
			f.Status = http.StatusFound
		}
	case FaultMalformed:
		if f.Body == "" {
			f.Body = `{"access_token":"80_`
		}
	case FaultEcho:
		if f.Code == 0 {
			f.Code = codeInvalidAppID
		}
	default: // nothing is left open
	}
	return f
}

// Inject adds a fault after the others. Of the faults that match a call the first
// applies. Only a delay lets the faults after it apply as well. The error says what is
// wrong with the fault.
func (s *Sim) Inject(f Fault) error {
	if err := f.validate(); err != nil {
		return fmt.Errorf("wechatsim: fault: %w", err)
	}
	f = f.withDefaults()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = append(s.faults, &f)
	return nil
}

// ClearFaults removes all faults. Calls that already hang go on hanging.
func (s *Sim) ClearFaults() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = nil
}

// Faults returns the faults in force. Count is how many calls each still hits.
func (s *Sim) Faults() []Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	faults := make([]Fault, 0, len(s.faults))
	for _, f := range s.faults {
		faults = append(faults, *f)
	}
	return faults
}

// faultsFor takes the faults that apply to a call, in order, and counts them
// down.
func (s *Sim) faultsFor(c *call) []Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	var hit []Fault
	var left []*Fault
	blocked := false
	for _, f := range s.faults {
		applies := !blocked && (f.Path == "" || f.Path == c.path)
		if applies {
			hit = append(hit, *f)
			blocked = f.Kind != FaultDelay
		}
		if applies && f.Count > 0 {
			if f.Count--; f.Count == 0 {
				continue // that was its last call
			}
		}
		left = append(left, f)
	}
	s.faults = left
	return hit
}

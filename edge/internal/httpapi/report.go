package httpapi

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"strings"
	"time"

	"github.com/wxbroker/wxbroker/edge/internal/audit"
	"github.com/wxbroker/wxbroker/edge/internal/broker"
	"github.com/wxbroker/wxbroker/pkg/credential"
)

const (
	// maxValue bounds a credential that is reported, in bytes.
	maxValue = 4 << 10
	// catchUp is how long the answer to a report waits for this edge to hold the newer
	// value. It is as long as a rotation may take to reach every edge.
	catchUp = 2 * time.Second
)

// reportNames are the parameters of a report.
var reportNames = parameterNames{"appid": anywhere, "kind": anywhere, "value": inBody, "sha256": anywhere}

type reportAnswer struct {
	Reported int64 `json:"reported_version"`
	Current  int64 `json:"current_version"`
}

// report tells the broker that WeChat refused a credential, and answers with
// what the broker found out.
func (a *API) report(r *http.Request) (answer any, err error) {
	entry := audit.Entry{Action: audit.Report}
	defer func() { a.audit(r, entry, err) }()
	if entry.LocalKey, err = a.unlock(r, callsWeChat); err != nil {
		return nil, err
	}
	given, err := read(r, reportNames)
	if err != nil {
		return nil, err
	}
	refused, err := given.report()
	if err != nil {
		return nil, err
	}
	appid, err := a.State.AppID(refused.AppID, refused.Kind)
	entry.AppID, entry.Kind = cmp.Or(appid, refused.AppID), refused.Kind
	if err != nil {
		return nil, err
	}
	refused.AppID = appid
	versions, err := a.Broker.Report(r.Context(), entry.LocalKey, refused)
	if err != nil {
		return nil, brokerRefusal(err, "report")
	}
	if versions.Current > versions.Reported { // so that the caller's next request here gets the newer value
		ctx, cancel := context.WithTimeout(r.Context(), catchUp)
		defer cancel()
		a.State.Await(ctx, refused.AppID, refused.Kind, versions.Current)
	}
	return reportAnswer(versions), nil
}

// report checks the parameters of a report. No error repeats a value or a hash.
func (given rawParameters) report() (broker.Report, error) {
	var r broker.Report
	var err error
	if r.AppID, err = given.appid(); err != nil {
		return broker.Report{}, err
	}
	if r.Kind = credential.Kind(given.value("kind")); !r.Kind.IsKnown() {
		var names []string
		for _, k := range credential.Kinds() {
			names = append(names, string(k))
		}
		last := len(names) - 1
		return broker.Report{}, refuse(http.StatusBadRequest, "kind has to be %s or %s", strings.Join(names[:last], ", "), names[last])
	}
	value, hash := given["value"], given["sha256"]
	switch {
	case (value == nil) == (hash == nil):
		return broker.Report{}, refuse(http.StatusBadRequest, "send either value, the credential that WeChat refused, or its sha256")
	case hash != nil:
		decoded, err := hex.DecodeString(hash[0])
		if err != nil || len(decoded) != sha256.Size {
			return broker.Report{}, refuse(http.StatusBadRequest, "sha256 is not the %d hexadecimal digits of a SHA-256", hex.EncodedLen(sha256.Size))
		}
		r.Hash = [sha256.Size]byte(decoded)
	case len(value[0]) > maxValue:
		return broker.Report{}, refuse(http.StatusBadRequest, "value has more than %d bytes, as no credential has", maxValue)
	case value[0] == "" || strings.ContainsFunc(value[0], func(r rune) bool { return r <= ' ' || r > '~' }):
		return broker.Report{}, refuse(http.StatusBadRequest, "value is empty, or has a space or a character that no credential has")
	default:
		r.Hash = sha256.Sum256([]byte(value[0]))
	}
	return r, nil
}

package app

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/wxbroker/wxbroker/pkg/credential"
	wxbrokerv1 "github.com/wxbroker/wxbroker/proto/wxbroker/v1"
)

// table prints rows in columns. Tabs part the cells of a row.
type table struct{ *tabwriter.Writer }

func newTable(w io.Writer) table { return table{tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)} }

func (t table) row(cells ...any) {
	text := make([]string, len(cells))
	for i, c := range cells {
		text[i] = fmt.Sprint(c)
	}
	fmt.Fprintln(t, strings.Join(text, "\t")) // Flush returns the error
}

// printStatus prints the broker's state. Lines that need a person come first.
func printStatus(w io.Writer, s *wxbrokerv1.GetStatusResponse) error {
	now := s.GetServerTime().AsTime()
	t := newTable(w)
	fmt.Fprintf(t, "wxbroker %s, up %s\n", s.GetVersion(), span(now.Sub(s.GetStartTime().AsTime())))
	if aside := s.GetSetAside(); aside != nil {
		fmt.Fprintf(t, "! the database was damaged and is set aside as %s: %s\n", aside.GetPath(), aside.GetReason())
	}
	if failure := s.GetConfiguration().GetFailure(); failure != "" {
		fmt.Fprintf(t, "! the configuration file is not in use as it is now: %s\n", failure)
	}
	for _, a := range s.GetAccounts() {
		fmt.Fprintln(t)
		t.account(a, now)
	}
	fmt.Fprintln(t)
	t.row("UPSTREAM", "STATE")
	for _, u := range s.GetUpstreams() {
		text := "standing by"
		if u.GetInUse() {
			text = "in use"
		}
		if u.GetFailedTime() != nil {
			text += fmt.Sprintf("; failed %s ago: %s", span(now.Sub(u.GetFailedTime().AsTime())), u.GetFailure())
		}
		t.row(u.GetHost(), text)
	}
	fmt.Fprintln(t)
	if len(s.GetEdges()) == 0 {
		fmt.Fprintln(t, "no edges")
	} else {
		t.row("EDGE", "APP", "VERSION", "ADDRESS", "CONNECTED FOR", "STATE")
	}
	for _, e := range s.GetEdges() {
		text := "current"
		if e.GetBehind() > 0 {
			text = fmt.Sprintf("%d credentials behind", e.GetBehind())
		}
		t.row(e.GetName(), e.GetApp(), e.GetVersion(), e.GetAddress(), span(now.Sub(e.GetSince().AsTime())), text)
	}
	return t.Flush()
}

// printAccount prints one account as it is now.
func printAccount(w io.Writer, a *wxbrokerv1.AccountStatus) error {
	t := newTable(w)
	t.account(a, time.Now())
	return t.Flush()
}

// account prints one account. Lines that need a person come first.
func (t table) account(a *wxbrokerv1.AccountStatus, now time.Time) {
	fmt.Fprintln(t, a.GetAppid())
	for _, sentence := range a.GetAdvice() {
		fmt.Fprintf(t, "! %s\n", sentence)
	}
	t.row("CREDENTIAL", "VERSION", "EXPIRES", "NEXT CALL", "STATE")
	for _, c := range a.GetCredentials() {
		t.row(kindName(c.GetKind()), version(c.GetVersion()), in(c.GetExpireTime(), now), in(c.GetNextCallTime(), now), state(c, now))
	}
	t.row("API", "CALLS", "LIMIT", "COUNTED ANEW")
	for _, b := range a.GetBudget() {
		if b.GetUsed() > 0 { // not every account uses every API
			t.row(b.GetApi(), b.GetUsed(), b.GetLimit(), in(b.GetResetTime(), now))
		}
	}
}

// state says in a few words how a credential is.
func state(c *wxbrokerv1.CredentialStatus, now time.Time) string {
	words := []string{"good"}
	switch {
	case c.GetVersion() == 0:
		words[0] = "none"
	case c.GetRefused():
		words[0] = "refused by WeChat"
	case c.GetUndated():
		words[0] = "of unknown age, not handed out"
	case !c.GetExpireTime().AsTime().After(now):
		words[0] = "expired"
	}
	if f := c.GetFailure(); f != nil {
		words = append(words, fmt.Sprintf("%s for %s, %d calls failed", f.GetClass(), span(now.Sub(f.GetSince().AsTime())), f.GetCount()))
	}
	if c.GetUnsaved() {
		words = append(words, "not in the database")
	}
	if n := c.GetEarlyDeaths(); n > 0 {
		words = append(words, fmt.Sprintf("%d ended early in 24 h", n))
	}
	return strings.Join(words, "; ")
}

// printQuota prints our count of calls beside WeChat's.
func printQuota(w io.Writer, appid string, q *wxbrokerv1.GetQuotaResponse) error {
	t := newTable(w)
	fmt.Fprintf(t, "%s\n", appid)
	t.row("API", "OURS", "LIMIT", "WECHAT'S", "LIMIT", "LEFT", "")
	for _, c := range q.GetApis() {
		cells := []any{c.GetOurs().GetApi(), c.GetOurs().GetUsed(), c.GetOurs().GetLimit(), "-", "-", "-", c.GetFailure()}
		if theirs := c.GetWechat(); theirs != nil {
			cells[3], cells[4], cells[5] = theirs.GetUsed(), theirs.GetDailyLimit(), theirs.GetRemain()
			if theirs.GetUsed() > c.GetOurs().GetUsed()+theirs.GetUsed()/20 { // WeChat's count is off by a percent or so
				cells[6] = "WeChat counts more than the broker: something else calls this API for this appid"
			}
		}
		t.row(cells...)
	}
	if len(q.GetApps()) > 0 {
		t.row()
		t.row("APP", "API", "TODAY", "LIMIT")
	}
	for _, c := range q.GetApps() {
		limit := "-"
		if c.Limit != nil {
			limit = strconv.FormatInt(c.GetLimit(), 10)
		}
		t.row(c.GetApp(), c.GetApi(), c.GetUsed(), limit)
	}
	if len(q.GetStopped()) > 0 {
		t.row()
		t.row("NOT CALLED NOW", "WECHAT SAID", "UNTIL")
	}
	for _, s := range q.GetStopped() {
		t.row(s.GetApi(), s.GetErrcode(), s.GetUntilTime().AsTime().UTC().Format(time.RFC3339))
	}
	return t.Flush()
}

func kindName(k wxbrokerv1.CredentialKind) string {
	if kind, ok := credential.KindFromWire(k); ok {
		return string(kind)
	}
	return k.String()
}

func version(v int64) string {
	if v == 0 {
		return "-"
	}
	return strconv.FormatInt(v, 10)
}

// in says how far away a moment is, "-" for none.
func in(at *timestamppb.Timestamp, now time.Time) string {
	switch {
	case at == nil:
		return "-"
	case at.AsTime().Before(now):
		return span(now.Sub(at.AsTime())) + " ago"
	default:
		return "in " + span(at.AsTime().Sub(now))
	}
}

// span is a duration in whole seconds.
func span(d time.Duration) string { return d.Round(time.Second).String() }

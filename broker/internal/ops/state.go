package ops

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/wxbroker/wxbroker/broker/internal/keeper"
	"github.com/wxbroker/wxbroker/broker/internal/snapshot"
	"github.com/wxbroker/wxbroker/pkg/wxapi"
)

// descs describe every metric that state collects.
var descs []*prometheus.Desc

// desc describes one metric and adds it to descs.
func desc(name, help string, labels ...string) *prometheus.Desc {
	d := prometheus.NewDesc(name, help, labels, nil)
	descs = append(descs, d)
	return d
}

var (
	versionDesc = desc("wxbroker_credential_version",
		"Version of the current credential: when it was minted, milliseconds since 1970; 0 while there is none.", "appid", "kind")
	expiryDesc = desc("wxbroker_credential_expiry_timestamp_seconds",
		"When the current credential hard-expires, seconds since 1970; absent while there is none.", "appid", "kind")
	nextCallDesc = desc("wxbroker_credential_next_call_timestamp_seconds",
		"When WeChat is called next for the credential, seconds since 1970.", "appid", "kind")
	unsavedDesc = desc("wxbroker_credential_unsaved",
		"1 while the current credential could not be written to the database.", "appid", "kind")
	failingDesc = desc("wxbroker_credential_failing",
		"1 while WeChat calls for the credential fail, labelled with the class of the last failure.", "appid", "kind", "class")
	earlyDeathsDesc = desc("wxbroker_credential_early_deaths",
		"How many values ended before their time in the last 24 hours: more than one means that something else refreshes this appid.", "appid", "kind")

	usedDesc = desc("wxbroker_budget_used",
		"Calls of the API that were counted today (UTC+8; clear_quota: this month).", "appid", "api")
	limitDesc = desc("wxbroker_budget_limit",
		"Calls of the API that the broker allows itself in that time.", "appid", "api")
	uncountedDesc = desc("wxbroker_budget_unsaved",
		"1 while the count could not be written to the database.", "appid", "api")

	edgesDesc = desc("wxbroker_edges",
		"Edges with an open stream.")
	behindDesc = desc("wxbroker_edges_behind",
		"Edges with an open stream that have not acknowledged the current version of every credential they may have.")
	upstreamDesc = desc("wxbroker_upstream_in_use",
		"1 for the host of WeChat's that the next call goes to, 0 for the others.", "host")

	setAsideDesc = desc("wxbroker_database_set_aside",
		"1 when the database was damaged at the start and set aside, until the next start.")
	loadedDesc = desc("wxbroker_config_load_timestamp_seconds",
		"When the configuration in use was taken into use, seconds since 1970.")
	inUseDesc = desc("wxbroker_config_in_use",
		"1 while the configuration file as it is now is in use, 0 after a reload that was refused.")
	appsDesc = desc("wxbroker_apps",
		"Apps in the configuration; 0 means that whoever can connect may do everything.")
)

// state collects the broker's state. It takes one snapshot of the whole for each scrape.
type state struct{ source *snapshot.Source }

func (state) Describe(to chan<- *prometheus.Desc) {
	for _, d := range descs {
		to <- d
	}
}

func (s state) Collect(metrics chan<- prometheus.Metric) {
	gauge := func(desc *prometheus.Desc, value float64, labels ...string) {
		metrics <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, value, labels...)
	}
	now := s.source.Whole()
	for _, a := range now.Accounts {
		account(gauge, a, now.Time)
	}
	behind := 0
	for _, e := range now.Edges {
		if e.Behind > 0 {
			behind++
		}
	}
	gauge(edgesDesc, float64(len(now.Edges)))
	gauge(behindDesc, float64(behind))
	for _, u := range now.Upstreams {
		gauge(upstreamDesc, boolean(u.InUse), u.Host)
	}
	gauge(setAsideDesc, boolean(now.SetAside != nil))
	gauge(loadedDesc, seconds(now.Configuration.Loaded))
	gauge(inUseDesc, boolean(now.Configuration.Failure == ""))
	gauge(appsDesc, float64(now.Configuration.Apps))
}

// account collects the metrics of one account at now.
func account(gauge func(desc *prometheus.Desc, value float64, labels ...string), a keeper.Status, now time.Time) {
	for _, c := range a.Kinds {
		kind := string(c.Kind)
		gauge(versionDesc, float64(c.Version), a.AppID, kind)
		if !c.Expiry.IsZero() && !c.Undated {
			gauge(expiryDesc, seconds(c.Expiry), a.AppID, kind)
		}
		if !c.NextTry.IsZero() {
			gauge(nextCallDesc, seconds(c.NextTry), a.AppID, kind)
		}
		gauge(unsavedDesc, boolean(c.Unsaved), a.AppID, kind)
		gauge(earlyDeathsDesc, float64(c.EarlyDeaths(now)), a.AppID, kind)
		for _, class := range wxapi.Classes() {
			gauge(failingDesc, boolean(c.LastError != nil && c.LastError.Class == class), a.AppID, kind, string(class))
		}
	}
	for _, b := range a.Budget {
		api := string(b.API)
		gauge(usedDesc, float64(b.Used), a.AppID, api)
		gauge(limitDesc, float64(b.Limit), a.AppID, api)
		gauge(uncountedDesc, boolean(b.Unsaved), a.AppID, api)
	}
}

func boolean(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// seconds is a moment in seconds since 1970.
func seconds(at time.Time) float64 { return float64(at.UnixMilli()) / 1000 }

package ops

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/wxbroker/wxbroker/pkg/wxapi"

	"github.com/wxbroker/wxbroker/broker/internal/keeper"
)

var (
	credentialLabels = []string{"appid", "kind"}

	versionDesc = prometheus.NewDesc("wxbroker_credential_version",
		"Version of the current credential: when it was minted, milliseconds since 1970; 0 while there is none.", credentialLabels, nil)
	expiryDesc = prometheus.NewDesc("wxbroker_credential_expiry_timestamp_seconds",
		"When the current credential hard-expires, seconds since 1970; absent while there is none.", credentialLabels, nil)
	nextCallDesc = prometheus.NewDesc("wxbroker_credential_next_call_timestamp_seconds",
		"When WeChat is called next for the credential, seconds since 1970.", credentialLabels, nil)
	unsavedDesc = prometheus.NewDesc("wxbroker_credential_unsaved",
		"1 while the current credential could not be written to the database.", credentialLabels, nil)
	failingDesc = prometheus.NewDesc("wxbroker_credential_failing",
		"1 while WeChat calls for the credential fail, labelled with the class of the last failure.", append(credentialLabels, "class"), nil)
	earlyDeathsDesc = prometheus.NewDesc("wxbroker_credential_early_deaths",
		"How many values ended before their time in the last 24 hours: more than one means that something else refreshes this appid.", credentialLabels, nil)

	budgetLabels = []string{"appid", "api"}

	usedDesc = prometheus.NewDesc("wxbroker_budget_used",
		"Calls of the API that were counted today (UTC+8; clear_quota: this month).", budgetLabels, nil)
	limitDesc = prometheus.NewDesc("wxbroker_budget_limit",
		"Calls of the API that the broker allows itself in that time.", budgetLabels, nil)
	uncountedDesc = prometheus.NewDesc("wxbroker_budget_unsaved",
		"1 while the count could not be written to the database.", budgetLabels, nil)
)

// accounts collects what the keepers that run report.
type accounts func() []*keeper.Keeper

func (accounts) Describe(descs chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{versionDesc, expiryDesc, nextCallDesc, unsavedDesc, failingDesc, earlyDeathsDesc, usedDesc, limitDesc, uncountedDesc} {
		descs <- d
	}
}

func (a accounts) Collect(metrics chan<- prometheus.Metric) {
	for _, k := range a() {
		status, now := k.Status(), k.Clock()
		for _, s := range status.Kinds {
			gauge := func(desc *prometheus.Desc, value float64, more ...string) {
				labels := append([]string{status.AppID, string(s.Kind)}, more...)
				metrics <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, value, labels...)
			}
			gauge(versionDesc, float64(s.Version))
			if !s.Expiry.IsZero() && !s.Undated {
				gauge(expiryDesc, float64(s.Expiry.UnixMilli())/1000)
			}
			if !s.NextTry.IsZero() {
				gauge(nextCallDesc, float64(s.NextTry.UnixMilli())/1000)
			}
			gauge(unsavedDesc, boolean(s.Unsaved))
			gauge(earlyDeathsDesc, float64(s.EarlyDeaths(now)))
			for _, class := range wxapi.Classes() {
				gauge(failingDesc, boolean(s.LastError != nil && s.LastError.Class == class), string(class))
			}
		}
		for _, b := range status.Budget {
			gauge := func(desc *prometheus.Desc, value float64) {
				metrics <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, value, status.AppID, string(b.API))
			}
			gauge(usedDesc, float64(b.Used))
			gauge(limitDesc, float64(b.Limit))
			gauge(uncountedDesc, boolean(b.Unsaved))
		}
	}
}

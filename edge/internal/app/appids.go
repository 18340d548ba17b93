package app

import (
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"github.com/wxbroker/wxbroker/pkg/credential"
	"github.com/wxbroker/wxbroker/pkg/wxapi"
)

// readAppIDs returns the accounts of --appid in order, each once.
func readAppIDs(written []string) ([]string, error) {
	var appids []string
	for i, s := range written {
		appid := strings.TrimSpace(s)
		if !wxapi.CanBeAppID(appid) {
			return nil, fmt.Errorf("--appid (WXEDGE_APPID): entry %d is not an appid such as wx0123456789abcdef", i+1)
		}
		appids = append(appids, appid)
	}
	return slices.Compact(slices.Sorted(slices.Values(appids))), nil
}

// absences warns of the accounts of --appid for which the broker grants nothing. A
// typo looks like that, and so does an account that the broker does not have yet.
type absences struct {
	log    *slog.Logger
	appids []string        // of --appid
	absent map[string]bool // those that were warned of
}

// note takes a state of the broker. It warns of an account once, until the account is
// granted.
func (a *absences) note(accounts []credential.Account) {
	for _, appid := range a.appids {
		granted := slices.ContainsFunc(accounts, func(account credential.Account) bool { return account.AppID == appid })
		if !granted && !a.absent[appid] {
			a.log.Warn("the broker grants nothing for an account of --appid: is it spelled as in the broker's configuration, and granted to this edge's app?",
				"appid", appid)
		}
		a.absent[appid] = !granted
	}
}

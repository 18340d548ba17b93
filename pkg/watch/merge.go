package watch

import "github.com/wxbroker/wxbroker/pkg/credential"

// merge returns what is held once next has arrived. That is next, with two exceptions:
// a credential that held has in a newer version stays, and so does one whose kind next
// lists without a credential. Kinds and accounts that next does not list are gone.
func merge(held, next []credential.Account) []credential.Account {
	var merged []credential.Account
	for _, account := range next {
		old := find(held, account.AppID)
		var credentials []credential.Credential
		for _, kind := range account.Kinds {
			mine, had := old.Credential(kind)
			theirs, has := account.Credential(kind)
			switch {
			case has && (!had || theirs.Version >= mine.Version):
				credentials = append(credentials, theirs)
			case had:
				credentials = append(credentials, mine)
			}
		}
		account.Credentials = credentials
		merged = append(merged, account)
	}
	return merged
}

func find(accounts []credential.Account, appid string) credential.Account {
	for _, a := range accounts {
		if a.AppID == appid {
			return a
		}
	}
	return credential.Account{}
}

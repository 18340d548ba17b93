package access_test

import (
	"testing"
	"testing/synctest"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/wxbroker/wxbroker/broker/internal/access"
	"github.com/wxbroker/wxbroker/pkg/credential"
)

func TestOnlyWhoMeetsTheNeedIsLetIn(t *testing.T) {
	_, id := access.NewToken()
	web := access.App{Name: "web", Identities: []access.Identity{id}, Grants: []credential.Grant{credential.Media}, PerSecond: 1}
	for _, tt := range []struct {
		name string
		need access.Need
		want []codes.Code // of the tenth call at once, and of the next
		says string       // why the last is refused
	}{
		{"to be an app", access.Need{}, []codes.Code{codes.OK, codes.OK}, ""},
		{"one of its grants", access.Need{Grants: []credential.Grant{credential.Call, credential.Media}}, []codes.Code{codes.OK, codes.OK}, ""},
		{"a grant that it has not", access.Need{Grants: []credential.Grant{credential.Admin}}, []codes.Code{codes.PermissionDenied, codes.PermissionDenied}, "the app web has not been granted admin"},
		{"grants that it has not", access.Need{Grants: []credential.Grant{credential.Call, credential.OAuth}, Counts: true}, []codes.Code{codes.PermissionDenied, codes.PermissionDenied}, "the app web has not been granted call or oauth"},
		{"calls that are counted", access.Need{Grants: []credential.Grant{credential.Media}, Counts: true}, []codes.Code{codes.OK, codes.ResourceExhausted}, "the app web makes more than 1 calls a second"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				app := newControl(mustPolicy(t, nil, web)).Named("web")
				for range 9 {
					_ = tt.need.Admit(app)
				}
				var err error
				for _, want := range tt.want {
					if err = tt.need.Admit(app); status.Code(err) != want {
						t.Errorf("%v, want %v", err, want)
					}
				}
				if said := status.Convert(err).Message(); said != tt.says {
					t.Errorf("it says %q, want %q", said, tt.says)
				}
			})
		})
	}
}

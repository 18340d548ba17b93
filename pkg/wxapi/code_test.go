package wxapi

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
)

// TestTable: what each code means to whoever refreshes credentials (its class),
// to an app whose call WeChat refused (gRPC's status, and HTTP's for that), and to
// the caller of an edge that says the code itself.
func TestTable(t *testing.T) {
	for _, tt := range []struct {
		code   Code
		class  Class
		theirs codes.Code
		http   int
		ours   int
	}{
		{-1, Transient, codes.Unavailable, 503, 503},
		{40001, RefusedToken, codes.FailedPrecondition, 502, 401},
		{40014, RefusedToken, codes.FailedPrecondition, 502, 400},
		{42001, RefusedToken, codes.FailedPrecondition, 502, 400},
		{45011, Rate, codes.ResourceExhausted, 429, 429},
		{45009, Quota, codes.ResourceExhausted, 429, 429},
		{40002, Configuration, codes.FailedPrecondition, 502, 400},
		{40013, Configuration, codes.FailedPrecondition, 502, 400},
		{40125, Configuration, codes.FailedPrecondition, 502, 401},
		{40243, Configuration, codes.FailedPrecondition, 502, 400},
		{41002, Configuration, codes.FailedPrecondition, 502, 400},
		{41004, Configuration, codes.FailedPrecondition, 502, 401},
		{50004, Configuration, codes.FailedPrecondition, 502, 400},
		{50007, Configuration, codes.FailedPrecondition, 502, 400},
		{61024, Configuration, codes.FailedPrecondition, 502, 400},
		{48001, Configuration, codes.PermissionDenied, 403, 403},
		{48004, Configuration, codes.PermissionDenied, 403, 400},
		{48006, Configuration, codes.InvalidArgument, 400, 400},
		{48008, Configuration, codes.PermissionDenied, 403, 400},
		{50001, Configuration, codes.PermissionDenied, 403, 400},
		{50002, Configuration, codes.PermissionDenied, 403, 400},
		{40007, Configuration, codes.NotFound, 404, 400},
		{40003, Configuration, codes.InvalidArgument, 400, 400}, // as any that is not in the table
		{43004, Configuration, codes.InvalidArgument, 400, 400},
		{41001, Configuration, codes.InvalidArgument, 400, 401},
		{40164, Address, codes.FailedPrecondition, 502, 400},
		{89501, Approval, codes.FailedPrecondition, 502, 400},
		{89503, Approval, codes.FailedPrecondition, 502, 400},
		{89506, Approval, codes.FailedPrecondition, 502, 400},
		{89507, Approval, codes.FailedPrecondition, 502, 400},
	} {
		class := tt.code.Class()
		if got := tt.code.Status(class); class != tt.class || got != tt.theirs || HTTPStatus(got) != tt.http || tt.code.HTTPStatus() != tt.ours {
			t.Errorf("%d: class %s, %v, HTTP %d, and %d of our own", tt.code, class, got, HTTPStatus(got), tt.code.HTTPStatus())
		}
	}
	seen := map[Code]bool{}
	for _, row := range table {
		if seen[row.code] {
			t.Errorf("%d is in the table twice", row.code)
		}
		seen[row.code] = true
		if person := row.class != Transient && row.class != Rate && row.class != RefusedToken; person && row.code.Advice() == "" {
			t.Errorf("%d has no advice for a person", row.code)
		}
	}
	for _, said := range []Code{
		Busy, InvalidCredential, InvalidGrantType, InvalidAppID, InvalidRenewal, InvalidParameter, InvalidTicketType, InvalidSecret, MissingToken,
		MissingAppID, MissingSecret, NotGet, NotPost, TooLarge, QuotaSpent, TooOften, InvalidFormat, NotAuthorized,
	} {
		if said.Words() == "" {
			t.Errorf("%d is said here, and has no words", said)
		}
	}
}

// TestClassDecides where a code has no status of its own: 40001 of a call with the
// AppSecret is no refused token.
func TestClassDecides(t *testing.T) {
	for _, tt := range []struct {
		code  Code
		class Class
		want  codes.Code
	}{
		{InvalidCredential, Configuration, codes.InvalidArgument},
		{0, Rate, codes.ResourceExhausted}, // HTTP 429
		{0, Transient, codes.Unavailable},
		{0, Budget, codes.Unavailable},
		{InvalidAppID, Configuration, codes.FailedPrecondition},
	} {
		if got := tt.code.Status(tt.class); got != tt.want {
			t.Errorf("%d, %s: %v, want %v", tt.code, tt.class, got, tt.want)
		}
	}
}

func TestRetry(t *testing.T) {
	noon := time.Date(2026, 11, 21, 12, 0, 0, 0, Zone)
	late := time.Date(2026, 11, 21, 23, 30, 0, 0, Zone)
	for _, tt := range []struct {
		class Class
		now   time.Time
		after time.Duration // 0: nobody knows
	}{
		{Rate, noon, time.Minute},
		{Quota, noon, time.Hour},
		{Quota, late, 30 * time.Minute}, // WeChat counts anew
		{Transient, noon, 0},
		{Configuration, noon, 0},
	} {
		got := tt.class.Retry(tt.now)
		if tt.after == 0 != got.IsZero() || tt.after != 0 && got.Sub(tt.now) != tt.after {
			t.Errorf("%s at %v: %v", tt.class, tt.now, got)
		}
	}
}

// TestRefusalTravels in the details of a status, with a code that fits where it
// has none.
func TestRefusalTravels(t *testing.T) {
	until := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	for _, tt := range []struct {
		name   string
		sent   Refusal
		status codes.Code
		want   Refusal
	}{
		{"with its code", Refusal{QuotaSpent, "spent", until}, codes.ResourceExhausted, Refusal{QuotaSpent, "spent", until}},
		{"with one that fits", Refusal{Message: "no"}, codes.PermissionDenied, Refusal{NotAuthorized, "no", time.Time{}}},
		{"of what nobody can help", Refusal{Message: "away"}, codes.Unavailable, Refusal{Busy, "away", time.Time{}}},
		{"of a status that fits none", Refusal{Message: "?"}, codes.DataLoss, Refusal{Busy, "?", time.Time{}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := tt.sent.Status(tt.status)
			if got, ok := RefusalIn(err); !ok || got != tt.want {
				t.Errorf("%+v, %v", got, ok)
			}
			if !strings.Contains(err.Error(), tt.want.Message+" (errcode ") {
				t.Errorf("it reads %q", err)
			}
		})
	}
	if got, ok := RefusalIn(errors.New("something else")); ok {
		t.Errorf("%+v", got)
	}
	if HTTPStatus(codes.DataLoss) != http.StatusServiceUnavailable {
		t.Error("a status that is not in the table is 503")
	}
}

// TestMediaID: what may stand in a path is nothing that could be another path.
func TestMediaID(t *testing.T) {
	for id, want := range map[string]bool{
		"abc_-1": true, strings.Repeat("a", 256): true,
		"": false, "..": false, "a/b": false, "a&b": false, "a b": false, strings.Repeat("a", 257): false,
	} {
		if IsMediaID(id) != want {
			t.Errorf("%q: %v", id, !want)
		}
	}
}

// TestDayEnd: the day is WeChat's, wherever we are.
func TestDayEnd(t *testing.T) {
	want := time.Date(2026, 11, 22, 0, 0, 0, 0, Zone)
	for _, now := range []time.Time{
		time.Date(2026, 11, 20, 16, 0, 0, 0, time.UTC), // midnight in China
		time.Date(2026, 11, 21, 15, 59, 59, 0, time.UTC),
		time.Date(2026, 11, 21, 8, 0, 0, 0, time.FixedZone("", -8*60*60)).Add(-time.Hour),
	} {
		if got := DayEnd(now); !got.Equal(want) {
			t.Errorf("%v ends at %v", now, got)
		}
	}
}

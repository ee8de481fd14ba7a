package store

import (
	"testing"
	"time"
)

func TestUsageOfAModelAddsUpByDay(t *testing.T) {
	s := open(t, Memory)
	if err := s.AddKey(t.Context(), Key{ID: "ak-1", Name: "mine", Hash: "h"}); err != nil {
		t.Fatal(err)
	}
	day := time.Date(2026, 1, 31, 23, 0, 0, 0, time.UTC)
	for _, at := range []time.Time{day, day, day.Add(2 * time.Hour)} {
		if err := s.AddUsage(t.Context(), "ak-1", Usage{Session: "s-1", Requests: 1, TokensIn: 10, TokensOut: 2}, at); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.AddUsage(t.Context(), "ak-2", Usage{Session: "s-1"}, day); err != nil {
		t.Errorf("of a key that was deleted: %v", err)
	}
	all, err := s.Usage(t.Context(), "ak-1")
	if err != nil || len(all) != 2 || all[0] != (Usage{"s-1", "2026-01-31", 2, 20, 4}) || all[1] != (Usage{"s-1", "2026-02-01", 1, 10, 2}) {
		t.Errorf("%+v, %v", all, err)
	}
}

package blobtest_test

import (
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/agentbay/agentbay"
	"github.com/agentbay/agentbay/internal/blob"
	"github.com/agentbay/agentbay/internal/blob/blobtest"
	"github.com/agentbay/agentbay/internal/blob/mem"
)

func TestFaultyStoreIsAStoreOnAGoodDay(t *testing.T) {
	blobtest.Run(t, func(*testing.T) blob.Store { return &blobtest.Faulty{Store: new(mem.Store)} })
}

// faulty is a store with the blob a.
func faulty(t *testing.T, fault blobtest.Fault) *blobtest.Faulty {
	t.Helper()
	f := &blobtest.Faulty{Store: new(mem.Store)}
	if err := put(t, f, "a"); err != nil {
		t.Fatal(err)
	}
	f.Set(fault)
	return f
}

// put puts a blob whose content is its name, eight times.
func put(t *testing.T, s blob.Store, name string) error {
	return s.Put(t.Context(), name, strings.NewReader(strings.Repeat(name, 8)), int64(8*len(name)))
}

func get(t *testing.T, s blob.Store, name string) (string, error) {
	r, err := s.Get(t.Context(), name, 0, -1)
	if err != nil {
		return "", err
	}
	defer r.Close()
	b, err := io.ReadAll(r)
	return string(b), err
}

func there(t *testing.T, f *blobtest.Faulty, name string) bool {
	t.Helper()
	_, err := f.Store.Stat(t.Context(), name)
	return err == nil
}

func TestFaultsStrikeWhereTheyAreTold(t *testing.T) {
	for _, test := range []struct {
		what  string
		fault blobtest.Fault
		codes string // of three Puts of b, c and d: what each returns
		kept  string // what is there then
	}{
		{"nothing", blobtest.Fault{}, "...", "bcd"},
		{"the second Put fails", blobtest.Fail(blobtest.Put, 2), ".u.", "bd"},
		{"the second operation fails", blobtest.Fail(blobtest.Any, 2), ".u.", "bd"},
		{"the first Get fails", blobtest.Fail(blobtest.Get, 1), "...", "bcd"},
		{"the second is done but fails", blobtest.Fail(blobtest.Put, 2).ButDone(), ".u.", "bcd"},
		{"killed at the second", blobtest.Kill(2), ".uu", "b"},
		{"killed after the second", blobtest.Kill(2).ButDone(), ".uu", "bc"},
		{"full at the second", blobtest.Full(2), ".ee", "b"},
		{"the fourth fails", blobtest.Fail(blobtest.Put, 4), "...", "bcd"},
	} {
		f := faulty(t, test.fault)
		codes, kept := "", ""
		for _, name := range []string{"b", "c", "d"} {
			switch err := put(t, f, name); {
			case err == nil:
				codes += "."
			case errors.Is(err, agentbay.Unavailable):
				codes += "u"
			case errors.Is(err, agentbay.Exhausted):
				codes += "e"
			}
			if there(t, f, name) {
				kept += name
			}
		}
		if codes != test.codes || kept != test.kept {
			t.Errorf("%s: three Puts return %s and leave %s, want %s and %s", test.what, codes, kept, test.codes, test.kept)
		}
		if want := strings.Trim(test.codes, ".") != ""; f.Struck() != want {
			t.Errorf("%s: struck is %v, want %v", test.what, f.Struck(), want)
		}
		if f.Count(blobtest.Put) != 3 || f.Count(blobtest.Any) != 3 || f.Count(blobtest.Get) != 0 {
			t.Errorf("%s: counted %d Puts of %d operations, want 3 of 3", test.what, f.Count(blobtest.Put), f.Count(blobtest.Any))
		}
	}
}

func TestEveryOperationCanFail(t *testing.T) {
	for _, op := range []blobtest.Op{blobtest.Put, blobtest.Get, blobtest.Stat, blobtest.Delete, blobtest.List} {
		f := faulty(t, blobtest.Fail(op, 1))
		errs := map[blobtest.Op]error{blobtest.Put: put(t, f, "b")}
		_, errs[blobtest.Get] = get(t, f, "a")
		_, errs[blobtest.Stat] = f.Stat(t.Context(), "a")
		errs[blobtest.Delete] = f.Delete(t.Context(), "a")
		for _, err := range f.List(t.Context(), "") {
			errs[blobtest.List] = err
		}
		for each, err := range errs {
			if each == op != errors.Is(err, agentbay.Unavailable) {
				t.Errorf("when %s fails, %s returns %v", op, each, err)
			}
		}
	}
}

func TestFlippedBitIsReadWithoutError(t *testing.T) {
	f := faulty(t, blobtest.Flip(2))
	for i, want := range []string{"aaaaaaaa", "aaaaqaaa", "aaaaaaaa"} {
		if got, err := get(t, f, "a"); got != want || err != nil {
			t.Errorf("Get number %d: %q, %v, want %q", i+1, got, err, want)
		}
	}
}

func TestCutBlobEndsWithError(t *testing.T) {
	f := faulty(t, blobtest.Cut(1))
	if got, err := get(t, f, "a"); got != "aaaa" || !errors.Is(err, agentbay.Unavailable) {
		t.Errorf("Get that is cut: %q, %v, want half and Unavailable", got, err)
	}
}

// The test that Sweep is used in makes three operations, and two Puts.
func TestSweepMeetsEveryOperation(t *testing.T) {
	runs, struck := 0, 0
	open := func(*testing.T) blob.Store { return new(mem.Store) }
	blobtest.Sweep(t, open, func(t *testing.T, f *blobtest.Faulty) {
		put(t, f, "a")
		put(t, f, "b")
		f.Stat(t.Context(), "a")
		runs++
		if f.Struck() {
			struck++
		}
	})
	if runs != 4*4+3 || struck != 4*3+2 {
		t.Errorf("%d runs, %d of which met a fault, want 19 and 14", runs, struck)
	}
}

// Package blobtest is the suite that every blob store must pass, and a store
// that goes wrong when it is told to, for tests of what is built on stores.
package blobtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/agentbay/agentbay"
	"github.com/agentbay/agentbay/internal/blob"
)

// Run runs the suite. Each test opens a Store of its own, which is empty.
func Run(t *testing.T, open func(*testing.T) blob.Store) {
	for _, test := range []struct {
		claim string
		run   func(*testing.T, blob.Store)
	}{
		{"PutBlobIsRead", putBlobIsRead},
		{"EmptyBlobIsABlob", emptyBlobIsABlob},
		{"PartsAreRead", partsAreRead},
		{"NegativeOffsetIsInvalid", negativeOffsetIsInvalid},
		{"SecondPutReplaces", secondPutReplaces},
		{"OpenReaderOutlivesChange", openReaderOutlivesChange},
		{"FailedReaderLeavesNothing", failedReaderLeavesNothing},
		{"WrongSizeIsInvalid", wrongSizeIsInvalid},
		{"CancelledPutLeavesNothing", cancelledPutLeavesNothing},
		{"CancelledContextIsRefused", cancelledContextIsRefused},
		{"MissingBlobIsNotFound", missingBlobIsNotFound},
		{"StatDescribes", statDescribes},
		{"DeleteRemoves", deleteRemoves},
		{"DeleteOfMissingIsNoError", deleteOfMissingIsNoError},
		{"OddNamesAreNames", oddNamesAreNames},
		{"HostileNamesAreInvalid", hostileNamesAreInvalid},
		{"ListYieldsByPrefix", listYieldsByPrefix},
		{"ListOfManyIsWhole", listOfManyIsWhole},
		{"ListEndsWhenAsked", listEndsWhenAsked},
		{"HostilePrefixYieldsNothing", hostilePrefixYieldsNothing},
		{"ConcurrentPutsOfOneNameLeaveOneWhole", concurrentPutsOfOneNameLeaveOneWhole},
		{"ConcurrentPutsOfManyNamesAllStay", concurrentPutsOfManyNamesAllStay},
		{"ReadersSeeOneBlobWhole", readersSeeOneBlobWhole},
		{"LargeBlobIsReadBack", largeBlobIsReadBack},
	} {
		t.Run(test.claim, func(t *testing.T) { test.run(t, open(t)) })
	}
}

func putBlobIsRead(t *testing.T, s blob.Store) {
	put(t, s, "t-1/packs/0a", "what it says")
	wants(t, s, "t-1/packs/0a", "what it says")
}

func emptyBlobIsABlob(t *testing.T, s blob.Store) {
	put(t, s, "empty", "")
	wants(t, s, "empty", "")
	if info, err := s.Stat(t.Context(), "empty"); err != nil || info.Size != 0 {
		t.Errorf("Stat of an empty blob: %+v, %v", info, err)
	}
	if got := names(t, s, ""); !slices.Equal(got, []string{"empty"}) {
		t.Errorf("List: %q, want the empty blob", got)
	}
}

func partsAreRead(t *testing.T, s blob.Store) {
	put(t, s, "digits", "0123456789")
	for _, part := range []struct {
		offset, n int64
		want      string
	}{
		{0, -1, "0123456789"},
		{0, 10, "0123456789"},
		{0, 1, "0"},
		{3, 4, "3456"},
		{9, 1, "9"},
		{9, -1, "9"},
		{8, 100, "89"},
		{0, 1 << 62, "0123456789"},
		{5, 1<<63 - 1, "56789"},
		{4, 0, ""},
		{10, -1, ""},
		{10, 5, ""},
		{11, 1, ""},
		{1 << 40, -1, ""},
	} {
		if got, err := read(t.Context(), s, "digits", part.offset, part.n); err != nil || got != part.want {
			t.Errorf("Get of %d bytes from %d: %q, %v, want %q", part.n, part.offset, got, err, part.want)
		}
	}
}

func negativeOffsetIsInvalid(t *testing.T, s blob.Store) {
	put(t, s, "digits", "0123456789")
	if _, err := read(t.Context(), s, "digits", -1, 5); !errors.Is(err, agentbay.Invalid) {
		t.Errorf("Get from -1: %v, want Invalid", err)
	}
}

func secondPutReplaces(t *testing.T, s blob.Store) {
	put(t, s, "a", "the first, which is longer")
	put(t, s, "a", "the second")
	wants(t, s, "a", "the second")
	if got := names(t, s, ""); !slices.Equal(got, []string{"a"}) {
		t.Errorf("List: %q, want one a", got)
	}
}

// What a reader has been given is a blob, whatever becomes of the name: it may
// fail, but it does not mix.
func openReaderOutlivesChange(t *testing.T, s blob.Store) {
	first, second := random(3<<20, 1), random(3<<20, 2)
	put(t, s, "a", first)
	r, err := s.Get(t.Context(), "a", 0, -1)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	start := make([]byte, 10)
	if _, err := io.ReadFull(r, start); err != nil {
		t.Fatal(err)
	}
	put(t, s, "a", second)
	rest, err := io.ReadAll(r)
	if err == nil && string(start)+string(rest) != first {
		t.Error("a reader that was open while the blob was replaced read something else, without an error")
	}
	wants(t, s, "a", second)
}

func failedReaderLeavesNothing(t *testing.T, s blob.Store) {
	broken := errors.New("the reader is broken")
	for _, size := range []int{0, 1, 1000, 20 << 20} {
		r := io.MultiReader(strings.NewReader(random(size/2, 3)), failing{broken})
		if err := s.Put(t.Context(), "new", r, int64(size)); !errors.Is(err, broken) {
			t.Errorf("Put of a reader that fails at %d of %d: %v, want its error", size/2, size, err)
		}
		missing(t, s, "new")
	}
	put(t, s, "old", "what was there")
	r := io.MultiReader(strings.NewReader("what"), failing{broken})
	if err := s.Put(t.Context(), "old", r, 100); !errors.Is(err, broken) {
		t.Errorf("Put over a blob of a reader that fails: %v, want its error", err)
	}
	wants(t, s, "old", "what was there")
}

func wrongSizeIsInvalid(t *testing.T, s blob.Store) {
	put(t, s, "old", "what was there")
	for _, name := range []string{"old", "new"} {
		for _, size := range []int64{-1, 0, 1, 9, 11, 20 << 20} {
			if err := s.Put(t.Context(), name, strings.NewReader("0123456789"), size); !errors.Is(err, agentbay.Invalid) {
				t.Errorf("Put of 10 bytes as %d: %v, want Invalid", size, err)
			}
			if err := s.Put(t.Context(), name, plain{strings.NewReader("0123456789")}, size); !errors.Is(err, agentbay.Invalid) {
				t.Errorf("Put of 10 bytes that cannot seek as %d: %v, want Invalid", size, err)
			}
		}
	}
	missing(t, s, "new")
	wants(t, s, "old", "what was there")
}

func cancelledPutLeavesNothing(t *testing.T, s blob.Store) {
	ctx, cancel := context.WithCancel(t.Context())
	r := io.MultiReader(strings.NewReader(random(1<<20, 4)), calling{cancel}, strings.NewReader(random(1<<20, 5)))
	if err := s.Put(ctx, "a", r, 2<<20); !errors.Is(err, context.Canceled) {
		t.Errorf("Put that is cancelled half-way: %v, want context.Canceled", err)
	}
	missing(t, s, "a")
}

func cancelledContextIsRefused(t *testing.T, s blob.Store) {
	put(t, s, "a", "what was there")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	check := func(call string, err error) {
		t.Helper()
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%s with a cancelled context: %v, want context.Canceled", call, err)
		}
	}
	check("Put", s.Put(ctx, "a", strings.NewReader("new"), 3))
	_, err := read(ctx, s, "a", 0, -1)
	check("Get", err)
	_, err = s.Stat(ctx, "a")
	check("Stat", err)
	check("Delete", s.Delete(ctx, "a"))
	err = nil
	for _, err = range s.List(ctx, "") {
		if err != nil {
			break
		}
	}
	check("List", err)
	wants(t, s, "a", "what was there")
}

func missingBlobIsNotFound(t *testing.T, s blob.Store) {
	put(t, s, "dir/there", "1")
	for _, name := range []string{"none", "dir", "dir/none", "dir/ther", "dir/theree"} {
		missing(t, s, name)
		if _, err := read(t.Context(), s, name, 100, 5); !errors.Is(err, agentbay.NotFound) {
			t.Errorf("Get of a part of the missing %q: %v, want NotFound", name, err)
		}
		if _, err := read(t.Context(), s, name, 0, 0); !errors.Is(err, agentbay.NotFound) {
			t.Errorf("Get of no bytes of the missing %q: %v, want NotFound", name, err)
		}
	}
}

func statDescribes(t *testing.T, s blob.Store) {
	put(t, s, "dir/a", "0123456789")
	info, err := s.Stat(t.Context(), "dir/a")
	if err != nil || info.Name != "dir/a" || info.Size != 10 {
		t.Errorf("Stat: %+v, %v, want dir/a with 10 bytes", info, err)
	}
	if age := time.Since(info.At).Abs(); age > time.Hour {
		t.Errorf("Stat of a blob put just now: it was put at %v", info.At)
	}
}

func deleteRemoves(t *testing.T, s blob.Store) {
	put(t, s, "dir/a", "1")
	put(t, s, "dir/b", "2")
	if err := s.Delete(t.Context(), "dir/a"); err != nil {
		t.Fatalf("Delete: %v", err)
	}
	missing(t, s, "dir/a")
	wants(t, s, "dir/b", "2")
	if got := names(t, s, ""); !slices.Equal(got, []string{"dir/b"}) {
		t.Errorf("List: %q, want dir/b alone", got)
	}
	put(t, s, "dir/a", "3")
	wants(t, s, "dir/a", "3")
}

func deleteOfMissingIsNoError(t *testing.T, s blob.Store) {
	put(t, s, "dir/a", "1")
	for _, name := range []string{"none", "dir", "dir/none"} {
		if err := s.Delete(t.Context(), name); err != nil {
			t.Errorf("Delete of the missing %q: %v", name, err)
		}
	}
	wants(t, s, "dir/a", "1")
}

func oddNamesAreNames(t *testing.T, s blob.Store) {
	odd := []string{
		".hidden", "...", "-", "_", "0", "a.", "a/.b", "b/...", "c/d/e/f/g/h", "-rf", "tmp", "tmp2/x", "con", "0123456789-_.abcdefghijklmnopqrstuvwxyz",
		strings.Repeat("n", 120) + "/" + strings.Repeat("m", 134),
		strings.Repeat("long/", 50) + "names",
	}
	for _, name := range odd {
		put(t, s, name, name)
	}
	for _, name := range odd {
		wants(t, s, name, name)
	}
	slices.Sort(odd)
	if got := names(t, s, ""); !slices.Equal(got, odd) {
		t.Errorf("List: %q, want %q", got, odd)
	}
}

// Hostile are names that are none.
var Hostile = []string{
	"", "/", ".", "..", "/a", "a/", "a//b", "./a", "../a", "a/..", "a/../b", "a/.", "a/./b", "A", "aB", "a b", "a\\b",
	"a\x00b", "a\n", "\xff", "ä", "a%2fb", "a+b", "a*", "a?b", "a:b", "~", "a#b", "$a", "a/../../../etc/passwd",
	strings.Repeat("a", 256),
}

func hostileNamesAreInvalid(t *testing.T, s blob.Store) {
	for _, name := range Hostile {
		check := func(call string, err error) {
			t.Helper()
			if !errors.Is(err, agentbay.Invalid) {
				t.Errorf("%s of %q: %v, want Invalid", call, name, err)
			}
		}
		check("Put", s.Put(t.Context(), name, strings.NewReader("1"), 1))
		_, err := read(t.Context(), s, name, 0, -1)
		check("Get", err)
		_, err = s.Stat(t.Context(), name)
		check("Stat", err)
		check("Delete", s.Delete(t.Context(), name))
	}
	if got := names(t, s, ""); len(got) != 0 {
		t.Errorf("List: %q, want nothing", got)
	}
}

func listYieldsByPrefix(t *testing.T, s blob.Store) {
	all := []string{"a", "ab/c", "ab/d", "ab/d2/e", "abc", "b/a", "b/b"}
	for _, name := range all {
		put(t, s, name, name)
	}
	for _, prefix := range []string{"", "a", "ab", "ab/", "ab/d", "ab/d2/", "abc", "b/", "b/b", "b/bb", "c", "a/"} {
		var want []string
		for _, name := range all {
			if strings.HasPrefix(name, prefix) {
				want = append(want, name)
			}
		}
		if got := names(t, s, prefix); !slices.Equal(got, want) {
			t.Errorf("List of %q: %q, want %q", prefix, got, want)
		}
	}
	for info, err := range s.List(t.Context(), "ab/d2/") {
		if err != nil || info.Size != 7 || time.Since(info.At).Abs() > time.Hour {
			t.Errorf("List: %+v, %v, want 7 bytes put just now", info, err)
		}
	}
}

// Stores read lists by the page; S3 has 1000 names on one.
func listOfManyIsWhole(t *testing.T, s blob.Store) {
	var want []string
	for i := range 1100 {
		want = append(want, fmt.Sprintf("many/%04d", i))
	}
	each(want, func(name string) { put(t, s, name, "") })
	if got := names(t, s, "many/"); !slices.Equal(got, want) {
		t.Errorf("List: %d names, want %d", len(got), len(want))
	}
}

func listEndsWhenAsked(t *testing.T, s blob.Store) {
	for _, name := range []string{"a", "b", "c"} {
		put(t, s, name, "")
	}
	n := 0
	for range s.List(t.Context(), "") {
		n++
		break
	}
	if n != 1 {
		t.Errorf("List yielded %d blobs before the loop ended, want 1", n)
	}
}

func hostilePrefixYieldsNothing(t *testing.T, s blob.Store) {
	put(t, s, "a/b", "1")
	for _, prefix := range []string{"/", "../", "..", "a/../a", "./a", "A", "a//", "a\x00", "*", "a+"} {
		if got := names(t, s, prefix); len(got) != 0 {
			t.Errorf("List of %q: %q, want nothing", prefix, got)
		}
	}
}

func concurrentPutsOfOneNameLeaveOneWhole(t *testing.T, s blob.Store) {
	var blobs []string
	for i := range 8 {
		blobs = append(blobs, random(100<<10+i, uint64(i)))
	}
	each(blobs, func(b string) { put(t, s, "a", b) })
	got, err := read(t.Context(), s, "a", 0, -1)
	if err != nil || !slices.Contains(blobs, got) {
		t.Errorf("Get after 8 Puts at once: %d bytes, %v, want one of the blobs", len(got), err)
	}
	if got := names(t, s, ""); !slices.Equal(got, []string{"a"}) {
		t.Errorf("List: %q, want one a", got)
	}
}

func concurrentPutsOfManyNamesAllStay(t *testing.T, s blob.Store) {
	var want []string
	for i := range 64 {
		want = append(want, fmt.Sprintf("t-%d/packs/%02d", i%3, i))
	}
	each(want, func(name string) {
		put(t, s, name, name)
		wants(t, s, name, name)
	})
	slices.Sort(want)
	if got := names(t, s, ""); !slices.Equal(got, want) {
		t.Errorf("List: %q, want %q", got, want)
	}
}

// Each read while a blob is replaced sees the old or the new one.
func readersSeeOneBlobWhole(t *testing.T, s blob.Store) {
	blobs := []string{random(300<<10, 1), random(200<<10, 2)}
	put(t, s, "a", blobs[0])
	done := make(chan struct{})
	var readers sync.WaitGroup
	for range 2 {
		readers.Go(func() {
			for {
				if got, err := read(t.Context(), s, "a", 0, -1); err == nil && !slices.Contains(blobs, got) {
					t.Errorf("Get while the blob is replaced: %d bytes that are neither blob", len(got))
				}
				select {
				case <-done:
					return
				default:
				}
			}
		})
	}
	for i := range 20 {
		put(t, s, "a", blobs[i%2])
	}
	close(done)
	readers.Wait()
}

func largeBlobIsReadBack(t *testing.T, s blob.Store) {
	const size = 40 << 20 // more than a pack
	want := random(size, 7)
	if err := s.Put(t.Context(), "large", plain{strings.NewReader(want)}, size); err != nil {
		t.Fatalf("Put of %d bytes: %v", size, err)
	}
	if got, err := read(t.Context(), s, "large", 0, -1); err != nil || got != want {
		t.Errorf("Get: %d bytes, %v, want what was put", len(got), err)
	}
	if got, err := read(t.Context(), s, "large", 33<<20, 1000); err != nil || got != want[33<<20:][:1000] {
		t.Errorf("Get of a part: %d bytes, %v, want what was put", len(got), err)
	}
}

func put(t *testing.T, s blob.Store, name, content string) {
	t.Helper()
	if err := s.Put(t.Context(), name, strings.NewReader(content), int64(len(content))); err != nil {
		t.Errorf("Put of %q: %v", name, err)
	}
}

func read(ctx context.Context, s blob.Store, name string, offset, n int64) (string, error) {
	r, err := s.Get(ctx, name, offset, n)
	if err != nil {
		return "", err
	}
	defer r.Close()
	b, err := io.ReadAll(r)
	return string(b), err
}

func wants(t *testing.T, s blob.Store, name, want string) {
	t.Helper()
	if got, err := read(t.Context(), s, name, 0, -1); err != nil || got != want {
		t.Errorf("Get of %q: %.40q (%d bytes), %v, want %.40q (%d bytes)", name, got, len(got), err, want, len(want))
	}
}

func missing(t *testing.T, s blob.Store, name string) {
	t.Helper()
	if _, err := s.Stat(t.Context(), name); !errors.Is(err, agentbay.NotFound) {
		t.Errorf("Stat of the missing %q: %v, want NotFound", name, err)
	}
	if _, err := read(t.Context(), s, name, 0, -1); !errors.Is(err, agentbay.NotFound) {
		t.Errorf("Get of the missing %q: %v, want NotFound", name, err)
	}
	if got := names(t, s, name); slices.Contains(got, name) {
		t.Errorf("List has the missing %q", name)
	}
}

// names is what List yields, sorted.
func names(t *testing.T, s blob.Store, prefix string) (all []string) {
	t.Helper()
	for info, err := range s.List(t.Context(), prefix) {
		if err != nil {
			t.Fatalf("List of %q: %v", prefix, err)
		}
		all = append(all, info.Name)
	}
	slices.Sort(all)
	return all
}

// each runs f for all of list, eight at a time.
func each(list []string, f func(string)) {
	work := make(chan string)
	var workers sync.WaitGroup
	for range 8 {
		workers.Go(func() {
			for item := range work {
				f(item)
			}
		})
	}
	for _, item := range list {
		work <- item
	}
	close(work)
	workers.Wait()
}

// random returns n bytes that are the same for the same seed.
func random(n int, seed uint64) string {
	var b bytes.Buffer
	b.Grow(n + 8)
	for r := rand.New(rand.NewPCG(seed, 0)); b.Len() < n; {
		v := r.Uint64()
		for range 8 {
			b.WriteByte(byte(v))
			v >>= 8
		}
	}
	return string(b.Bytes()[:n])
}

// plain is a reader that can do nothing but read.
type plain struct{ io.Reader }

// calling is a reader without content that calls a function.
type calling struct{ f func() }

func (c calling) Read([]byte) (int, error) {
	c.f()
	return 0, io.EOF
}

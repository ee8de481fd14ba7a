package blob_test

import (
	"context"
	"errors"
	"io"
	"regexp"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/agentbay/agentbay"
	"github.com/agentbay/agentbay/internal/blob"
	"github.com/agentbay/agentbay/internal/blob/blobtest"
)

// sources are readers of one text that behave differently.
var sources = map[string]func(string) io.Reader{
	"at once":         func(s string) io.Reader { return strings.NewReader(s) },
	"without seeking": func(s string) io.Reader { return io.MultiReader(strings.NewReader(s)) },
	"by the byte":     func(s string) io.Reader { return iotest.OneByteReader(strings.NewReader(s)) },
	"EOF with data":   func(s string) io.Reader { return iotest.DataErrReader(strings.NewReader(s)) },
}

func TestExactGivesAllOrFails(t *testing.T) {
	for _, text := range []string{"", "1", "0123456789"} {
		for how, reader := range sources {
			for _, size := range []int64{0, 1, 2, 9, 10, 11, 1 << 40} {
				_, source := blob.Exact(t.Context(), reader(text), size)
				got, err := io.ReadAll(source)
				exact := size == int64(len(text))
				if exact && (err != nil || string(got) != text || source.End() != nil) {
					t.Errorf("%d bytes read %s: %q, %v", size, how, got, err)
				}
				if !exact && !errors.Is(err, agentbay.Invalid) {
					t.Errorf("%q read %s as %d bytes: %q, %v, want Invalid", text, how, size, got, err)
				}
				if !exact && int64(len(got)) >= max(size, 1) {
					t.Errorf("%q read %s as %d bytes: all were given before it failed", text, how, size)
				}
				if !exact && source.End() == nil {
					t.Errorf("%q read %s as %d bytes: End says that nothing failed", text, how, size)
				}
			}
		}
	}
}

func TestExactCanStartOver(t *testing.T) {
	r := strings.NewReader("before0123456789")
	r.Seek(6, io.SeekStart)
	_, source := blob.Exact(t.Context(), r, 10)
	seeker := source.(io.ReadSeeker)
	for _, test := range []struct {
		offset int64
		whence int
		want   string
	}{
		{0, io.SeekStart, "0123456789"},
		{0, io.SeekStart, "0123456789"},
		{-3, io.SeekEnd, "789"},
		{-4, io.SeekCurrent, "6789"},
		{5, io.SeekStart, "56789"},
	} {
		if _, err := seeker.Seek(test.offset, test.whence); err != nil {
			t.Fatalf("Seek to %d: %v", test.offset, err)
		}
		if got, err := io.ReadAll(seeker); err != nil || string(got) != test.want {
			t.Errorf("after Seek to %d (%d): %q, %v, want %q", test.offset, test.whence, got, err, test.want)
		}
	}
	for _, offset := range []int64{-1, 11} {
		if _, err := seeker.Seek(offset, io.SeekStart); err == nil {
			t.Errorf("Seek to %d of 10 bytes succeeded", offset)
		}
	}
}

func TestExactEndsItsContext(t *testing.T) {
	ctx, source := blob.Exact(t.Context(), strings.NewReader("short"), 100)
	if ctx.Err() != nil {
		t.Errorf("the context of a source is done at the start: %v", ctx.Err())
	}
	io.ReadAll(source)
	if ctx.Err() == nil {
		t.Error("the context of a source that failed is not done")
	}
	ctx, source = blob.Exact(t.Context(), strings.NewReader("whole"), 5)
	source.End()
	if n, err := source.Read(make([]byte, 5)); n != 0 || err == nil || ctx.Err() == nil {
		t.Errorf("after End: %d bytes, %v, and the context: %v, want an error and that it is done", n, err, ctx.Err())
	}
}

func TestExactHeedsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	_, source := blob.Exact(ctx, strings.NewReader("0123456789"), 10)
	cancel()
	if _, err := io.ReadAll(source); !errors.Is(err, context.Canceled) || !errors.Is(source.End(), context.Canceled) {
		t.Errorf("reading after the context was cancelled: %v, want context.Canceled", err)
	}
}

func FuzzCheckName(f *testing.F) {
	for _, name := range blobtest.Hostile {
		f.Add(name)
	}
	f.Add("t-1/packs/0a_.b")
	good := regexp.MustCompile(`\A[a-z0-9_.-]+(/[a-z0-9_.-]+)*\z`)
	dots := regexp.MustCompile(`(\A|/)\.\.?(/|\z)`)
	f.Fuzz(func(t *testing.T, name string) {
		want := good.MatchString(name) && !dots.MatchString(name) && len(name) <= 255
		if err := blob.CheckName(name); (err == nil) != want || err != nil && !errors.Is(err, agentbay.Invalid) {
			t.Errorf("CheckName(%q): %v, want it to be a name: %v", name, err, want)
		}
		for i := range name {
			if want && !blob.Begins(name[:i]) {
				t.Errorf("%q is a name, but none can begin with %q", name, name[:i])
			}
		}
	})
}

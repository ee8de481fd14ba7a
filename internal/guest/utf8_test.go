package guest

import (
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

func FuzzValidUTF8(f *testing.F) {
	for _, s := range []string{"", "abc", "日本語", "\xff", "a\xe6\x97", "\xe6\x97\xa5\xe6", "\xf0\x9f\x98", "\xed\xa0\x80"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		want := string([]rune(s)) // each bad byte becomes one U+FFFD
		for name, r := range map[string]io.Reader{
			"whole":     strings.NewReader(s),
			"bytewise":  iotest.OneByteReader(strings.NewReader(s)),
			"with EOF":  iotest.DataErrReader(strings.NewReader(s)),
			"in halves": iotest.HalfReader(strings.NewReader(s)),
		} {
			if got, err := io.ReadAll(ValidUTF8(r)); err != nil || string(got) != want {
				t.Errorf("%s: %q became %q, %v; want %q", name, s, got, err, want)
			}
			if got, err := io.ReadAll(iotest.OneByteReader(ValidUTF8(r))); err != nil || len(got) != 0 {
				t.Errorf("%s: after the end came %q, %v", name, got, err)
			}
		}
		if got, _ := io.ReadAll(iotest.OneByteReader(ValidUTF8(strings.NewReader(s)))); string(got) != want {
			t.Errorf("read bytewise, %q became %q", s, got)
		}
	})
}

package tool

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
	"testing"
)

// A message has a place for text on each level.
type message struct {
	Text  string
	Other string
	Raw   json.RawMessage
	Any   any
	List  []struct{ Text string }
	Sub   struct{ Data *struct{ Text string } }
}

// What package json makes of a long text is what Unmarshal makes of it.
func TestLongTextsAreReadLikeAnyOther(t *testing.T) {
	long := strings.Repeat("QUJD", longText/2)
	for name, text := range map[string]string{
		"top":           `{"Text":"LONG"}`,
		"list":          `{"List":[{"Text":"a"},{"Text":"LONG"}]}`,
		"deep":          `{"Sub":{"Data":{"Text":"LONG"}}}`,
		"raw":           `{"Raw":{"Text":"LONG"}}`,
		"any":           `{"Any":["LONG"]}`,
		"key":           `{"LONG":"x","Text":"y"}`,
		"unknown":       `{"what":"LONG","Text":"y"}`,
		"two":           `{"Text":"LONG","Other":"LONG!"}`,
		"last wins":     `{"Text":"LONG","Text":"y"}`,
		"last wins too": `{"Text":"y","text":"LONG"}`,
		"escaped":       `{"Text":"LONG\n","Other":"\\"}`,
		"quoted":        `{"Text":"\"LONG\\","Other":"LONG"}`,
		"not UTF-8":     "{\"Text\":\"LONG\xff\"}",
		"control":       "{\"Text\":\"LONG\n\"}",
		"wrong type":    `{"List":"LONG"}`,
		"half":          `{"Text":"LONG`,
		"no JSON":       `{"Text":"LONG"]`,
		"no JSON too":   `{"Text":"LONG" "LONG"}`,
	} {
		alike(t, name, []byte(strings.ReplaceAll(text, "LONG", long)))
	}
}

func TestControlCharactersAreFoundAnywhere(t *testing.T) {
	for c := range 256 {
		for at := range 19 {
			text := bytes.Repeat([]byte{0x80}, 19)
			text[at] = byte(c)
			if hasControl(text) != (c < ' ') {
				t.Errorf("character %#x at %d: found %t", c, at, c >= ' ')
			}
		}
	}
}

func FuzzLongTextsAreReadLikeAnyOther(f *testing.F) {
	for _, s := range []string{`{"Text":"~"}`, `{"Text":"~","Text":"\""}`, `{"List":[{"Text":"~"}],"Any":"~"}`, `"~`, `["\\~\\"]`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		alike(t, "fuzz", []byte(strings.ReplaceAll(string(b), "~", strings.Repeat("x", longText+1))))
	})
}

func alike(t *testing.T, name string, b []byte) {
	t.Helper()
	var got, want message
	gotErr, wantErr := Unmarshal(b, &got), json.Unmarshal(b, &want)
	if (gotErr == nil) != (wantErr == nil) || wantErr != nil && gotErr.Error() != wantErr.Error() {
		t.Errorf("%s: error %v, want %v", name, gotErr, wantErr)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%s: not what package json reads", name)
	}
	if Valid(b) != json.Valid(b) {
		t.Errorf("%s: Valid is %t", name, Valid(b))
	}
}

func BenchmarkUnmarshal(b *testing.B) {
	text := []byte(`{"Other":"x","Text":"` + strings.Repeat("QUJD", 1<<20) + `"}`)
	for name, unmarshal := range map[string]func([]byte, any) error{"tool": Unmarshal, "json": json.Unmarshal} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(text)))
			for b.Loop() {
				var m message
				if err := unmarshal(text, &m); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

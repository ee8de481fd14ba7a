package code

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/agentbay/agentbay/tool"
)

// Whatever a runner says is refused, or becomes a result that clients can read.
func FuzzParseMessage(f *testing.F) {
	for _, seed := range []string{
		`{"ready":true}`,
		`{"end":true}`,
		`{"result":{"text/plain":"2","image/png":"iVBOR","application/json":{"a":[1,null]}},"main":true}`,
		`{"result":{"text/plain":null,"text/html":5,"isMainResult":"no","x":{}}}`,
		`{"error":{"name":"","message":"\ud800"}}`,
		`{"ready":true,"end":true}`,
		`[[[[`, `null`, `{"result":[]}`, "{\"result\":{\"a/b\":\"\\u0000\xff\"}}",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		m, err := parseMessage(line)
		if err != nil {
			return
		}
		b := bundleOf(m.Result)
		b.shrink(200)
		var sent map[string]any
		if err := json.Unmarshal([]byte(b.encode(m.Main)), &sent); err != nil {
			t.Fatalf("%q becomes %q: %v", line, b.encode(m.Main), err)
		}
		if sent["isMainResult"] != m.Main {
			t.Errorf("%q: isMainResult is %v", line, sent["isMainResult"])
		}
		for mime, value := range sent {
			if value == nil {
				t.Errorf("%q: %s is null", line, mime)
			}
		}
	})
}

// Text is the same however its bytes are split, and always UTF-8.
func FuzzDecoder(f *testing.F) {
	f.Add([]byte("é 漢 😀"), uint8(3))
	f.Add([]byte("\xff\xe6\xbc"), uint8(1))
	f.Add([]byte("\xf0\x9f\x98"), uint8(2))
	f.Fuzz(func(t *testing.T, b []byte, size uint8) {
		var d decoder
		var text strings.Builder
		for piece := b; len(piece) > 0; {
			n := min(len(piece), int(size)+1)
			part := d.decode(piece[:n])
			if !utf8.ValidString(part) {
				t.Fatalf("%q is not UTF-8", part)
			}
			text.WriteString(part)
			piece = piece[n:]
		}
		text.WriteString(d.rest())
		if utf8.Valid(b) && text.String() != string(b) {
			t.Errorf("%q in pieces of %d becomes %q", b, int(size)+1, text.String())
		}
	})
}

func TestLinesAreBounded(t *testing.T) {
	for _, tc := range []struct {
		in   string
		want string
		err  error
	}{
		{"abc\n", "abc", nil},
		{"\n", "", nil},
		{"", "", io.EOF},
		{"abc", "", io.ErrUnexpectedEOF},
		{strings.Repeat("x", 99) + "\n", strings.Repeat("x", 99), nil},
		{strings.Repeat("x", 100) + "\n", "", errTooLong},
		{strings.Repeat("x", 1000), "", errTooLong},
	} {
		line, err := readLine(bufio.NewReaderSize(strings.NewReader(tc.in), 16), 100)
		if string(line) != tc.want || !errors.Is(err, tc.err) {
			t.Errorf("%.20q: %q, %v, want %q, %v", tc.in, line, err, tc.want, tc.err)
		}
	}
}

func TestLargestTypesAreLeftOutFirst(t *testing.T) {
	b := bundle{
		"text/plain":       "small",
		"text/html":        strings.Repeat("h", 400),
		"application/json": json.RawMessage(`"` + strings.Repeat("j", 800) + `"`),
	}
	b.shrink(700)
	if _, ok := b["application/json"]; ok || b["text/html"] == nil || !strings.HasPrefix(b["text/plain"].(string), "small\n[application/json of 802 bytes") {
		t.Errorf("left: %v", b)
	}
	b = bundle{"text/plain": strings.Repeat("p", 2000)}
	b.shrink(700)
	if text := b["text/plain"].(string); !strings.Contains(text, "text/plain of 2000 bytes") {
		t.Errorf("left: %v", text)
	}
}

func TestResultsOfAnAnswerAreBounded(t *testing.T) {
	var kept transcript
	for range 5 {
		kept.add(tool.CodeEvent{Type: "result", Result: bundle{"text/plain": strings.Repeat("r", MaxResults/4)}.flat(false)})
	}
	out := kept.answer()
	if len(out.Result) != 4 || !strings.Contains(out.Result[3], "2 more results left out") {
		t.Errorf("%d results, the last %.100q", len(out.Result), out.Result[len(out.Result)-1])
	}
}

func TestAnswersHaveNoNulls(t *testing.T) {
	var kept transcript
	b, err := json.Marshal(kept.answer())
	if err != nil || bytes.Contains(b, []byte("null")) {
		t.Errorf("%s, %v", b, err)
	}
}

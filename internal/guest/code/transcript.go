package code

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/agentbay/agentbay/tool"
)

// A transcript is what a run said, as far as it is kept for the answer.
type transcript struct {
	stdout, stderr capped
	results        []string
	resultBytes    int
	resultsLeft    int // results left out
}

// add keeps an event.
func (t *transcript) add(e tool.CodeEvent) {
	switch e.Type {
	case "stdout":
		t.stdout.add(e.Chunk)
	case "stderr":
		t.stderr.add(e.Chunk)
	case "result":
		t.addResult(encode(e.Result))
	}
}

func (t *transcript) addResult(result string) {
	if t.resultBytes+len(result) > MaxResults {
		t.resultsLeft++
		return
	}
	t.resultBytes += len(result)
	t.results = append(t.results, result)
}

// answer is the transcript in an answer, in which nothing is null.
func (t *transcript) answer() tool.RunCodeOut {
	out := tool.RunCodeOut{Result: t.results, Stdout: t.stdout.chunks(), Stderr: t.stderr.chunks()}
	if t.resultsLeft > 0 {
		note := fmt.Sprintf("[%d more results left out: the first %d bytes are kept]", t.resultsLeft, MaxResults)
		out.Result = append(out.Result, bundle{"text/plain": note}.encode(false))
	}
	if out.Result == nil {
		out.Result = []string{}
	}
	return out
}

// A capped is the beginning of a text.
type capped struct {
	kept    strings.Builder
	dropped int // bytes
}

func (c *capped) add(text string) {
	room := MaxOutput - c.kept.Len()
	if c.dropped > 0 {
		room = 0
	}
	if len(text) > room {
		cut := beforeRune(text, room)
		c.dropped += len(text) - cut
		text = text[:cut]
	}
	c.kept.WriteString(text)
}

// beforeRune is the last place in s, at most i, that is not inside a character.
func beforeRune(s string, i int) int {
	for i > 0 && !utf8.RuneStart(s[i]) {
		i--
	}
	return i
}

// chunks is the text in one piece, or none, with a mark where it was cut.
func (c *capped) chunks() []string {
	if c.dropped > 0 {
		fmt.Fprintf(&c.kept, "\n[output truncated: %d more bytes]\n", c.dropped)
		c.dropped = 0
	}
	if c.kept.Len() == 0 {
		return []string{}
	}
	return []string{c.kept.String()}
}

// A decoder makes text of bytes that come in pieces. What is not UTF-8 becomes
// U+FFFD; a character may be split between pieces.
type decoder struct{ tail []byte }

// decode is the text of the next piece, without the beginning of a last
// character that may go on.
func (d *decoder) decode(b []byte) string {
	b = append(d.tail, b...)
	n := len(b) - incomplete(b)
	d.tail = append([]byte(nil), b[n:]...)
	return strings.ToValidUTF8(string(b[:n]), "\uFFFD")
}

// rest is the text of what was kept back.
func (d *decoder) rest() string {
	b := d.tail
	d.tail = nil
	return strings.ToValidUTF8(string(b), "\uFFFD")
}

// incomplete is how many bytes at the end of b begin a character without
// ending it.
func incomplete(b []byte) int {
	for n := 1; n < utf8.UTFMax && n <= len(b); n++ {
		if last := b[len(b)-n:]; utf8.RuneStart(last[0]) {
			if utf8.FullRune(last) {
				return 0
			}
			return n
		}
	}
	return 0
}

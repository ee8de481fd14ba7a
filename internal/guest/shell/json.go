package shell

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"unicode/utf8"
)

// writeOut writes a tool.ShellOut as JSON.
func writeOut(w io.Writer, stdout, stderr []byte, status int, trace string) error {
	b := bufio.NewWriter(w)
	b.WriteString(`{"stdout":`)
	quote(b, stdout)
	b.WriteString(`,"stderr":`)
	quote(b, stderr)
	fmt.Fprintf(b, `,"exit_code":%d,"traceId":%q}`, status, trace)
	return b.Flush()
}

// quote writes text as a JSON string, with bytes that are not UTF-8 replaced.
func quote(w *bufio.Writer, text []byte) {
	w.WriteByte('"')
	for len(text) > 0 {
		n := pieceOf(text)
		w.Write(escape(text[:n]))
		text = text[n:]
	}
	w.WriteByte('"')
}

// escape is text as it stands between the quotes of a JSON string.
func escape(text []byte) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(string(text)); err != nil {
		panic("shell: " + err.Error()) // no string is without JSON
	}
	quoted := bytes.TrimSpace(b.Bytes())
	return quoted[1 : len(quoted)-1]
}

// pieceOf is how much of text to write at a time: it never ends within a character.
func pieceOf(text []byte) int {
	const most = 64 << 10
	if len(text) <= most {
		return len(text)
	}
	for n := most; n > most-utf8.UTFMax; n-- {
		if utf8.RuneStart(text[n]) {
			return n
		}
	}
	return most
}

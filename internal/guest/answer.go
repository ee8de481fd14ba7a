package guest

import (
	"bytes"
	"encoding/json"
	"io"
)

// An Answer is what a tool that ran has to say: UTF-8 text, made while it is
// sent. The zero Answer is the empty text.
type Answer struct {
	Failed bool // the tool reports a failure; the text says which
	write  func(io.Writer) error
}

// Text answers with s.
func Text(s string) Answer {
	return Stream(func(w io.Writer) error {
		_, err := io.WriteString(w, s)
		return err
	})
}

// JSON answers with v as JSON.
func JSON(v any) Answer {
	return Stream(func(w io.Writer) error { return SendJSON(w, v) })
}

// Stream answers with what write writes. It is called exactly once, also if
// nobody listens any more, so it may close what it reads from. If it fails, the
// caller sees the answer break off, never a shortened one that looks whole.
func Stream(write func(w io.Writer) error) Answer { return Answer{write: write} }

// AsFailure returns the same answer as the report of a failure.
func (a Answer) AsFailure() Answer {
	a.Failed = true
	return a
}

// send writes the answer's text.
func (a Answer) send(w io.Writer) error {
	if a.write == nil {
		return nil
	}
	return a.write(w)
}

// encode is v as JSON in which <, > and & stand for themselves.
func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// SendJSON writes v as JSON.
func SendJSON(w io.Writer, v any) error {
	b, err := encode(v)
	if err != nil {
		return err
	}
	_, err = w.Write(b)
	return err
}

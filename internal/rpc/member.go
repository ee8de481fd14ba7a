package rpc

import (
	"bytes"
	"encoding/json"
	"errors"
)

var errNoObject = errors.New("not a JSON object")

// eachMember finds the members of a JSON object. It looks no further into their
// values than to find their ends, and copies nothing: the arguments of a call
// may be hundreds of megabytes, and who decodes them will check them.
func eachMember(b []byte, f func(name string, value []byte) error) error {
	b = skipSpace(b)
	if len(b) == 0 || b[0] != '{' {
		return errNoObject
	}
	for b = skipSpace(b[1:]); len(b) > 0 && b[0] == '"'; b = skipSpace(b[1:]) {
		var key, value []byte
		key, b = cut(b, endOfString(b))
		b = skipSpace(b)
		if key == nil || len(b) == 0 || b[0] != ':' {
			return errNoObject
		}
		b = skipSpace(b[1:])
		value, b = cut(b, endOfValue(b))
		b = skipSpace(b)
		if len(value) == 0 || len(b) == 0 {
			return errNoObject
		}
		if err := member(key, value, f); err != nil {
			return err
		}
		if b[0] == '}' {
			break
		}
		if next := skipSpace(b[1:]); b[0] != ',' || len(next) == 0 || next[0] != '"' {
			return errNoObject
		}
	}
	if len(b) == 0 || b[0] != '}' || len(skipSpace(b[1:])) > 0 {
		return errNoObject
	}
	return nil
}

func member(key, value []byte, f func(string, []byte) error) error {
	var name string
	if err := json.Unmarshal(key, &name); err != nil {
		return err
	}
	return f(name, value)
}

// cut divides b after its first n bytes; the first part is nil if n is not positive.
func cut(b []byte, n int) (first, rest []byte) {
	if n <= 0 {
		return nil, b
	}
	return b[:n], b[n:]
}

func skipSpace(b []byte) []byte { return bytes.TrimLeft(b, " \t\r\n") }

// endOfString is the length of the string that b begins with, 0 if it has no end.
func endOfString(b []byte) int {
	for i := 1; ; {
		n := bytes.IndexByte(b[i:], '"')
		if n < 0 {
			return 0
		}
		text := b[i : i+n]
		i += n + 1
		if escapes := len(text) - len(bytes.TrimRight(text, `\`)); escapes%2 == 0 {
			return i
		}
	}
}

// endOfValue is the length of the value that b begins with, 0 if it has no end.
func endOfValue(b []byte) int {
	depth := 0
	for i := 0; i < len(b); {
		switch b[i] {
		case '"':
			n := endOfString(b[i:])
			if n == 0 {
				return 0
			}
			i += n
		case '{', '[':
			depth++
			i++
		case '}', ']':
			if depth == 0 {
				return 0
			}
			depth--
			i++
		default:
			if depth == 0 {
				return endOfWord(b)
			}
			i++
			continue
		}
		if depth == 0 {
			return i
		}
	}
	return 0
}

// endOfWord is the length of the number, boolean or null that b begins with.
func endOfWord(b []byte) int {
	n := bytes.IndexAny(b, ",]} \t\r\n")
	if n < 0 || !json.Valid(b[:n]) {
		return 0
	}
	return n
}

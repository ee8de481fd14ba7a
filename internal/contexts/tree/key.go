package tree

import (
	"strings"

	"github.com/agentbay/agentbay"
)

// The bounds of a path, which are those of Linux: there, a NUL counts too.
const (
	maxPath = 4095
	maxName = 255
)

// Key returns the path in a context of what a session, or a caller, calls path.
// Double and trailing slashes mean nothing. A path that begins with a drive
// letter is of Windows: backslashes are slashes, and the drive is a capital.
// A path without a leading slash means the same as one with it.
//
// Invalid: the path is too long, or has "..", or a NUL; the message says which.
func Key(path string) (string, error) {
	if len(path) > maxPath {
		return "", agentbay.Errorf(agentbay.Invalid, "path %.60q... is longer than %d bytes", path, maxPath)
	}
	key, err := clean(unixForm(path))
	if err != nil {
		return "", agentbay.Errorf(agentbay.Invalid, "path %.300q %s", path, err)
	}
	return key, nil
}

// Show returns how users write a key: with a leading slash, or as Windows does.
func Show(key string) string {
	if !hasDrive(key) {
		return "/" + key
	}
	if len(key) == 2 {
		return key + `\`
	}
	return strings.ReplaceAll(key, "/", `\`)
}

// unixForm returns a Windows path with slashes and a capital drive, and any
// other path as it is.
func unixForm(path string) string {
	rest := strings.TrimLeft(path, "/")
	if !hasDrive(rest) {
		return path
	}
	return strings.ToUpper(rest[:1]) + strings.ReplaceAll(rest[1:], `\`, "/")
}

// hasDrive reports whether a path begins with a drive, such as C: or c:\x.
func hasDrive(path string) bool {
	if len(path) < 2 || path[1] != ':' || len(path) > 2 && path[2] != '/' && path[2] != '\\' {
		return false
	}
	letter := path[0] | 0x20
	return 'a' <= letter && letter <= 'z'
}

// A flaw is what is wrong with a path, as the end of a sentence.
type flaw string

func (f flaw) Error() string { return string(f) }

// clean returns the parts of path with one slash between them.
func clean(path string) (string, error) {
	parts := make([]string, 0, strings.Count(path, "/")+1)
	for part := range strings.SplitSeq(path, "/") {
		switch {
		case part == "" || part == ".":
			continue
		case part == "..":
			return "", flaw(`has a "..": write the path it leads to`)
		case len(part) > maxName:
			return "", flaw("has a name of more than 255 bytes")
		case strings.IndexByte(part, 0) >= 0:
			return "", flaw("has a NUL byte")
		}
		parts = append(parts, part)
	}
	return strings.Join(parts, "/"), nil
}

package contexts

import (
	"fmt"
	"strings"
)

// Compare orders paths part by part: '/' sorts below every other byte, so that
// what is below a directory directly follows it.
func Compare(a, b string) int {
	n := min(len(a), len(b))
	for i := range n {
		if a[i] != b[i] {
			return compareBytes(a[i], b[i])
		}
	}
	return len(a) - len(b)
}

func compareBytes(a, b byte) int {
	switch {
	case a == '/':
		return -1
	case b == '/':
		return 1
	}
	return int(a) - int(b)
}

// Below reports whether path is strictly below dir. Everything is below "".
func Below(path, dir string) bool {
	if dir == "" {
		return path != ""
	}
	return len(path) > len(dir) && path[len(dir)] == '/' && strings.HasPrefix(path, dir)
}

// within reports whether path is dir or below it.
func within(path, dir string) bool { return path == dir || Below(path, dir) }

// past returns a string that Compare puts behind all that is within dir, and
// before what follows. It is no path.
func past(dir string) string { return dir + "\x00" }

// maxPath bounds the length of paths.
const maxPath = 16 << 10

// checkPath says why path cannot be an entry's, or nil.
func checkPath(path string) error {
	if path == "" || len(path) > maxPath {
		return fmt.Errorf("the path has %d bytes", len(path))
	}
	if strings.IndexByte(path, 0) >= 0 {
		return fmt.Errorf("the path %q has a NUL", path)
	}
	for part := range strings.SplitSeq(path, "/") {
		if part == "" || part == "." || part == ".." {
			return fmt.Errorf("the path %q has the part %q", path, part)
		}
	}
	return nil
}

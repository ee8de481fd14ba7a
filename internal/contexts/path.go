package contexts

import "strings"

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

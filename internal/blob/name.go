package blob

import (
	"strings"

	"github.com/agentbay/agentbay"
)

// MaxName is the length of the longest name, in bytes.
const MaxName = 255

// CheckName refuses what cannot be a blob's name, as every method of a [Store]
// does. It is Invalid.
func CheckName(name string) error {
	if name == "" || len(name) > MaxName {
		return agentbay.Errorf(agentbay.Invalid, "a blob's name has 1 to %d bytes, this has %d", MaxName, len(name))
	}
	for part := range strings.SplitSeq(name, "/") {
		if part == "" || part == "." || part == ".." {
			return agentbay.Errorf(agentbay.Invalid, "the blob's name %q has an empty, \".\" or \"..\" part; use another", name)
		}
	}
	for i := range len(name) {
		if !letter(name[i]) {
			return agentbay.Errorf(agentbay.Invalid, "the blob's name %q has %q in it; use a to z, digits, '-', '_', '.' and '/'", name, name[i])
		}
	}
	return nil
}

func letter(c byte) bool {
	return 'a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '-' || c == '_' || c == '.' || c == '/'
}

// Begins reports whether a blob's name can begin with prefix.
func Begins(prefix string) bool {
	return CheckName(prefix) == nil || CheckName(prefix+"x") == nil
}

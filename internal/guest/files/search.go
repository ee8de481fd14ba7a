package files

import (
	"bufio"
	"cmp"
	"context"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/agentbay/agentbay/internal/guest"
	"github.com/agentbay/agentbay/tool"
)

// searchFiles answers while it searches. What cannot be read is passed over. No
// pattern finds everything that is not excluded.
func searchFiles(ctx context.Context, in tool.SearchFilesIn) (guest.Answer, error) {
	root, err := absolute(in.Path)
	if err != nil {
		return guest.Answer{}, err
	}
	info, err := os.Stat(root)
	if err == nil && !info.IsDir() {
		err = syscall.ENOTDIR
	}
	if err != nil {
		return guest.Answer{}, failed("search", root, err)
	}
	s := search{root: root, pattern: cmp.Or(in.Pattern, "*"), excludes: slices.Concat(in.ExcludePatterns, in.ExcludePatterns2)}
	return guest.Stream(func(w io.Writer) error { return s.run(ctx, w) }), nil
}

// A search is a walk through a directory.
type search struct {
	root, pattern string
	excludes      []string
}

func (s search) run(ctx context.Context, w io.Writer) error {
	out, divide := bufio.NewWriter(w), ""
	start := s.root + string(filepath.Separator) + "." // if it is a link, what it leads to
	err := filepath.WalkDir(start, func(path string, e fs.DirEntry, err error) error {
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case path == start:
			return nil
		case s.excluded(path):
			return skip(e)
		case err == nil && s.matches(path, s.pattern):
			out.WriteString(divide + oneLine(path))
			divide = "\n"
		}
		return nil
	})
	if divide == "" && err == nil {
		out.WriteString("No matches found")
	}
	if err != nil {
		return err
	}
	return out.Flush()
}

// skip leaves out an entry with all that is below it.
func skip(e fs.DirEntry) error {
	if e.IsDir() {
		return fs.SkipDir
	}
	return nil
}

func (s search) excluded(path string) bool {
	return slices.ContainsFunc(s.excludes, func(pattern string) bool { return s.matches(path, pattern) })
}

// matches compares a pattern with a path's last name or, if the pattern has
// slashes, with the path below the root, of which * then matches any part.
func (s search) matches(path, pattern string) bool {
	if !strings.ContainsRune(pattern, '/') {
		return match(pattern, filepath.Base(path))
	}
	below := filepath.ToSlash(strings.TrimPrefix(path, s.root))
	below = strings.TrimPrefix(below, "/")
	return match(pattern, below) || match(pattern, "/"+below) || match(pattern, "/"+below+"/")
}

// match reports whether all of name matches a pattern in which * stands for any
// characters and ? for one. It takes time in proportion to both lengths at worst.
func match(pattern, name string) bool {
	p, n := []rune(fold(pattern)), []rune(fold(name))
	star, resume := -1, 0 // the last * and where it ends in n
	i, j := 0, 0
	for j < len(n) {
		switch {
		case i < len(p) && p[i] == '*':
			star, resume = i, j
			i++
		case i < len(p) && (p[i] == '?' || p[i] == n[j]):
			i, j = i+1, j+1
		case star >= 0: // let the * take one more
			resume++
			i, j = star+1, resume
		default:
			return false
		}
	}
	return strings.Trim(string(p[i:]), "*") == ""
}

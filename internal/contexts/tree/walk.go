package tree

import (
	"errors"
	"strings"

	"github.com/agentbay/agentbay"
	"github.com/agentbay/agentbay/internal/contexts"
	"golang.org/x/sys/unix"
)

// loadingPrefix begins the names of files that are being loaded. What a killed
// Load left of them is not saved.
const loadingPrefix = ".agentbay-loading-"

// A found is a name in a directory of a session. Its directory is open only
// while it is visited.
type found struct {
	rel    string
	dir    int
	name   string
	st     unix.Stat_t
	kind   contexts.Kind // removed for a whiteout
	opaque bool
}

// A walker visits a directory in the order of paths.
type walker struct {
	sel    Selection
	p      *Progress
	visit  func(found) error
	merged string // where all is of which an upper directory has only what changed; "" to do without
	held   int    // names in memory: those of each directory on the way down
}

// walk visits what is selected below an open directory.
func (w *walker) walk(dir int, rel string) error {
	all, err := names(dir)
	if err != nil {
		return failed(err, "save", rel)
	}
	w.held += len(all)
	defer func() { w.held -= len(all) }()
	if w.held > maxEntries {
		return agentbay.Errorf(agentbay.Exhausted, "%s and the directories it is in have more than %d entries; use several side by side", show(rel), maxEntries)
	}
	for _, name := range all {
		if err := w.name(dir, join(rel, name), name); err != nil {
			return err
		}
	}
	return nil
}

// name visits one name, and what is below it.
func (w *walker) name(dir int, rel, name string) error {
	in, within := w.sel.Match(rel)
	if !within || strings.HasPrefix(name, loadingPrefix) {
		return nil
	}
	if len(w.sel.Key(rel)) > maxPath {
		w.p.warn("%s was left out: its path is longer than %d bytes", show(rel), maxPath)
		return nil
	}
	st, err := statAt(dir, name)
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	if err != nil {
		return failed(err, "save", rel)
	}
	f := found{rel: rel, dir: dir, name: name, st: st}
	switch {
	case isWhiteout(st):
		f.kind = removed
	case st.Mode&unix.S_IFMT == unix.S_IFDIR:
		return w.dir(f)
	case st.Mode&unix.S_IFMT == unix.S_IFREG:
		f.kind = contexts.File
	case st.Mode&unix.S_IFMT == unix.S_IFLNK:
		f.kind = contexts.Symlink
	default:
		w.p.warn("%s was left out: it is a device, a socket or a pipe", show(rel))
		return nil
	}
	if !in && f.kind != removed {
		return nil
	}
	return w.visit(f)
}

// dir visits a directory and what is in it.
func (w *walker) dir(f found) error {
	fd, err := openDir(f.dir, f.name)
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP) {
		return nil
	}
	if err != nil {
		return failed(err, "save", f.rel)
	}
	defer unix.Close(fd)
	f.kind, f.opaque = contexts.Dir, isOpaque(fd)
	if w.merged != "" && isRenamed(fd) {
		return w.renamed(f)
	}
	if err := w.visit(f); err != nil {
		return err
	}
	return w.walk(fd, f.rel)
}

// renamed visits a directory of the layers that was renamed, and all the session
// sees in it: it is the session's now.
func (w *walker) renamed(f found) error {
	top, err := openTop(w.merged)
	if err != nil {
		return failed(err, "save", w.merged)
	}
	defer unix.Close(top)
	fd, err := openBelow(top, f.rel)
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP) {
		return nil
	}
	if err != nil {
		return failed(err, "save", f.rel)
	}
	defer unix.Close(fd)
	if err := w.visit(f); err != nil {
		return err
	}
	inside := *w
	inside.merged = ""
	return inside.walk(fd, f.rel)
}

// show returns how messages write a path of a session.
func show(rel string) string {
	const most = 300
	if len(rel) > most {
		rel = rel[:most] + "..."
	}
	return `"` + strings.ToValidUTF8(rel, "?") + `"`
}

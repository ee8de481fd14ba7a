package agentbay

import (
	"cmp"
	"context"
	"encoding/base64"
	"io"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/agentbay/agentbay/tool"
)

// window is how many bytes of a file travel in one call.
const window = 4 << 20

// An FS is the files of a session as an [io/fs.FS], and ways to change them.
// Names are slash-separated and relative to its root, as fs.FS wants: in the FS
// of a session, "tmp/x" is the file /tmp/x. [FS.Sub] makes one of a directory.
//
// A symbolic link is seen as what it points to.
type FS struct {
	ctx     context.Context // the interface fs.FS has no place for it
	session *Session
	root    string // absolute path
}

var (
	_ fs.ReadFileFS = (*FS)(nil)
	_ fs.ReadDirFS  = (*FS)(nil)
	_ fs.StatFS     = (*FS)(nil)
	_ fs.SubFS      = (*FS)(nil)
)

// FS returns the session's files. Every use of it, and of files opened in it,
// ends when ctx is done.
func (s *Session) FS(ctx context.Context) *FS { return &FS{ctx: ctx, session: s, root: "/"} }

// Sub returns the files below a directory, as an *FS.
func (f *FS) Sub(dir string) (fs.FS, error) {
	full, err := f.full("sub", dir)
	if err != nil {
		return nil, err
	}
	return &FS{ctx: f.ctx, session: f.session, root: full}, nil
}

// full returns the absolute path of a name.
func (f *FS) full(op, name string) (string, error) {
	if !fs.ValidPath(name) || strings.Contains(name, "\x00") {
		return "", &fs.PathError{Op: op, Path: name, Err: fs.ErrInvalid}
	}
	return path.Join(f.root, name), nil
}

// do calls a tool about one name and turns its failure into a PathError.
func do[In, Out any](f *FS, op, name string, def tool.Def[In, Out], in In) (string, error) {
	r, err := resultOf(f.ctx, f.session.service, f.session.ID, def, in)
	if err != nil {
		return "", &fs.PathError{Op: op, Path: name, Err: err}
	}
	if r.Failed {
		return "", &fs.PathError{Op: op, Path: name, Err: fileError(r.Text)}
	}
	return r.Text, nil
}

// A fileFailure is a tool's sentence that is also one of the errors of package fs.
type fileFailure struct {
	text string
	kind error
}

func (e *fileFailure) Error() string { return e.text }
func (e *fileFailure) Unwrap() error { return e.kind }

// fileError finds in a tool's sentence the words of the system call that failed.
func fileError(text string) error {
	lower := strings.ToLower(text)
	for _, k := range []struct {
		words string
		kind  error
	}{
		{"no such file", fs.ErrNotExist},
		{"not found", fs.ErrNotExist},
		{"does not exist", fs.ErrNotExist},
		{"permission denied", fs.ErrPermission},
		{"operation not permitted", fs.ErrPermission},
		{"exists", fs.ErrExist},
	} {
		if strings.Contains(lower, k.words) {
			return &fileFailure{text, k.kind}
		}
	}
	return Errorf(Invalid, "%s", text)
}

// Stat describes a file or directory.
func (f *FS) Stat(name string) (fs.FileInfo, error) {
	full, err := f.full("stat", name)
	if err != nil {
		return nil, err
	}
	text, err := do(f, "stat", name, tool.FileInfo, tool.PathIn{Path: full})
	if err != nil {
		return nil, err
	}
	return parseInfo(path.Base(name), text), nil
}

// A fileInfo is what get_file_info tells.
type fileInfo struct {
	name    string
	size    int64
	mode    fs.FileMode
	modTime time.Time
}

func (i *fileInfo) Name() string       { return i.name }
func (i *fileInfo) Size() int64        { return i.size }
func (i *fileInfo) Mode() fs.FileMode  { return i.mode }
func (i *fileInfo) ModTime() time.Time { return i.modTime }
func (i *fileInfo) IsDir() bool        { return i.mode.IsDir() }
func (i *fileInfo) Sys() any           { return nil }
func (i *fileInfo) String() string     { return fs.FormatFileInfo(i) }

// parseInfo reads lines "key: value"; those that are missing or odd are zero.
func parseInfo(name, text string) *fileInfo {
	values := map[string]string{}
	for line := range strings.Lines(text) {
		key, value, _ := strings.Cut(strings.TrimRight(line, "\n"), ": ")
		values[key] = strings.TrimSpace(value)
	}
	i := &fileInfo{name: name, modTime: parseTime(cmp.Or(values["modTime"], values["modified"]))}
	i.size, _ = strconv.ParseInt(values["size"], 10, 64)
	i.mode = parseMode(values)
	return i
}

// parseMode reads the permissions, in octal, and what kind of file it is.
func parseMode(values map[string]string) fs.FileMode {
	bits, _ := strconv.ParseUint(values["permissions"], 8, 12)
	mode := fs.FileMode(bits) & fs.ModePerm
	switch {
	case values["isDirectory"] == "true":
		mode |= fs.ModeDir
	case values["isFile"] == "false":
		mode |= fs.ModeIrregular
	}
	return mode
}

// ReadDir lists a directory, sorted by name.
func (f *FS) ReadDir(name string) ([]fs.DirEntry, error) {
	full, err := f.full("readdir", name)
	if err != nil {
		return nil, err
	}
	text, err := do(f, "readdir", name, tool.ListDirectory, tool.PathIn{Path: full})
	if err != nil {
		return nil, err
	}
	var entries []fs.DirEntry
	for line := range strings.Lines(text) {
		if e := f.parseEntry(name, strings.TrimRight(line, "\n")); e != nil {
			entries = append(entries, e)
		}
	}
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return cmp.Compare(a.Name(), b.Name()) })
	return entries, nil
}

func (f *FS) parseEntry(dir, line string) fs.DirEntry {
	if name, ok := strings.CutPrefix(line, "[DIR] "); ok {
		return &dirEntry{fs: f, path: path.Join(dir, name), name: name, dir: true}
	}
	if name, ok := strings.CutPrefix(line, "[FILE] "); ok {
		return &dirEntry{fs: f, path: path.Join(dir, name), name: name}
	}
	return nil
}

// A dirEntry is one line of list_directory.
type dirEntry struct {
	fs         *FS
	path, name string
	dir        bool
}

func (e *dirEntry) Name() string               { return e.name }
func (e *dirEntry) IsDir() bool                { return e.dir }
func (e *dirEntry) Info() (fs.FileInfo, error) { return e.fs.Stat(e.path) }
func (e *dirEntry) String() string             { return fs.FormatDirEntry(e) }

func (e *dirEntry) Type() fs.FileMode {
	if e.dir {
		return fs.ModeDir
	}
	return 0
}

// ReadFile returns all of a file.
func (f *FS) ReadFile(name string) ([]byte, error) {
	file, err := f.Open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return io.ReadAll(file)
}

// Open opens a file or directory for reading. An open file also implements
// io.Seeker and io.ReaderAt.
func (f *FS) Open(name string) (fs.File, error) {
	full, err := f.full("open", name)
	if err != nil {
		return nil, err
	}
	text, err := do(f, "open", name, tool.FileInfo, tool.PathIn{Path: full})
	if err != nil {
		return nil, err
	}
	info := parseInfo(path.Base(name), text)
	if info.IsDir() {
		return &openDir{fs: f, name: name, info: info}, nil
	}
	return newOpenFile(f, name, full, info), nil
}

// WriteFile writes a file, making its parent directories as needed.
func (f *FS) WriteFile(name string, data []byte) error {
	w, err := f.Create(name)
	if err != nil {
		return err
	}
	if _, err := w.Write(data); err != nil {
		return err
	}
	return w.Close()
}

// Create opens a file for writing, empty, making its parent directories as
// needed. What is written is in the file once Close has returned nil, and in
// part before that; a Write may report the failure of an earlier one.
func (f *FS) Create(name string) (io.WriteCloser, error) {
	full, err := f.full("create", name)
	if err != nil {
		return nil, err
	}
	return &fileWriter{fs: f, name: name, full: full}, nil
}

// A fileWriter gathers what is written into calls of one window each. One call
// may be under way while the next window fills.
type fileWriter struct {
	fs         *FS
	name, full string
	pending    []byte
	started    bool       // the first window has replaced what the file held, or will
	sent       chan error // how the call under way ended; nil if there is none
	err        error
}

func (w *fileWriter) Write(p []byte) (n int, err error) {
	for w.err == nil && n < len(p) {
		part := p[n:min(len(p), n+window-len(w.pending))]
		w.pending = append(w.pending, part...)
		n += len(part)
		if len(w.pending) == window {
			w.err = w.flush()
		}
	}
	return n, w.err
}

// settle waits for the call under way.
func (w *fileWriter) settle() (err error) {
	if w.sent != nil {
		err = <-w.sent
		w.sent = nil
	}
	return err
}

// flush begins to send what is pending, once what came before it is written.
func (w *fileWriter) flush() error {
	if err := w.settle(); err != nil {
		return err
	}
	mode := "append"
	if !w.started {
		mode = "overwrite"
	}
	w.started = true
	in := tool.WriteFileIn{Path: w.full, Content: base64.StdEncoding.EncodeToString(w.pending), Mode: mode, Format: "binary"}
	w.pending = w.pending[:0]
	sent := make(chan error, 1)
	w.sent = sent
	go func() {
		_, err := do(w.fs, "write", w.name, tool.WriteFile, in)
		sent <- err
	}()
	return nil
}

// Close writes what is pending. A second Close is an error.
func (w *fileWriter) Close() error {
	if w.err == nil && (len(w.pending) > 0 || !w.started) {
		w.err = w.flush()
	}
	if w.err == nil {
		w.err = w.settle()
	}
	if w.err != nil {
		return w.err
	}
	w.err = &fs.PathError{Op: "write", Path: w.name, Err: fs.ErrClosed}
	return nil
}

// MkdirAll makes a directory and its parents. An existing one is fine.
func (f *FS) MkdirAll(name string) error {
	full, err := f.full("mkdir", name)
	if err != nil {
		return err
	}
	_, err = do(f, "mkdir", name, tool.CreateDirectory, tool.PathIn{Path: full})
	return err
}

// RemoveAll removes a file, or a directory with all it holds. What is not
// there is ErrNotExist.
func (f *FS) RemoveAll(name string) error {
	full, err := f.full("remove", name)
	if err != nil {
		return err
	}
	_, err = do(f, "remove", name, tool.DeleteFile, tool.PathIn{Path: full})
	return err
}

// Rename moves a file or directory.
func (f *FS) Rename(from, to string) error {
	source, err := f.full("rename", from)
	if err != nil {
		return err
	}
	destination, err := f.full("rename", to)
	if err != nil {
		return err
	}
	_, err = do(f, "rename", from, tool.MoveFile, tool.MoveFileIn{Source: source, Destination: destination})
	return err
}

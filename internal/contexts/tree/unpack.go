package tree

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"
	"time"

	"github.com/agentbay/agentbay"
	"github.com/agentbay/agentbay/internal/contexts"
	"golang.org/x/sys/unix"
)

// The bounds of what an archive may become. One that exceeds them is left as
// it is.
const (
	maxUnpacked  = 64 << 30
	freeUnpacked = 100 << 20 // of which nobody asks from how little it came
	maxRatio     = 200
	maxItems     = 500_000
	maxZipIndex  = 256 << 20
)

// A broken is why an archive cannot be unpacked, as the end of a sentence.
type broken struct{ error }

func (l layer) hides(e contexts.Entry) bool { return e.Packed || l.v.Extract.DeleteSource }

// target returns the directory that an archive is unpacked into, below the
// mount.
func (l layer) target(e contexts.Entry) string {
	rel, _ := l.v.Selection.Rel(e.Path)
	dir, name := path.Split(rel)
	dir = strings.TrimSuffix(dir, "/")
	if e.Packed || l.v.Extract.CurrentFolder {
		return dir
	}
	return join(dir, name[:len(name)-len(archiveType(name))])
}

// unpack unpacks archives in a layer that has all else. It returns how many
// bytes of the disk that took. What the context has by itself stays as it is.
func (l layer) unpack(ctx context.Context, dir string, all []contexts.Entry) (size int64, err error) {
	top, err := openTop(dir)
	if err != nil {
		return 0, failed(err, "checkout", dir)
	}
	defer unix.Close(top)
	for _, e := range all {
		tmp, n, err := l.extract(ctx, top, e)
		size += n
		if b := (broken{}); errors.As(err, &b) {
			l.p.warn("%s was left as it is: %v", Show(e.Path), b)
			if l.hides(e) {
				err = l.leave(ctx, dir, e)
			} else {
				err = nil
			}
		} else if err == nil {
			err = l.settleLayer(top, tmp, l.target(e))
			err = errors.Join(err, removeAt(top, tmp))
		}
		if err != nil {
			return size, failed(err, "unpack", Show(e.Path))
		}
	}
	return size, nil
}

// leave shows an archive as the file that it is.
func (l layer) leave(ctx context.Context, dir string, e contexts.Entry) error {
	one := l.repo.Contents(ctx, func(yield func(contexts.Entry, error) bool) { yield(e, nil) })
	_, err := build(ctx, dir, l.v, l.p, buildOver, l.meta(ctx), one)
	return err
}

// settleLayer moves what was unpacked to where it belongs, unless something is
// there.
func (l layer) settleLayer(top int, tmp, rel string) error {
	from, err := openDir(top, tmp)
	if err != nil {
		return err
	}
	defer unix.Close(from)
	to, _, err := l.mkdirs(top, rel)
	if err != nil || to < 0 {
		return err
	}
	defer unix.Close(to)
	return moveInto(from, to)
}

// mkdirs opens a directory below top, and makes what is missing of it, which it
// returns too. The directory is -1 if something else is there.
func (l layer) mkdirs(top int, rel string) (fd int, made []string, err error) {
	fd, err = openBelow(top, "")
	if err != nil || rel == "" {
		return fd, nil, err
	}
	at := ""
	for name := range strings.SplitSeq(rel, "/") {
		next, isNew, err := l.mkdirAt(fd, name)
		unix.Close(fd)
		if errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP) {
			return -1, made, nil
		}
		if err != nil {
			return -1, made, err
		}
		fd, at = next, join(at, name)
		if isNew {
			made = append(made, at)
		}
	}
	return fd, made, nil
}

// mkdirAt opens a directory, and makes it if it is missing.
func (l layer) mkdirAt(dir int, name string) (fd int, made bool, err error) {
	if err := unix.Mkdirat(dir, name, 0o755); err != nil {
		if errors.Is(err, unix.EEXIST) {
			fd, err = openDir(dir, name)
		}
		return fd, false, err
	}
	if fd, err = openDir(dir, name); err != nil {
		return -1, true, err
	}
	if err := errors.Join(unix.Fchown(fd, int(l.v.UID), int(l.v.GID)), unix.Fchmod(fd, 0o755)); err != nil {
		unix.Close(fd)
		return -1, true, err
	}
	return fd, true, nil
}

// moveInto moves what is in one directory into another. Directories become one,
// and what is there already stays.
func moveInto(from, to int) error {
	all, err := names(from)
	if err != nil {
		return err
	}
	var st unix.Stat_t
	if err := unix.Fstat(to, &st); err != nil {
		return err
	}
	for _, name := range all {
		err := unix.Renameat2(from, name, to, name, unix.RENAME_NOREPLACE)
		if errors.Is(err, unix.EEXIST) {
			err = moveBoth(from, to, name)
		}
		if err != nil {
			return err
		}
	}
	return setTimes(to, timeOf(st.Mtim))
}

// moveBoth moves a name that is in both directories.
func moveBoth(from, to int, name string) error {
	if !isDir(from, name) || !isDir(to, name) {
		return nil
	}
	a, err := openDir(from, name)
	if err != nil {
		return err
	}
	defer unix.Close(a)
	b, err := openDir(to, name)
	if err != nil {
		return err
	}
	defer unix.Close(b)
	return moveInto(a, b)
}

// extract unpacks an archive into a new directory in top, and returns its name,
// and how many bytes of the disk it takes. If it fails there is none. An
// archive that cannot be unpacked is a broken.
func (l layer) extract(ctx context.Context, top int, e contexts.Entry) (tmp string, size int64, err error) {
	tmp = loadingPrefix + newID()
	if err := unix.Mkdirat(top, tmp, 0o700); err != nil {
		return "", 0, err
	}
	fd, err := openDir(top, tmp)
	if err != nil {
		return "", 0, err
	}
	u := &unpacker{ctx: ctx, layer: l, entry: e, base: l.target(e), top: fd, dir: fd, left: maxUnpacked, items: maxItems}
	if !e.Packed {
		u.left = max(freeUnpacked, saturate(e.Size, maxRatio))
	}
	err = u.run()
	unix.Close(fd)
	if err != nil {
		err = errors.Join(err, removeAt(top, tmp))
	}
	return tmp, u.disk, err
}

func saturate(n, factor int64) int64 {
	if n > maxUnpacked/factor {
		return maxUnpacked
	}
	return n * factor
}

// An unpacker unpacks one archive.
type unpacker struct {
	ctx context.Context
	layer
	entry contexts.Entry
	base  string // below the mount, where it will be
	top   int    // where it is unpacked
	left  int64  // bytes that it may still become
	items int    // names that it may still become
	disk  int64

	at   string // the directory that is open
	dir  int
	dirs []dirTime // to be set at the end
}

// A dirTime is what a directory becomes when all is in it.
type dirTime struct {
	rel  string
	mode fs.FileMode
	at   time.Time
}

// run unpacks all of it.
func (u *unpacker) run() (err error) {
	file, err := u.repo.Open(u.ctx, u.entry)
	if err != nil {
		return err
	}
	defer file.Close()
	defer func() { u.close() }()
	in := &source{file: file}
	if archiveType(u.entry.Path) == ".zip" && !u.entry.Packed {
		err = u.zip(in)
	} else {
		err = u.tar(in)
	}
	if in.err != nil { // it is not the archive that is broken
		return in.err
	}
	if err != nil {
		return err
	}
	return u.finish()
}

// A source reads a file of the repository, and remembers whether that failed.
type source struct {
	file interface {
		io.ReadSeeker
		Size() int64
	}
	index int64 // bytes that may still be read of a zip's index; 0 for all
	err   error
}

func (s *source) Read(b []byte) (int, error) {
	n, err := s.file.Read(b)
	if err != nil && err != io.EOF {
		s.err = err
	}
	return n, err
}

// ReadAt is for one reader at a time.
func (s *source) ReadAt(b []byte, at int64) (int, error) {
	if s.index != 0 {
		if s.index -= int64(len(b)); s.index <= 0 {
			s.index = -1
			return 0, errors.New("its index is too large")
		}
	}
	if at < 0 || at > s.file.Size() {
		return 0, io.EOF
	}
	if _, err := s.file.Seek(at, io.SeekStart); err != nil {
		s.err = err
		return 0, err
	}
	n, err := io.ReadFull(s, b)
	if err == io.ErrUnexpectedEOF {
		err = io.EOF
	}
	return n, err
}

func (u *unpacker) zip(in *source) error {
	in.index = maxZipIndex
	r, err := zip.NewReader(in, in.file.Size())
	if err != nil {
		return broken{fmt.Errorf("it is no zip archive: %w", err)}
	}
	in.index = 0
	for _, f := range r.File {
		if err := u.zipped(f); err != nil {
			return err
		}
	}
	return nil
}

func (u *unpacker) zipped(f *zip.File) error {
	const encrypted = 1
	if f.Flags&encrypted != 0 {
		return broken{errors.New("it is encrypted")}
	}
	r, err := f.Open()
	if err != nil {
		return broken{err}
	}
	defer r.Close()
	it := item{name: f.Name, mode: f.Mode(), at: f.Modified, content: r}
	if it.mode.Type() == fs.ModeSymlink {
		target, err := io.ReadAll(io.LimitReader(r, maxPath))
		if err != nil {
			return broken{err}
		}
		it.target = string(target)
	}
	return u.put(it)
}

func (u *unpacker) tar(in io.Reader) error {
	if archiveType(u.entry.Path) != ".tar" || u.entry.Packed {
		gz, err := gzip.NewReader(in)
		if err != nil {
			return broken{fmt.Errorf("it is not compressed by gzip: %w", err)}
		}
		in = gz
	}
	r := tar.NewReader(in)
	for {
		h, err := r.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return broken{fmt.Errorf("it is no tar archive, or only a part of one: %w", err)}
		}
		it := item{name: h.Name, mode: h.FileInfo().Mode(), at: h.ModTime, target: h.Linkname, content: r}
		switch h.Typeflag {
		case tar.TypeLink:
			it.hard = true
		case tar.TypeReg, tar.TypeDir, tar.TypeSymlink, tar.TypeGNUSparse:
		default:
			continue
		}
		if err := u.put(it); err != nil {
			return err
		}
	}
}

// An item is one name in an archive.
type item struct {
	name    string
	mode    fs.FileMode
	at      time.Time
	target  string
	hard    bool // a link to what came before
	content io.Reader
}

// wants reports whether what an archive has is in the view. A list that names the
// archive itself means all of it, wherever it is unpacked.
func (u *unpacker) wants(full string) bool {
	in, _ := u.v.Selection.Match(full)
	rel, _ := u.v.Selection.Rel(u.entry.Path)
	return in || !u.entry.Packed && u.v.Selection.names(rel)
}

// put makes an item. What cannot be where it wants to be is left out.
func (u *unpacker) put(it item) error {
	if err := u.ctx.Err(); err != nil {
		return context.Cause(u.ctx)
	}
	if u.items--; u.items < 0 {
		return broken{fmt.Errorf("it has more than %d names", maxItems)}
	}
	rel, err := clean(it.name)
	if err != nil {
		u.p.warn("%s has %s, which was left out: it %v", Show(u.entry.Path), show(it.name), err)
		return nil
	}
	full := join(u.base, rel)
	if !u.wants(full) || rel == "" || len(u.v.Selection.Key(full)) > maxPath {
		return nil
	}
	if it.at.IsZero() || it.at.Year() < 1970 {
		it.at = u.entry.Modified
	}
	if !u.entry.Packed {
		it.mode &^= fs.ModeSetuid | fs.ModeSetgid | fs.ModeSticky
	}
	err = u.make(rel, it)
	if errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP) || errors.Is(err, unix.EEXIST) || errors.Is(err, unix.ENOENT) || errors.Is(err, unix.EISDIR) || errors.Is(err, unix.EPERM) {
		u.p.warn("%s has %s, which was left out: something else of it is there", Show(u.entry.Path), show(it.name))
		return nil
	}
	return err
}

// make makes what is at rel.
func (u *unpacker) make(rel string, it item) error {
	dir, name := path.Split(rel)
	if it.mode.IsDir() && !it.hard {
		u.dirs = append(u.dirs, dirTime{rel, it.mode, it.at})
		return u.enter(rel)
	}
	if err := u.enter(strings.TrimSuffix(dir, "/")); err != nil {
		return err
	}
	if err := unix.Unlinkat(u.dir, name, 0); err != nil && !errors.Is(err, unix.ENOENT) {
		return err
	}
	if it.hard {
		return u.link(name, it)
	}
	u.p.Files.Add(1)
	if it.mode.Type() == fs.ModeSymlink {
		return makeLink(u.dir, name, contexts.Entry{Target: it.target, Modified: it.at}, u.v.UID, u.v.GID)
	}
	return u.file(name, it)
}

// link makes a hard link to what was unpacked before.
func (u *unpacker) link(name string, it item) error {
	target, err := clean(it.target)
	if err != nil {
		return unix.ENOENT
	}
	dir, base := path.Split(target)
	from, err := openBelow(u.top, strings.TrimSuffix(dir, "/"))
	if err != nil {
		return err
	}
	defer unix.Close(from)
	st, err := statAt(from, base)
	if err != nil {
		return err
	}
	if kindOf(st) != contexts.File {
		return unix.EPERM
	}
	return unix.Linkat(from, base, u.dir, name, 0)
}

func (u *unpacker) file(name string, it item) error {
	fd, err := unix.Openat(u.dir, name, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if err := u.copy(fd, it.content); err != nil {
		return err
	}
	if err := unix.Fchown(fd, int(u.v.UID), int(u.v.GID)); err != nil {
		return err
	}
	if err := unix.Fchmod(fd, unixMode(it.mode)); err != nil {
		return err
	}
	return setTimes(fd, it.at)
}

// copy writes content, within what is left.
func (u *unpacker) copy(fd int, in io.Reader) error {
	buf := buffers.Get().(*[256 << 10]byte)
	defer buffers.Put(buf)
	for at := int64(0); ; {
		n, err := io.ReadFull(in, buf[:])
		if u.left -= int64(n); u.left < 0 {
			return broken{errors.New("it would become more than anyone would pack that way")}
		}
		if !isZero(buf[:n]) {
			if err := writeAt(fd, buf[:n], at); err != nil {
				return err
			}
			u.disk += int64(n+4095) / 4096 * 4096
			if err := u.v.tookBytes(n); err != nil {
				return err
			}
		}
		at += int64(n)
		u.p.Bytes.Add(int64(n))
		if err == io.EOF || err == io.ErrUnexpectedEOF || err == nil {
			if err := unix.Ftruncate(fd, at); err != nil {
				return err
			}
		}
		if err == io.EOF || err == io.ErrUnexpectedEOF {
			return nil
		}
		if err != nil {
			return broken{err}
		}
		if err := u.ctx.Err(); err != nil {
			return context.Cause(u.ctx)
		}
	}
}

func isZero(b []byte) bool {
	return len(b) > 0 && b[0] == 0 && bytes.Equal(b[1:], b[:len(b)-1])
}

// enter opens a directory, and makes what is missing of it.
func (u *unpacker) enter(rel string) error {
	if rel == u.at {
		return nil
	}
	u.close()
	fd, err := u.openDirs(rel)
	if err == nil {
		u.at, u.dir = rel, fd
	}
	return err
}

func (u *unpacker) openDirs(rel string) (int, error) {
	fd := u.top
	for name := range strings.SplitSeq(rel, "/") {
		if name == "" {
			break
		}
		next, _, err := u.mkdirAt(fd, name)
		if fd != u.top {
			unix.Close(fd)
		}
		if err != nil {
			return -1, err
		}
		fd = next
		u.disk += 4096
	}
	return fd, nil
}

// close goes back to the top.
func (u *unpacker) close() {
	if u.dir != u.top {
		unix.Close(u.dir)
	}
	u.at, u.dir = "", u.top
}

// finish gives directories their modes and times, the deepest first.
func (u *unpacker) finish() error {
	for i := len(u.dirs) - 1; i >= 0; i-- {
		d := u.dirs[i]
		fd, err := openBelow(u.top, d.rel)
		if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP) {
			continue
		}
		if err != nil {
			return err
		}
		err = errors.Join(unix.Fchmod(fd, unixMode(d.mode)), setTimes(fd, d.at))
		unix.Close(fd)
		if err != nil {
			return err
		}
	}
	return nil
}

// unpackAll unpacks the archives that are new, where something else may be.
// What the context has by itself, and what else the session made, stays.
func (l *loader) unpackAll(ctx context.Context, top int) error {
	known, err := l.unpackedBefore(ctx)
	if err != nil {
		return err
	}
	for _, e := range l.packed {
		if known(e) {
			continue
		}
		if err := l.unpackOne(ctx, top, e); err != nil {
			return failed(err, "unpack", Show(e.Path))
		}
	}
	return nil
}

// unpackedBefore returns what tells whether the content of an archive is there,
// or was: because it was in the state that was mounted, or loaded later.
func (l *loader) unpackedBefore(ctx context.Context) (func(contexts.Entry) bool, error) {
	hidden := map[string]contexts.Entry{}
	if len(l.packed) > 0 {
		for m, err := range memos(l.t.Memory) {
			if err != nil {
				return nil, err
			}
			if m.is(memoHidden) {
				hidden[l.t.Selection.Key(m.rel)] = m.Entry
			}
		}
	}
	return func(e contexts.Entry) bool {
		if old, ok := hidden[e.Path]; ok {
			return same(old, e)
		}
		old, err := l.repo.Lookup(ctx, l.t.Root, e.Path)
		return err == nil && same(old, e)
	}, nil
}

func (l *loader) unpackOne(ctx context.Context, top int, e contexts.Entry) error {
	rel, _ := l.t.Selection.Rel(e.Path)
	tmp, _, err := l.extract(ctx, top, e)
	if b := (broken{}); errors.As(err, &b) {
		l.p.warn("%s was left as it is: %v", Show(e.Path), b)
		if !l.hides(e) {
			return nil
		}
		l.came = append(l.came, memo{rel: rel, Entry: e})
		return l.leave(ctx, l.t.Merged, e)
	}
	if err != nil {
		return err
	}
	defer removeAt(top, tmp)
	from, err := openDir(top, tmp)
	if err != nil {
		return err
	}
	defer unix.Close(from)
	target := l.target(e)
	to, made, err := l.mkdirs(top, target)
	if err != nil || to < 0 {
		return err
	}
	defer unix.Close(to)
	if err := l.place(ctx, from, to, target); err != nil {
		return err
	}
	for _, rel := range made {
		dir, name := path.Split(rel)
		if err := l.saw(strings.TrimSuffix(dir, "/"), []string{name}); err != nil {
			return err
		}
	}
	l.came = append(l.came, memo{rel: rel, flags: memoHidden, Entry: e})
	return nil
}

// place moves what was unpacked into a directory of the session, name by name.
func (l *loader) place(ctx context.Context, from, to int, rel string) error {
	all, err := names(from)
	if err != nil {
		return err
	}
	var st unix.Stat_t
	if err := unix.Fstat(to, &st); err != nil {
		return err
	}
	var placed []string
	for _, name := range all {
		ok, err := l.placeName(ctx, from, to, join(rel, name), name)
		if err != nil {
			return err
		}
		if ok {
			placed = append(placed, name)
		}
	}
	if err := setTimes(to, timeOf(st.Mtim)); err != nil {
		return err
	}
	return l.saw(rel, placed)
}

// placeName moves one name, and reports whether there is something new now.
func (l *loader) placeName(ctx context.Context, from, to int, rel, name string) (placed bool, err error) {
	e, err := l.repo.Lookup(ctx, l.root, l.t.Selection.Key(rel))
	if err == nil && e.Kind != contexts.Dir && !l.unpacks(e) {
		return false, nil
	}
	if err != nil && !errors.Is(err, agentbay.NotFound) {
		return false, err
	}
	if !isDir(from, name) {
		return true, replace(from, name, to, name)
	}
	old, err := openDir(from, name)
	if err != nil {
		return false, err
	}
	defer unix.Close(old)
	if !isDir(to, name) {
		placed = true
		if err := removeAt(to, name); err != nil {
			return false, err
		}
		if err := unix.Mkdirat(to, name, 0o700); err != nil {
			return false, err
		}
	}
	there, err := openDir(to, name)
	if err != nil {
		return false, err
	}
	defer unix.Close(there)
	if placed {
		if err := likeDir(old, there); err != nil {
			return false, err
		}
	}
	return placed, l.place(ctx, old, there, rel)
}

// saw remembers how names that were unpacked look in the upper directory, so
// that they are not taken for the session's.
func (l *loader) saw(rel string, all []string) error {
	top, err := openTop(l.t.Upper)
	if err != nil {
		return err
	}
	defer unix.Close(top)
	dir, err := openBelow(top, rel)
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	if err != nil {
		return err
	}
	defer unix.Close(dir)
	for _, name := range all {
		st, err := statAt(dir, name)
		if err != nil {
			continue
		}
		m := memo{rel: join(rel, name), flags: memoStat, inode: st.Ino, changed: st.Ctim.Nano(), Entry: contexts.Entry{
			Kind: kindOf(st), Mode: fileMode(st.Mode), Modified: timeOf(st.Mtim),
		}}
		switch m.Kind {
		case removed:
			continue
		case contexts.File:
			m.Size = st.Size
		case contexts.Dir:
			if o, ok := opaqueAt(dir, name); ok {
				m.flags |= o.flags
			}
		case contexts.Symlink:
			m.Mode = fs.ModePerm
			if m.Target, err = readLink(dir, name); err != nil {
				continue
			}
		}
		l.came = append(l.came, m)
	}
	return nil
}

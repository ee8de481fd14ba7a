package tree

import (
	"context"
	"errors"
	"io"
	"iter"
	"path"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/agentbay/agentbay/internal/contexts"
	"golang.org/x/sys/unix"
)

// What an overlay calls a directory that hides those below it.
const opaqueName = "trusted.overlay.opaque"

// removed marks an entry in a stream that stands for what is not there any more.
const removed contexts.Kind = 0

// A buildKind is what there may be in the directory already.
type buildKind int

const (
	buildLayer buildKind = iota // nothing, and nobody else is there
	buildDelta                  // the same, and what is removed hides what is in other layers
	buildOver                   // anything; it is replaced, and whoever is there meanwhile sees old or new
)

// A builder makes files below a directory. Entries come in the order of their paths.
type builder struct {
	ctx  context.Context
	v    View
	p    *Progress
	kind buildKind

	// meta returns what a directory is of which no entry came.
	meta func(rel string) (contexts.Entry, error)

	root, here *folder
	jobs       chan job
	entries    int          // that came
	fresh      []string     // directories that were not there before, of buildOver
	bytes      atomic.Int64 // of the disk

	fail context.CancelCauseFunc
}

// A job is a file or link to be made.
type job struct {
	in      *folder
	name    string
	content contexts.Content
}

// A folder is a directory that is being filled. When the last who fills it lets
// go, it gets its mode and times.
type folder struct {
	up     *folder
	rel    string
	fd     int
	entry  contexts.Entry
	opaque bool
	found  bool // it was there, and only its times are put back
	users  atomic.Int32
	b      *builder
}

// build makes all entries of a stream below dir, which exists and is empty.
func build(ctx context.Context, dir string, v View, p *Progress, kind buildKind, meta func(string) (contexts.Entry, error), all iter.Seq2[contexts.Content, error]) (made, error) {
	fd, err := openTop(dir)
	if err != nil {
		return made{}, failed(err, "checkout", dir)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	b := &builder{ctx: ctx, v: v, p: p, kind: kind, meta: meta, jobs: make(chan job, 64), fail: cancel}
	b.root = &folder{fd: fd, b: b}
	b.root.users.Store(1)
	b.here = b.root
	if kind == buildOver {
		b.root.found = true
	} else if b.root.entry, err = meta(""); err != nil {
		b.fail(err)
	}
	b.run(all)
	return made{entries: b.entries, bytes: b.bytes.Load(), fresh: b.fresh}, context.Cause(ctx)
}

// run makes everything, with several hands for files.
func (b *builder) run(all iter.Seq2[contexts.Content, error]) {
	var hands sync.WaitGroup
	for range min(max(runtime.GOMAXPROCS(0), 2), 4) {
		hands.Go(func() {
			for j := range b.jobs {
				b.do(j)
			}
		})
	}
	for c, err := range all {
		if err == nil && b.ctx.Err() != nil {
			err = context.Cause(b.ctx)
		}
		if err == nil {
			err = b.add(c)
		} else if c.File != nil {
			c.File.Close()
		}
		if err != nil {
			b.fail(err)
			break
		}
	}
	close(b.jobs)
	hands.Wait()
	for b.here != nil {
		b.leave()
	}
}

// add makes an entry, or has it made.
func (b *builder) add(c contexts.Content) error {
	b.entries++
	rel, _ := b.v.Selection.Rel(c.Path)
	dir, name := path.Split(rel)
	in, err := b.enter(strings.TrimSuffix(dir, "/"))
	if err == nil {
		switch {
		case rel == "":
			if !b.root.found {
				b.root.entry = c.Entry
			}
		case c.Kind == removed:
			err = b.whiteout(in, name)
		case c.Kind == contexts.Dir:
			err = b.mkdir(name, c.Entry)
		default:
			in.users.Add(1)
			b.jobs <- job{in, name, c}
			return nil
		}
	}
	if c.File != nil {
		c.File.Close()
	}
	return failed(err, "checkout", c.Path)
}

// enter goes to a directory, and makes those on the way there.
func (b *builder) enter(rel string) (*folder, error) {
	for b.here.rel != rel && !contexts.Below(rel, b.here.rel) {
		b.leave()
	}
	for b.here.rel != rel {
		rest := strings.TrimPrefix(rel[len(b.here.rel):], "/")
		name, _, _ := strings.Cut(rest, "/")
		if b.kind == buildOver && b.into(name) {
			continue
		}
		e, err := b.meta(join(b.here.rel, name))
		if err != nil {
			return nil, err
		}
		if err := b.mkdir(name, e); err != nil {
			return nil, err
		}
	}
	return b.here, nil
}

// into goes to a directory that is there and stays as it is.
func (b *builder) into(name string) bool {
	st, err := statAt(b.here.fd, name)
	if err != nil || st.Mode&unix.S_IFMT != unix.S_IFDIR {
		return false
	}
	e := contexts.Entry{Modified: timeOf(st.Mtim)}
	return b.open(&folder{up: b.here, rel: join(b.here.rel, name), entry: e, found: true, b: b}, name) == nil
}

func isDir(dir int, name string) bool {
	st, err := statAt(dir, name)
	return err == nil && st.Mode&unix.S_IFMT == unix.S_IFDIR
}

// mkdir makes a directory and goes there. In a delta it may have been removed
// before, and then what is below it in other layers must stay hidden.
func (b *builder) mkdir(name string, e contexts.Entry) error {
	f := &folder{up: b.here, rel: join(b.here.rel, name), entry: e, b: b}
	err := unix.Mkdirat(f.up.fd, name, 0o700)
	if errors.Is(err, unix.EEXIST) && b.kind != buildLayer {
		if b.kind == buildOver && isDir(f.up.fd, name) {
			return b.open(f, name)
		}
		f.opaque = b.kind == buildDelta
		if err = unix.Unlinkat(f.up.fd, name, 0); err == nil {
			err = unix.Mkdirat(f.up.fd, name, 0o700)
		}
	}
	if err != nil {
		return err
	}
	if b.kind == buildOver {
		b.fresh = append(b.fresh, f.rel)
	}
	return b.open(f, name)
}

// open goes to a directory that is there.
func (b *builder) open(f *folder, name string) (err error) {
	if f.fd, err = openDir(f.up.fd, name); err != nil {
		return err
	}
	f.users.Store(1)
	f.up.users.Add(1)
	b.bytes.Add(4096)
	b.here = f
	return nil
}

func (b *builder) whiteout(in *folder, name string) error {
	return unix.Mknodat(in.fd, name, unix.S_IFCHR, 0)
}

// leave goes up.
func (b *builder) leave() {
	f := b.here
	b.here = f.up
	f.release()
}

// release lets go of a folder, and finishes it if that was the last one.
func (f *folder) release() {
	for ; f != nil && f.users.Add(-1) == 0; f = f.up {
		if err := f.finish(); err != nil {
			f.b.fail(failed(err, "checkout", f.rel))
		}
		unix.Close(f.fd)
	}
}

func (f *folder) finish() error {
	if f.found && f.up == nil {
		return nil
	}
	if f.found {
		return setTimes(f.fd, f.entry.Modified)
	}
	if f.opaque {
		if err := unix.Fsetxattr(f.fd, opaqueName, []byte("y"), 0); err != nil {
			return err
		}
	}
	if err := unix.Fchown(f.fd, int(f.b.v.UID), int(f.b.v.GID)); err != nil {
		return err
	}
	if err := unix.Fchmod(f.fd, unixMode(f.entry.Mode)); err != nil {
		return err
	}
	return setTimes(f.fd, f.entry.Modified)
}

// do makes a file or link.
func (b *builder) do(j job) {
	defer j.in.release()
	if j.content.File != nil {
		defer j.content.File.Close()
	}
	if b.ctx.Err() != nil {
		return
	}
	err := b.make(j)
	if errors.Is(err, unix.EEXIST) && b.kind == buildDelta {
		if err = unix.Unlinkat(j.in.fd, j.name, 0); err == nil {
			err = b.make(j)
		}
	}
	if err != nil {
		b.fail(failed(err, "checkout", j.content.Path))
		return
	}
	b.p.Files.Add(1)
	b.bytes.Add(blocks(j.content.Entry))
}

// blocks returns how many bytes of the disk a file takes, more or less.
func blocks(e contexts.Entry) int64 {
	const block = 4096
	n := int64(256) // of the inode
	for _, x := range e.Extents {
		if x.Chunk != (contexts.ID{}) {
			n += (x.Size + block - 1) / block * block
		}
	}
	return n
}

func (b *builder) make(j job) error {
	if b.kind != buildOver {
		return b.makeAt(j.in.fd, j.name, j.content)
	}
	tmp := loadingPrefix + newID()
	err := b.makeAt(j.in.fd, tmp, j.content)
	if err == nil {
		err = replace(j.in.fd, tmp, j.in.fd, j.name)
	}
	if err != nil {
		unix.Unlinkat(j.in.fd, tmp, 0)
	}
	return err
}

func (b *builder) makeAt(dir int, name string, c contexts.Content) error {
	if c.Kind == contexts.Symlink {
		return makeLink(dir, name, c.Entry, b.v.UID, b.v.GID)
	}
	return makeFile(dir, name, c, b.v, b.p)
}

// replace moves a file to where something else may be: a directory goes with
// all that is in it.
func replace(from int, name string, to int, as string) error {
	err := unix.Renameat(from, name, to, as)
	if errors.Is(err, unix.EISDIR) || errors.Is(err, unix.ENOTEMPTY) || errors.Is(err, unix.EEXIST) {
		if err = removeAt(to, as); err == nil {
			err = unix.Renameat(from, name, to, as)
		}
	}
	return err
}

// makeLink makes a symbolic link of an entry.
func makeLink(dir int, name string, e contexts.Entry, uid, gid uint32) error {
	if err := unix.Symlinkat(e.Target, dir, name); err != nil {
		return err
	}
	if err := unix.Fchownat(dir, name, int(uid), int(gid), unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return err
	}
	return setLinkTimes(dir, name, e.Modified)
}

// makeFile makes a file of an entry, with its holes.
func makeFile(dir int, name string, c contexts.Content, v View, p *Progress) error {
	fd, err := unix.Openat(dir, name, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if err := fill(fd, c, v, p); err != nil {
		return err
	}
	if err := unix.Fchown(fd, int(v.UID), int(v.GID)); err != nil {
		return err
	}
	if err := unix.Fchmod(fd, unixMode(c.Mode)); err != nil {
		return err
	}
	return setTimes(fd, c.Modified)
}

// tookBytes tells who wants to know that n bytes were written, which take a block
// at least.
func (v View) tookBytes(n int) error {
	if v.took == nil {
		return nil
	}
	return v.took(max(int64(n), 4096))
}

// buffers are what content is copied through.
var buffers = sync.Pool{New: func() any { return new([256 << 10]byte) }}

// fill writes content to an empty file.
func fill(fd int, c contexts.Content, v View, p *Progress) error {
	buf := buffers.Get().(*[256 << 10]byte)
	defer buffers.Put(buf)
	var at int64
	for _, x := range c.Extents {
		if x.Chunk == (contexts.ID{}) {
			if at += x.Size; x.Size > 0 {
				if _, err := c.File.Seek(at, io.SeekStart); err != nil {
					return err
				}
			}
			continue
		}
		for end := at + x.Size; at < end; {
			n, err := io.ReadFull(c.File, buf[:min(int64(len(buf)), end-at)])
			if err != nil {
				return err
			}
			if err := writeAt(fd, buf[:n], at); err != nil {
				return err
			}
			at += int64(n)
			p.Bytes.Add(int64(n))
			if err := v.tookBytes(n); err != nil {
				return err
			}
		}
	}
	if n := len(c.Extents); n > 0 && c.Extents[n-1].Chunk == (contexts.ID{}) {
		return unix.Ftruncate(fd, at)
	}
	return nil
}

func writeAt(fd int, b []byte, at int64) error {
	for len(b) > 0 {
		n, err := unix.Pwrite(fd, b, at)
		if err != nil && !errors.Is(err, unix.EINTR) {
			return err
		}
		b, at = b[max(n, 0):], at+int64(max(n, 0))
	}
	return nil
}

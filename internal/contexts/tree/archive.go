package tree

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/agentbay/agentbay"
	"github.com/agentbay/agentbay/internal/contexts"
	"golang.org/x/sys/unix"
)

// memberSize is after how much content a new gzip member begins, at the next
// file: what did not change is compressed to the same bytes again.
const memberSize = 1 << 20

// archive replaces all that is selected by one compressed file for each part of
// the selection, made of what the session sees.
func (s *saver) archive() error {
	if err := s.wait(tick); err != nil { // what was written before is not mistaken for what comes now
		return err
	}
	seen := time.Now()
	parts := s.t.Selection.paths()
	var all []memo
	for i, part := range parts {
		gone, err := removals(s.ctx, s.repo, s.t, part)
		if err != nil {
			return err
		}
		for _, rel := range gone {
			all = append(all, memo{rel: rel, flags: memoGone | memoRemove})
		}
		e, err := s.pack(part)
		if err != nil {
			return err
		}
		all = append(all, memo{rel: s.t.Selection.packedName(parts, i), flags: memoGone | memoPut, Entry: e})
	}
	slices.SortStableFunc(all, func(a, b memo) int { return contexts.Compare(a.rel, b.rel) })
	for _, m := range all {
		s.add(m)
	}
	s.p.TotalBytes.Store(s.p.Bytes.Load())
	return s.remember(seen)
}

// packedName returns the name of the archive of one of the parts: the part's
// own name, with a number if others have it too.
func (sel Selection) packedName(parts []string, i int) string {
	base := path.Base(join("files", join(sel.prefix, parts[i])))
	same := 0
	for _, other := range parts[:i] {
		if path.Base(join("files", join(sel.prefix, other))) == base {
			same++
		}
	}
	if len(base) > maxName-20 {
		base = base[:maxName-20]
	}
	if same > 0 {
		base = fmt.Sprintf("%s-%d", base, same+1)
	}
	return base + ".tar.gz"
}

// remember notes how the directory looks, so that the next Save finds out
// whether something has changed. What is in the files it does not say.
func (s *saver) remember(seen time.Time) error {
	m := merger{ctx: s.ctx, repo: s.repo, t: s.t, p: new(Progress), emit: func(st step) error {
		if st.remove || st.found == nil {
			return nil
		}
		if st.found.kind != contexts.File {
			m, _, err := s.simple(st)
			s.add(m)
			return err
		}
		f := st.found.st
		s.add(memo{rel: st.rel, inode: f.Ino, changed: f.Ctim.Nano(), seen: seen.UnixNano(), Entry: contexts.Entry{
			Kind: contexts.File, Mode: fileMode(f.Mode), Modified: timeOf(f.Mtim), Size: f.Size,
		}})
		return nil
	}}
	return m.run()
}

// pack stores the archive of one part.
func (s *saver) pack(part string) (contexts.Entry, error) {
	for range maxTries {
		files, bytes := s.p.Files.Load(), s.p.Bytes.Load()
		e, err := s.packOnce(part)
		if !errors.Is(err, agentbay.Conflict) {
			return e, err
		}
		s.p.Files.Store(files)
		s.p.Bytes.Store(bytes)
	}
	return s.packOnce(part)
}

func (s *saver) packOnce(part string) (contexts.Entry, error) {
	r, w := io.Pipe()
	packed := make(chan error, 1)
	go func() {
		p := &packer{saver: s, part: part, out: w}
		err := p.run()
		packed <- err
		w.CloseWithError(err)
	}()
	extents, size, err := s.w.File(s.ctx, r, -1)
	r.CloseWithError(errors.New("nobody reads on"))
	if packErr := <-packed; err == nil || packErr != nil && agentbay.CodeOf(packErr) != agentbay.Internal {
		err = packErr
	}
	return contexts.Entry{
		Kind: contexts.File, Mode: 0o644, Modified: s.now, Saved: s.now, Packed: true, Size: size, Extents: extents,
	}, err
}

// A packer writes one archive: the same for the same files.
type packer struct {
	*saver
	part string
	out  io.Writer

	gz      *gzip.Writer
	tar     *tar.Writer
	written int64 // in this member
	total   int64
}

func (p *packer) run() (err error) {
	if p.gz, err = gzip.NewWriterLevel(p.out, gzip.BestSpeed); err != nil {
		return err
	}
	p.tar = tar.NewWriter(p.gz)
	top, err := openTop(p.t.Merged)
	if err != nil {
		return failed(err, "save", p.t.Merged)
	}
	defer unix.Close(top)
	w := walker{sel: p.t.Selection, p: p.p, visit: p.add}
	if err := w.walk(top, ""); err != nil {
		return err
	}
	return errors.Join(p.tar.Close(), p.gz.Close())
}

// add packs one name.
func (p *packer) add(f found) error {
	if err := p.ctx.Err(); err != nil {
		return context.Cause(p.ctx)
	}
	if in, _ := p.t.Selection.Match(f.rel); !in || f.rel != p.part && !contexts.Below(f.rel, p.part) {
		return nil
	}
	h := &tar.Header{Format: tar.FormatPAX, Name: f.rel, Mode: int64(f.st.Mode & 0o7777), ModTime: timeOf(f.st.Mtim)}
	switch f.kind {
	case contexts.Dir:
		h.Typeflag, h.Name = tar.TypeDir, f.rel+"/"
		return p.header(h)
	case contexts.Symlink:
		target, err := readLink(f.dir, f.name)
		if err != nil {
			return vanishedError(err, f.rel)
		}
		h.Typeflag, h.Linkname = tar.TypeSymlink, target
		p.p.Files.Add(1)
		return p.header(h)
	case contexts.File:
		return p.file(f, h)
	}
	return nil
}

func (p *packer) header(h *tar.Header) error {
	if err := p.tar.WriteHeader(h); err != nil {
		return failed(err, "save", strings.TrimSuffix(h.Name, "/"))
	}
	return nil
}

// file packs a file, which must stay the same meanwhile.
func (p *packer) file(f found, h *tar.Header) error {
	if err := p.member(); err != nil {
		return err
	}
	t := &task{step: step{rel: f.rel, found: &f}}
	if err := t.open(); err != nil {
		return err
	}
	defer t.file.Close()
	before, err := p.quiet(t.file)
	if err != nil {
		return failed(err, "save", f.rel)
	}
	if p.total += before.Size; p.total > maxUnpacked {
		return agentbay.Errorf(agentbay.Exhausted, "there is more than %d GB to be packed into one archive; save file by file instead", maxUnpacked>>30)
	}
	h.Typeflag, h.Size, h.Mode, h.ModTime = tar.TypeReg, before.Size, int64(before.Mode&0o7777), timeOf(before.Mtim)
	if err := p.header(h); err != nil {
		return err
	}
	if err := p.content(t.file, before.Size); err != nil {
		return vanishedError(err, f.rel)
	}
	var after unix.Stat_t
	if err := unix.Fstat(int(t.file.Fd()), &after); err != nil {
		return failed(err, "save", f.rel)
	}
	if before.Ctim != after.Ctim || before.Mtim != after.Mtim || before.Size != after.Size {
		return busy(f.rel)
	}
	p.p.Files.Add(1)
	return nil
}

func (p *packer) content(file *os.File, size int64) error {
	buf := buffers.Get().(*[256 << 10]byte)
	defer buffers.Put(buf)
	for at := int64(0); at < size; {
		n, err := file.ReadAt(buf[:min(int64(len(buf)), size-at)], at)
		if n == 0 {
			if err == io.EOF {
				err = unix.ENOENT // it became shorter
			}
			return err
		}
		if _, err := p.tar.Write(buf[:n]); err != nil {
			return err
		}
		if err := p.ctx.Err(); err != nil {
			return context.Cause(p.ctx)
		}
		at += int64(n)
		p.written += int64(n)
		p.p.Bytes.Add(int64(n))
	}
	return nil
}

// member begins a new gzip member, if the last one is long enough.
func (p *packer) member() error {
	if p.written < memberSize {
		return nil
	}
	p.written = 0
	if err := errors.Join(p.tar.Flush(), p.gz.Close()); err != nil {
		return err
	}
	p.gz.Reset(p.out)
	return nil
}

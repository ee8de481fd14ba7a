package agentbay

import (
	"bytes"
	"encoding/base64"
	"errors"
	"io"
	"io/fs"
	"strings"

	"github.com/agentbay/agentbay/tool"
)

var (
	_ io.ReadSeeker  = (*openFile)(nil)
	_ io.ReaderAt    = (*openFile)(nil)
	_ fs.ReadDirFile = (*openDir)(nil)
)

// An openFile reads a file of a session window by window.
type openFile struct {
	fs         *FS
	name, full string
	info       *fileInfo
	offset     int64  // of the next Read
	ahead      []byte // what has been read past offset
	reached    int64  // where the last window ended
	coming     *fetch // the window after ahead, if it was asked for
	closed     bool
}

// A fetch is a window on its way.
type fetch struct {
	offset int64
	done   chan struct{} // closed when b and err are set
	b      []byte
	err    error
}

func newOpenFile(f *FS, name, full string, info *fileInfo) *openFile {
	return &openFile{fs: f, name: name, full: full, info: info}
}

func (o *openFile) Stat() (fs.FileInfo, error) { return o.info, o.check("stat") }

func (o *openFile) check(op string) error {
	if o.closed {
		return o.fail(op, fs.ErrClosed)
	}
	return nil
}

func (o *openFile) fail(op string, err error) error {
	return &fs.PathError{Op: op, Path: o.name, Err: err}
}

func (o *openFile) Read(p []byte) (int, error) {
	if err := o.check("read"); err != nil || len(p) == 0 {
		return 0, err
	}
	if len(o.ahead) == 0 {
		if err := o.advance(); err != nil {
			return 0, err
		}
	}
	n := copy(p, o.ahead)
	o.ahead = o.ahead[n:]
	o.offset += int64(n)
	return n, nil
}

// advance fetches the window at offset, io.EOF if it is empty. Who reads on from
// one window to the next will want the one after it too, which is then asked for.
func (o *openFile) advance() error {
	coming := o.coming
	o.coming = nil
	if coming == nil || coming.offset != o.offset {
		coming = o.fetch(o.offset)
	}
	<-coming.done
	if coming.err != nil {
		return coming.err
	}
	if len(coming.b) == 0 {
		return io.EOF
	}
	goesOn := o.offset > 0 && o.offset == o.reached
	o.ahead, o.reached = coming.b, o.offset+int64(len(coming.b))
	if goesOn && len(o.ahead) == window {
		o.coming = o.fetch(o.reached)
	}
	return nil
}

// fetch begins to read the window at an offset.
func (o *openFile) fetch(offset int64) *fetch {
	f := &fetch{offset: offset, done: make(chan struct{})}
	go func() {
		defer close(f.done)
		f.b, f.err = o.window(offset, window)
	}()
	return f
}

// window reads at most n bytes; fewer mean the end of the file.
func (o *openFile) window(offset, n int64) ([]byte, error) {
	in := tool.ReadFileIn{Path: o.full, Offset: offset, Length: n, Format: "binary"}
	text, err := do(o.fs, "read", o.name, tool.ReadFile, in)
	if err != nil {
		return nil, err
	}
	b, err := base64.StdEncoding.DecodeString(strings.TrimSpace(text))
	if err != nil {
		return nil, o.fail("read", Wrap(err, Internal, "the bay's answer is no base64"))
	}
	return b, nil
}

func (o *openFile) Seek(offset int64, whence int) (int64, error) {
	if err := o.check("seek"); err != nil {
		return 0, err
	}
	switch whence {
	case io.SeekCurrent:
		offset += o.offset
	case io.SeekEnd:
		offset += o.info.size
	}
	if offset < 0 || whence < io.SeekStart || whence > io.SeekEnd {
		return 0, o.fail("seek", fs.ErrInvalid)
	}
	o.offset, o.ahead = offset, nil
	return offset, nil
}

func (o *openFile) ReadAt(p []byte, offset int64) (n int, err error) {
	if err := o.check("readat"); err != nil {
		return 0, err
	}
	if offset < 0 {
		return 0, o.fail("readat", fs.ErrInvalid)
	}
	for n < len(p) {
		b, err := o.window(offset+int64(n), min(window, int64(len(p)-n)))
		if err != nil {
			return n, err
		}
		if len(b) == 0 {
			return n, io.EOF
		}
		n += copy(p[n:], b)
	}
	return n, nil
}

// WriteTo copies the rest of the file to w with two windows in memory.
func (o *openFile) WriteTo(w io.Writer) (int64, error) {
	var total int64
	for {
		if err := o.check("read"); err != nil {
			return total, err
		}
		if len(o.ahead) == 0 {
			err := o.advance()
			if err == io.EOF {
				return total, nil
			}
			if err != nil {
				return total, err
			}
		}
		n, err := io.Copy(w, bytes.NewReader(o.ahead))
		o.ahead, o.offset, total = o.ahead[n:], o.offset+n, total+n
		if err != nil {
			return total, err
		}
	}
}

func (o *openFile) Close() error {
	if err := o.check("close"); err != nil {
		return err
	}
	o.closed, o.ahead, o.coming = true, nil, nil
	return nil
}

// An openDir lists a directory of a session in portions.
type openDir struct {
	fs      *FS
	name    string
	info    *fileInfo
	entries []fs.DirEntry // not yet returned
	listed  bool
	closed  bool
}

func (d *openDir) Stat() (fs.FileInfo, error) { return d.info, nil }

func (d *openDir) Read([]byte) (int, error) {
	return 0, &fs.PathError{Op: "read", Path: d.name, Err: errors.New("is a directory")}
}

func (d *openDir) ReadDir(n int) ([]fs.DirEntry, error) {
	if d.closed {
		return nil, &fs.PathError{Op: "readdir", Path: d.name, Err: fs.ErrClosed}
	}
	if err := d.list(); err != nil {
		return nil, err
	}
	if n <= 0 {
		n = len(d.entries)
	} else if len(d.entries) == 0 {
		return nil, io.EOF
	}
	n = min(n, len(d.entries))
	part := d.entries[:n:n]
	d.entries = d.entries[n:]
	return part, nil
}

func (d *openDir) list() (err error) {
	if d.listed {
		return nil
	}
	d.entries, err = d.fs.ReadDir(d.name)
	d.listed = err == nil
	return err
}

func (d *openDir) Close() error {
	if d.closed {
		return &fs.PathError{Op: "close", Path: d.name, Err: fs.ErrClosed}
	}
	d.closed = true
	return nil
}

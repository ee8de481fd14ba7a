package agentbay

import (
	"context"
	"crypto/rand"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/agentbay/agentbay/tool"
)

// A TransferOption changes how a file is moved.
type TransferOption func(*transfer)

type transfer struct {
	progress func(moved, total int64)
	keep     bool
}

// OnProgress has f called as a file moves. What has moved only grows and ends
// at total, which is -1 while it is not known.
func OnProgress(f func(moved, total int64)) TransferOption {
	return func(t *transfer) { t.progress = f }
}

// KeepExisting makes it an error, [fs.ErrExist], to download to a file that is
// there.
func KeepExisting() TransferOption { return func(t *transfer) { t.keep = true } }

func newTransfer(opts []TransferOption) (t transfer) {
	for _, opt := range opts {
		opt(&t)
	}
	return t
}

// count returns r, whose reader's progress is told.
func (t transfer) count(r io.Reader, total int64) io.Reader {
	if t.progress == nil {
		return r
	}
	t.progress(0, total)
	return &counted{Reader: r, total: total, tell: t.progress}
}

// A counted reader tells how far it is read.
type counted struct {
	io.Reader
	moved, total int64
	tell         func(moved, total int64)
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.moved += int64(n)
	if c.total >= 0 && c.moved > c.total {
		c.total = c.moved // the file has grown
	}
	if err == io.EOF {
		c.total = c.moved
	}
	if n > 0 || err == io.EOF {
		c.tell(c.moved, c.total)
	}
	return n, err
}

// UploadFile copies a local file of any size to an absolute path of the
// session, making its parent directories as needed. What is at remote is
// replaced in one step once all has come, and not at all if something fails.
func (s *Session) UploadFile(ctx context.Context, local, remote string, opts ...TransferOption) error {
	f, err := os.Open(local)
	if err != nil {
		return err
	}
	defer f.Close()
	total, err := sizeOfFile(f)
	if err != nil {
		return err
	}
	files, part := s.FS(ctx), partOf(remote)
	if err := files.receive(remote, part, newTransfer(opts).count(f, total)); err != nil {
		s.discard(ctx, part)
		return err
	}
	return nil
}

// sizeOfFile is how much of a file is left to read.
func sizeOfFile(f *os.File) (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	if info.IsDir() {
		return 0, &fs.PathError{Op: "upload", Path: f.Name(), Err: Errorf(Invalid, "it is a directory; upload its files one by one")}
	}
	at, err := f.Seek(0, io.SeekCurrent)
	if err != nil || !info.Mode().IsRegular() {
		return -1, nil // a pipe or the like
	}
	return info.Size() - at, nil
}

// partOf is where a file is kept until all of it has come, beside it.
func partOf(remote string) string {
	return remote[:strings.LastIndexAny(remote, `/\`)+1] + ".part-" + strings.ToLower(rand.Text())
}

// receive writes what r has to part, and then moves that to remote.
func (f *FS) receive(remote, part string, r io.Reader) error {
	w := &fileWriter{fs: f, name: remote, full: part}
	if _, err := io.Copy(w, r); err != nil {
		w.settle()
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	_, err := do(f, "upload", remote, tool.MoveFile, tool.MoveFileIn{Source: part, Destination: remote})
	return err
}

// discard removes what an upload left behind, also when its context is done.
func (s *Session) discard(ctx context.Context, part string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	_, _ = do(s.FS(ctx), "remove", part, tool.DeleteFile, tool.PathIn{Path: part}) // the upload's own error is what counts
}

// DownloadFile copies the file at an absolute path of the session to a local
// one, which appears, or is replaced, once all has come.
func (s *Session) DownloadFile(ctx context.Context, remote, local string, opts ...TransferOption) error {
	files, t := s.FS(ctx), newTransfer(opts)
	text, err := do(files, "download", remote, tool.FileInfo, tool.PathIn{Path: remote})
	if err != nil {
		return err
	}
	info := parseInfo(filepath.Base(local), text)
	if info.IsDir() {
		return &fs.PathError{Op: "download", Path: remote, Err: Errorf(Invalid, "it is a directory; download its files one by one")}
	}
	f := newOpenFile(files, remote, remote, info)
	defer f.Close()
	return t.save(local, t.count(f, info.size))
}

// save makes r the content of a local file, whole or not at all.
func (t transfer) save(local string, r io.Reader) (err error) {
	if _, err := os.Lstat(local); t.keep && err == nil {
		return &fs.PathError{Op: "download", Path: local, Err: fs.ErrExist}
	}
	part := filepath.Join(filepath.Dir(local), ".part-"+strings.ToLower(rand.Text()))
	f, err := os.OpenFile(part, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			f.Close() // the second time, if it was that which failed
			os.Remove(part)
		}
	}()
	if _, err := io.Copy(f, r); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	return os.Rename(part, local)
}

// PutContextFile makes what r has a file of a context, at an absolute path,
// without a session. What breaks off changes nothing.
func (c *Client) PutContextFile(ctx context.Context, id ContextID, path string, r io.Reader, opts ...TransferOption) error {
	u, err := c.UploadURL(ctx, id, path)
	if err != nil {
		return err
	}
	size := sizeOf(r)
	req, err := http.NewRequestWithContext(ctx, http.MethodPut, u.URL, newTransfer(opts).count(r, size))
	if err != nil {
		return Wrap(err, Internal, "the bay's URL of the file is none")
	}
	if req.ContentLength = size; size == 0 {
		req.Body = http.NoBody
	}
	answer, err := c.do(req)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	return urlError(answer)
}

// sizeOf is how much a reader has, or -1.
func sizeOf(r io.Reader) int64 {
	switch r := r.(type) {
	case interface{ Len() int }:
		return int64(r.Len())
	case *os.File:
		if n, err := sizeOfFile(r); err == nil {
			return n
		}
	}
	return -1
}

// GetContextFile writes the file at a path of a context to w, without a session.
//
// NotFound: there is no such file.
func (c *Client) GetContextFile(ctx context.Context, id ContextID, path string, w io.Writer, opts ...TransferOption) error {
	u, err := c.DownloadURL(ctx, id, path)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.URL, nil)
	if err != nil {
		return Wrap(err, Internal, "the bay's URL of the file is none")
	}
	answer, err := c.do(req)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if err := urlError(answer); err != nil {
		return err
	}
	if _, err := io.Copy(w, newTransfer(opts).count(answer.Body, answer.ContentLength)); err != nil {
		return brokenOff(ctx, err, "the download of "+path)
	}
	return nil
}

// urlError is why a URL of a file did not do what it is for.
func urlError(answer *http.Response) error {
	if answer.StatusCode < 300 {
		return nil
	}
	text, _ := io.ReadAll(io.LimitReader(answer.Body, 4096)) // what there is of it says enough
	said := strings.TrimSpace(string(text))
	if said == "" || !strings.HasPrefix(answer.Header.Get("Content-Type"), "text/plain") {
		said = "the file's URL answers with HTTP status " + answer.Status
	}
	return &Error{Code: codeOfStatus(answer.StatusCode), Message: said, RequestID: answer.Header.Get("X-Request-Id")}
}

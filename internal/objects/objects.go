// Package objects is the door of file URLs: whoever holds one can write, or
// read, one file of a context with plain HTTP and without a key. What a URL
// allows is said by its ticket ([gate.FileTicket]); who is given one, and how
// files are kept, is decided elsewhere.
//
//	PUT /objects/TICKET/NAME         replaces the file by the body, all of it or nothing
//	GET /objects/TICKET/NAME         returns the file; ranges and conditions are those of HTTP
//	HEAD /objects/TICKET/NAME        describes what GET would return
//
// NAME is for programs that save what they get. A refusal is a sentence of
// text: 403 for a ticket that is forged or has expired, 404 for a file that is
// not there, 507 where there is no room.
package objects

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"os"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/agentbay/agentbay"
	"github.com/agentbay/agentbay/internal/gate"
)

// A Bay is what keeps the files. Paths are as in the ticket.
type Bay interface {
	// PutContextFile makes body a file of a context. A negative size means that
	// body ends where it ends; else a body of another size changes nothing, and
	// so does one that fails. The etag changes with the content.
	PutContextFile(ctx context.Context, id agentbay.ContextID, path string, body io.Reader, size int64) (etag string, err error)

	// OpenContextFile opens a file of a context. A file that also has a method
	// ETag() string says the etag that its Put returned, and one that has a method
	// ContentType() string is not harmful to whoever is shown it as that.
	//
	// NotFound: there is no such file, or the context is gone.
	OpenContextFile(ctx context.Context, id agentbay.ContextID, path string) (io.ReadSeekCloser, agentbay.ContextFile, error)
}

// A Door answers requests to URLs of files. Its fields are set before it is used.
type Door struct {
	Bay     Bay
	Secret  []byte       // what tickets are signed with; without one none opens
	MaxFile int64        // bytes of a file that is put; 0 means 5 TiB, as the largest object of S3
	Log     *slog.Logger // nil means slog.Default
}

const defaultMaxFile = 5 << 40

// ServeHTTP answers one request and logs it. A URL is a secret, so none is in
// the log.
func (d *Door) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	x := &exchange{ResponseWriter: w, id: gate.NewRequestID(), start: time.Now()}
	x.r = r.WithContext(gate.WithRequestID(r.Context(), x.id))
	defer d.log(x)
	x.harden()
	x.cause = d.serve(x)
	switch {
	case x.cause != nil && x.status == 0:
		x.fail(x.cause)
	case x.cause != nil && x.status < http.StatusMultipleChoices:
		panic(http.ErrAbortHandler) // so that what has come is not taken for all
	}
}

func (d *Door) serve(x *exchange) error {
	t, err := d.admit(x.r)
	if err != nil {
		return err
	}
	x.context = t.Context
	switch method := x.r.Method; {
	case t.Write && method == http.MethodPut:
		return d.put(x, t)
	case !t.Write && (method == http.MethodGet || method == http.MethodHead):
		return d.get(x, t)
	case t.Write:
		return x.wrongMethod("PUT", "this link writes a file; send the file with PUT")
	}
	return x.wrongMethod("GET, HEAD", "this link reads a file; get it with GET")
}

// admit reads the ticket that a request shows.
func (d *Door) admit(r *http.Request) (t gate.FileTicket, err error) {
	ticket, ok := gate.CutFilePath(r.URL.Path)
	if !ok {
		return t, agentbay.Errorf(agentbay.NotFound, "not found: a link to a file looks like /objects/TICKET/NAME")
	}
	return gate.AdmitFile(ticket, d.Secret)
}

// errTooLarge marks a file larger than any may be.
var errTooLarge = errors.New("the file is too large")

func (d *Door) put(x *exchange, t gate.FileTicket) error {
	if x.r.Header.Get("Content-Range") != "" {
		return agentbay.Errorf(agentbay.Invalid, "a file cannot be put in parts; send all of it, without Content-Range")
	}
	largest := d.MaxFile
	if largest == 0 {
		largest = defaultMaxFile
	}
	if x.r.ContentLength > largest {
		return tooLarge(nil, largest)
	}
	in := x.upload(largest)
	defer in.done()
	etag, err := d.Bay.PutContextFile(x.r.Context(), agentbay.ContextID(t.Context), t.Path, in, x.r.ContentLength)
	if err != nil {
		return in.explain(err, largest)
	}
	x.setETag(etag)
	x.WriteHeader(http.StatusOK)
	return nil
}

func tooLarge(cause error, largest int64) error {
	return agentbay.Wrap(errors.Join(errTooLarge, cause), agentbay.Invalid, "a file can have at most %d bytes; divide it", largest)
}

func (d *Door) get(x *exchange, t gate.FileTicket) error {
	f, info, err := d.Bay.OpenContextFile(x.r.Context(), agentbay.ContextID(t.Context), t.Path)
	if err != nil {
		return err
	}
	defer f.Close()
	h := x.Header()
	h.Set("Content-Type", "application/octet-stream")
	h.Set("Content-Disposition", disposition(path.Base(t.Path)))
	if shown, ok := f.(interface{ ContentType() string }); ok {
		h.Set("Content-Type", shown.ContentType())
		h.Del("Content-Disposition")
		h.Set("Content-Security-Policy", "default-src 'none'; media-src 'self'; sandbox allow-same-origin") // a video loads itself in parts
	}
	h.Set("Cache-Control", "private, no-cache") // it may be kept, and is asked for again
	x.setETag(etagOf(f, info))
	out := &download{ReadSeeker: f}
	http.ServeContent(x, x.r, "", info.ModifiedAt, out)
	return out.err
}

// disposition says that a file is to be saved, and under which name.
func disposition(name string) string {
	return mime.FormatMediaType("attachment", map[string]string{"filename": strings.ToValidUTF8(name, "\uFFFD")})
}

// etagOf is the etag that a file says it has, else one of when it was saved: a
// file that is put anew is saved anew.
func etagOf(f io.ReadSeeker, info agentbay.ContextFile) string {
	if named, ok := f.(interface{ ETag() string }); ok {
		return named.ETag()
	}
	if info.SavedAt.IsZero() {
		return ""
	}
	return strconv.FormatInt(info.Size, 16) + "-" + strconv.FormatInt(info.SavedAt.UnixNano(), 16)
}

// stall is how long a client may send, or take, nothing before it is cut off.
const stall = 2 * time.Minute

// An upload is the body of a PUT. It remembers what broke it off.
type upload struct {
	io.Reader
	deadline *http.ResponseController
	err      error
}

func (x *exchange) upload(largest int64) *upload {
	return &upload{
		Reader:   http.MaxBytesReader(x, x.r.Body, largest),
		deadline: http.NewResponseController(x.ResponseWriter),
	}
}

func (u *upload) Read(p []byte) (int, error) {
	_ = u.deadline.SetReadDeadline(time.Now().Add(stall)) // fails only in tests, whose writers have none
	n, err := u.Reader.Read(p)
	if err != nil && err != io.EOF {
		u.err = err
	}
	return n, err
}

func (u *upload) done() { _ = u.deadline.SetReadDeadline(time.Time{}) }

// explain says why a PUT failed: what the client did, if it was that.
func (u *upload) explain(err error, largest int64) error {
	var long *http.MaxBytesError
	switch {
	case u.err == nil:
		return err
	case errors.As(u.err, &long):
		return tooLarge(u.err, largest)
	case errors.Is(u.err, os.ErrDeadlineExceeded):
		return agentbay.Wrap(u.err, agentbay.Invalid, "nothing came for %s; the file is as it was", stall)
	}
	return agentbay.Wrap(u.err, agentbay.Invalid, "the file did not come to its end; it is as it was")
}

// A download is a file being sent. It remembers what broke it off, which
// [http.ServeContent] does not tell.
type download struct {
	io.ReadSeeker
	err error
}

func (d *download) Read(p []byte) (int, error) {
	n, err := d.ReadSeeker.Read(p)
	if err != nil && err != io.EOF {
		d.err = fmt.Errorf("read: %w", err)
	}
	return n, err
}

func (d *download) Seek(offset int64, whence int) (int64, error) {
	n, err := d.ReadSeeker.Seek(offset, whence)
	if err != nil {
		d.err = fmt.Errorf("seek: %w", err)
	}
	return n, err
}

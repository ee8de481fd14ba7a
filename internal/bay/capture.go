package bay

import (
	"bytes"
	"io"
	"os"
	"path"
	"strings"
	"time"

	"github.com/agentbay/agentbay"
	"github.com/agentbay/agentbay/internal/gate"
	"github.com/agentbay/agentbay/tool"
)

// # Captures
//
// What is taken of a session's screen is kept by the bay, not in the session, so
// that it can be had by URL without a key and after the session has ended. In
// the ticket of such a URL the session stands for a context.

// maxPicture bounds a picture of a screen, in bytes of JSON.
const maxPicture = 64 << 20

// screenshot takes a picture of the session's screen, and answers with where it is.
func (u *use) screenshot() (*tool.Reply, error) {
	b := u.caller.bay
	if b.Captures == nil {
		return failure("this bay keeps no pictures; take one with the tool " + tool.Screenshot.Name), nil
	}
	if err := b.HighWater.room(1, "no pictures are kept"); err != nil {
		return failure(agentbay.MessageOf(err)), nil
	}
	r, err := ask(u.ctx, u.session, tool.Screenshot, tool.ScreenshotIn{Format: "png"}, maxPicture, "picture")
	if err != nil {
		return nil, err
	}
	if r.Failed {
		return failure(r.Text), nil
	}
	return u.keepPicture(r.Text)
}

// pngMagic is how a PNG begins.
const pngMagic = "\x89PNG\r\n\x1a\n"

// keepPicture keeps a picture that a guest sent.
func (u *use) keepPicture(text string) (*tool.Reply, error) {
	var out tool.ScreenshotOut
	if tool.Unmarshal([]byte(text), &out) != nil || !bytes.HasPrefix(out.Data, []byte(pngMagic)) {
		return nil, agentbay.Errorf(agentbay.Unavailable, "the session sent a picture that is none")
	}
	b := u.caller.bay
	name, err := b.Captures.Put(string(u.session.ID), "screenshot", ".png", bytes.NewReader(out.Data))
	if err != nil {
		return nil, err
	}
	return success(b.captureURL(u.session.ID, name)), nil
}

// captureURL is the path of a URL under which a capture can be had.
func (b *Bay) captureURL(id agentbay.SessionID, name string) string {
	return gate.FilePath(b.Secret, b.captureTicket(id, name))
}

func (b *Bay) captureTicket(id agentbay.SessionID, name string) gate.FileTicket {
	return gate.FileTicket{Context: string(id), Path: name, Expires: time.Now().Add(b.Captures.Lifetime())}
}

// A shown file is one that a browser may show: the bay itself wrote its beginning,
// or knows it for what its name says.
type shown struct{ *os.File }

// ContentType is by the suffix of the file's name.
func (s shown) ContentType() string {
	switch path.Ext(s.Name()) {
	case ".png":
		return "image/png"
	case ".mp4":
		return "video/mp4"
	case ".jsonl":
		return "application/jsonl"
	}
	return "application/octet-stream"
}

// isCapture reports whether a ticket is of a capture.
func isCapture(id agentbay.ContextID) bool { return strings.HasPrefix(string(id), "session-") }

// openCapture opens what a ticket of a capture names.
func (b *Bay) openCapture(id agentbay.ContextID, name string) (io.ReadSeekCloser, agentbay.ContextFile, error) {
	if b.Captures == nil {
		return nil, agentbay.ContextFile{}, agentbay.Errorf(agentbay.NotFound, "this bay keeps no pictures")
	}
	f, err := b.Captures.Open(string(id), name)
	if err != nil {
		return nil, agentbay.ContextFile{}, err
	}
	info, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, agentbay.ContextFile{}, agentbay.Wrap(err, agentbay.Unavailable, "%s could not be read", shorten(name))
	}
	return shown{f}, agentbay.ContextFile{Path: name, Name: name, Size: info.Size(), SavedAt: info.ModTime(), ModifiedAt: info.ModTime()}, nil
}

package gate

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"net/url"
	"path"
	"strings"
	"time"

	"github.com/agentbay/agentbay"
)

// A FileTicket is what a URL of one file of a context says. Whoever holds the
// URL may do that and nothing else, until it expires, without a key.
type FileTicket struct {
	Context string
	Path    string // of the file in the context
	Write   bool   // the file may be written; else it may be read
	Expires time.Time
}

const (
	ticketPrefix = "tok-" // what Scrub looks for
	ticketForm   = 1      // version of what is signed
	minSecret    = 16     // bytes; less could be tried out
)

// Sign writes the ticket down in letters that a URL may have. Only who knows
// the secret can make one; anyone who holds one can read it. A secret shorter
// than 16 bytes is a bug of its maker, and panics.
func (t FileTicket) Sign(secret []byte) string {
	if len(secret) < minSecret {
		panic("gate: a secret that short protects nothing")
	}
	said := t.encode()
	return ticketPrefix + base64.RawURLEncoding.EncodeToString(append(seal(secret, said), said...))
}

// encode is what is signed: form, right, expiry, and the names.
func (t FileTicket) encode() []byte {
	b := []byte{ticketForm, 0}
	if t.Write {
		b[1] = 1
	}
	b = binary.AppendVarint(b, t.Expires.Unix())
	b = binary.AppendUvarint(b, uint64(len(t.Context)))
	return append(append(b, t.Context...), t.Path...)
}

// seal is the signature of a ticket. The words before it keep it apart from
// whatever else is ever signed with the secret.
func seal(secret, said []byte) []byte {
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte("file ticket\x00"))
	mac.Write(said)
	return mac.Sum(nil)
}

// OpenFileTicket reads a ticket that was signed with the secret. Whether it has
// expired is for the caller to see.
func OpenFileTicket(ticket string, secret []byte) (t FileTicket, ok bool) {
	text, found := strings.CutPrefix(ticket, ticketPrefix)
	b, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if !found || err != nil || len(b) < sha256.Size || len(secret) < minSecret {
		return t, false
	}
	sum, said := b[:sha256.Size], b[sha256.Size:]
	if subtle.ConstantTimeCompare(sum, seal(secret, said)) != 1 {
		return t, false
	}
	return decodeTicket(said)
}

// AdmitFile reads the ticket of a request, which must not have expired.
//
// Denied: it was not signed with the secret, or has expired.
func AdmitFile(ticket string, secret []byte) (t FileTicket, err error) {
	t, ok := OpenFileTicket(ticket, secret)
	if !ok {
		return t, agentbay.Errorf(agentbay.Denied, "this link was not made by this server, or was changed; ask for a new one")
	}
	if !time.Now().Before(t.Expires) {
		return t, agentbay.Errorf(agentbay.Denied, "this link expired at %s; ask for a new one", t.Expires.UTC().Format(time.RFC3339))
	}
	return t, nil
}

func decodeTicket(b []byte) (t FileTicket, ok bool) {
	if len(b) < 2 || b[0] != ticketForm {
		return t, false
	}
	t.Write = b[1] == 1
	expires, n := binary.Varint(b[2:])
	if n <= 0 {
		return t, false
	}
	t.Expires = time.Unix(expires, 0)
	b = b[2+n:]
	size, n := binary.Uvarint(b)
	if n <= 0 || size > uint64(len(b)-n) {
		return t, false
	}
	t.Context, t.Path = string(b[n:n+int(size)]), string(b[n+int(size):])
	return t, true
}

// filePrefix is where URLs of files begin.
const filePrefix = "/objects/"

// FilePath is the path of the URL that carries a ticket. It ends in the file's
// name, so that programs that keep what they get find one.
func FilePath(secret []byte, t FileTicket) string {
	return filePrefix + t.Sign(secret) + "/" + url.PathEscape(path.Base(t.Path))
}

// replayPrefix is where pages that play replays begin.
const replayPrefix = "/replay/"

// ReplayPath is the path of the page that plays the file of a ticket to read. What
// follows it are parts of the page.
func ReplayPath(secret []byte, t FileTicket) string { return replayPrefix + t.Sign(secret) + "/" }

// IsReplayPath reports whether a path is one of such a page.
func IsReplayPath(path string) bool { return strings.HasPrefix(path, replayPrefix) }

// CutReplayPath takes such a path apart; ok says whether it is one.
func CutReplayPath(path string) (ticket, part string, ok bool) {
	rest, found := strings.CutPrefix(path, replayPrefix)
	ticket, part, slash := strings.Cut(rest, "/")
	return ticket, part, found && slash && ticket != ""
}

// IsFilePath reports whether a path is one of a URL of a file.
func IsFilePath(path string) bool { return strings.HasPrefix(path, filePrefix) }

// CutFilePath finds the ticket in such a path; ok says whether it is one.
func CutFilePath(path string) (ticket string, ok bool) {
	rest, found := strings.CutPrefix(path, filePrefix)
	ticket, _, _ = strings.Cut(rest, "/")
	return ticket, found && ticket != ""
}

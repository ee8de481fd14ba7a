// Package gate says who is asking: it makes and checks the secrets a bay hands
// out, names calls, and keeps secrets out of logs. Which key may do what is
// decided in package bay.
//
// Every secret has a form that can be recognised, so that [Scrub] finds it
// wherever it turns up:
//
//	akm-…   an API key, shown once when it is made
//	tok-…   a session's token, or the secret between host and guest
package gate

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"fmt"
	"regexp"
	"strings"
)

const alphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

// prefixLen is how much of a secret may be shown: enough to tell two apart.
const prefixLen = len("akm-") + 4

// NewKey makes an API key of 238 random bits.
func NewKey() string { return "akm-" + random(40) }

// NewToken makes a secret of 256 random bits.
func NewToken() string { return "tok-" + random(43) }

// NewSessionID makes a session ID that cannot be guessed.
func NewSessionID() string { return "session-" + strings.ToLower(rand.Text()) }

// NewContextID makes the name of a context.
func NewContextID() string { return "SdkCtx-" + strings.ToLower(rand.Text()) }

// NewSnapshotID makes the name of a state of a context, short enough to type.
func NewSnapshotID() string { return "snap-" + strings.ToLower(rand.Text())[:12] }

// NewKeyID makes the public name of an API key.
func NewKeyID() string { return "ak-" + strings.ToLower(rand.Text())[:16] }

// NewRequestID makes the name of one call, a random UUID in capitals.
func NewRequestID() string {
	var b [16]byte
	rand.Read(b[:])
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	return fmt.Sprintf("%X-%X-%X-%X-%X", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// random returns n characters of the alphabet, each equally likely.
func random(n int) string {
	out := make([]byte, 0, n)
	buf := make([]byte, 2*n)
	for {
		rand.Read(buf)
		for _, b := range buf {
			if b &= 0x3f; int(b) < len(alphabet) {
				out = append(out, alphabet[b])
			}
			if len(out) == n {
				return string(out)
			}
		}
	}
}

// Hash is how a key is kept and looked up. Keys are random and long, so one
// round of SHA-256 is enough to make them useless to who reads the store.
func Hash(key string) string {
	sum := sha256.Sum256([]byte(key))
	return hex.EncodeToString(sum[:])
}

// Visible is as much of a secret as may be shown, to tell it from others.
func Visible(secret string) string {
	if len(secret) <= prefixLen {
		return ""
	}
	return secret[:prefixLen]
}

// Match reports whether two secrets are the same, in a time that does not tell
// how much of them is. An empty secret matches nothing.
func Match(got, want string) bool {
	return want != "" && subtle.ConstantTimeCompare([]byte(got), []byte(want)) == 1
}

// secrets are the forms a secret has. Keys that others made, and were sent here
// by mistake, look like akm- as well.
var secrets = regexp.MustCompile(`\b(akm|tok)-[0-9A-Za-z_-]{5,}|(?i:\b(bearer|basic) )[0-9A-Za-z._~+/=-]{8,}`)

// Scrub replaces every secret in s by as much of it as may be shown.
func Scrub(s string) string {
	return secrets.ReplaceAllStringFunc(s, func(secret string) string {
		if scheme, _, ok := strings.Cut(secret, " "); ok {
			return scheme + " …"
		}
		return Visible(secret) + "…"
	})
}

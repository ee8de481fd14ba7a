package gate

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"strconv"
	"strings"
)

// ViewToken is the token of a page that shows a session's screen. It is made of
// the session's token, which it does not reveal, and opens that page only: to
// watch, or to act as well. A token of another round than the session's current
// one opens nothing, so that links can be revoked.
func ViewToken(sessionToken string, round int, act bool) string {
	mac := hmac.New(sha256.New, []byte(sessionToken))
	mac.Write([]byte("view " + strconv.Itoa(round) + " " + strconv.FormatBool(act)))
	return "tok-" + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// viewPrefix is where pages that show screens begin.
const viewPrefix = "/view/"

// ViewPath is the path of a session's page. What follows it are parts of the page.
func ViewPath(session, token string) string { return viewPrefix + session + "/" + token + "/" }

// IsViewPath reports whether a path is one of such a page.
func IsViewPath(path string) bool { return strings.HasPrefix(path, viewPrefix) }

// CutViewPath takes such a path apart; ok says whether it is one. A page whose
// path lacks the last slash has no parts.
func CutViewPath(path string) (session, token, part string, ok bool) {
	rest, found := strings.CutPrefix(path, viewPrefix)
	session, rest, found2 := strings.Cut(rest, "/")
	token, part, found3 := strings.Cut(rest, "/")
	return session, token, part, found && found2 && found3 && session != "" && token != ""
}

package gate

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"strconv"
	"strings"
)

// PortToken is the token of the link to one port of a session. It is made of
// the session's token, which it does not reveal, and opens that port only.
func PortToken(sessionToken string, port uint16) string {
	mac := hmac.New(sha256.New, []byte(sessionToken))
	mac.Write([]byte("port " + strconv.Itoa(int(port))))
	return "tok-" + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// portPrefix is where links to ports begin.
const portPrefix = "/port/"

// PortPath is the path of the link to a port of a session. What follows it is
// the path at the port.
func PortPath(session string, port uint16, token string) string {
	return portPrefix + session + "/" + strconv.Itoa(int(port)) + "/" + token + "/"
}

// IsPortPath reports whether a path is one of a link to a port.
func IsPortPath(path string) bool { return strings.HasPrefix(path, portPrefix) }

// CutPortPath takes such a path apart; ok says whether it is one. The prefix is
// what PortPath returned, but for its last slash.
func CutPortPath(path string) (session string, port uint16, token, prefix string, ok bool) {
	rest, found := strings.CutPrefix(path, portPrefix)
	parts := strings.SplitN(rest, "/", 4)
	if !found || len(parts) < 3 {
		return "", 0, "", "", false
	}
	n, err := strconv.ParseUint(parts[1], 10, 16)
	if err != nil || n == 0 || parts[0] == "" || parts[2] == "" {
		return "", 0, "", "", false
	}
	prefix = strings.TrimSuffix(PortPath(parts[0], uint16(n), parts[2]), "/")
	return parts[0], uint16(n), parts[2], prefix, strings.HasPrefix(path, prefix)
}

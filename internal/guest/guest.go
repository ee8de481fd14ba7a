// Package guest is both ends of the line between the host and a session's
// guest, the daemon that performs tools inside the session.
//
// The line is HTTP/1.1 over whatever connection the runtime dials, with the
// session's guest secret in the Authorization header:
//
//	POST    /call/{tool}     arguments in; the answer's text out, as it is made;
//	                         trailer-free, header Agentbay-Failed: true on failure
//	POST    /stream/{tool}   arguments in; one JSON event a line out
//	CONNECT /port/{number}   then raw bytes to and from that port of the session
//	GET     /health          204 when tools can be called
//
// An unknown tool is 404, arguments that do not decode 400, a wrong secret 401;
// the body is then a sentence. Closing the connection stops the tool.
//
// There are only these two primitives into a session: call a tool, dial a port.
// The packages below this one (shell, files, code) perform the tools and
// register them in a [Mux]; they run inside the session and know nothing of
// the server. The host trusts nothing a guest sends.
package guest

// FailedHeader marks an answer as the report of a failure.
const FailedHeader = "Agentbay-Failed"

// TokenEnv is the environment variable in which a guest may be given its secret
// where it is not given it on standard input, which it reads to the end. The
// guest removes it before it starts anything else, which on Linux costs it a
// second start of its own.
const TokenEnv = "AGENTBAY_GUEST_TOKEN"

// Port is the TCP port a guest listens on inside its session.
const Port = 47600

// ScreenPort is the TCP port of a session's loopback where its screen is shown
// by the RFB protocol, without a password: it is reached through the guest only.
const ScreenPort = 47601

// RecordPort is the TCP port of a session's loopback where its screen is recorded
// for who connects (package recording).
const RecordPort = 47602

// ReplayPort is the TCP port of a session's loopback where what its browser shows
// is recorded for who connects (package replay).
const ReplayPort = 47603

// BrowserPort is the TCP port of a session's loopback where its browser's DevTools
// are, without a password: they are reached through the guest only.
const BrowserPort = 9222

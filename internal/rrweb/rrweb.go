// Package rrweb is the recorder and the player of what pages show
// (https://github.com/rrweb-io/rrweb), which scripts/rrweb brings here before the
// programs are built. Without it they build, and have nothing to record with.
package rrweb

import "embed"

//go:embed all:dist
var dist embed.FS

// Recorder is a script that, as a module of CommonJS, exports the function
// record; empty if this program was built without it.
func Recorder() string {
	b, _ := dist.ReadFile("dist/record.js")
	return string(b)
}

// Player reads a part of the player: "replay.js", which defines the object
// rrwebReplay, or "style.css".
func Player(name string) ([]byte, error) { return dist.ReadFile("dist/" + name) }

// Complete reports whether this program was built with both.
func Complete() bool {
	_, err := Player("replay.js")
	return err == nil && Recorder() != ""
}

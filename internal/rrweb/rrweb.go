// Package rrweb is the recorder and the player of what pages show
// (https://github.com/rrweb-io/rrweb), which scripts/rrweb brings here before the
// programs are built. Without it they build, and have nothing to record with.
package rrweb

import (
	"embed"
	"io/fs"
)

// Files has the recorder and the player in [Dir]: "replay.js", which defines the
// object rrwebReplay, and "style.css".
//
//go:embed all:dist
var Files embed.FS

// Dir is the directory of Files.
const Dir = "dist"

// Recorder is a script that, as a module of CommonJS, exports the function
// record; empty if this program was built without it.
func Recorder() string {
	b, _ := Files.ReadFile(Dir + "/record.js")
	return string(b)
}

// Complete reports whether this program was built with both.
func Complete() bool {
	for _, name := range []string{"record.js", "replay.js"} {
		if _, err := fs.Stat(Files, Dir+"/"+name); err != nil {
			return false
		}
	}
	return true
}

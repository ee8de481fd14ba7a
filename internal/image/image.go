// Package image says what an image is, how it is built, and how it becomes the
// layers of a root file system. A Store is a directory that any number of
// servers and command lines on one host may share.
package image

import (
	"time"

	"github.com/agentbay/agentbay/internal/runtime"
	"github.com/agentbay/agentbay/tool"
)

// An Image is a built image: immutable, and named by its digest. A name such as
// "code_latest" points to one image at a time.
type Image struct {
	Name   string    // the name it was found by
	Digest string    // "sha256:…" of its manifest
	Layers []string  // layer directories on this host, topmost first
	Config Config    // how a session of it runs
	Size   int64     // bytes of all its layers
	Built  time.Time // when its topmost layer was finished
}

// A Config says how a session of an image runs.
type Config struct {
	User     runtime.User  `json:"user"`
	Dir      string        `json:"dir"`            // working directory of tools
	Env      []string      `json:"env,omitempty"`  // KEY=value
	Families []tool.Family `json:"families"`       // which tools work in it
	Warm     []string      `json:"warm,omitempty"` // languages whose interpreters start with the session

	Screen string `json:"screen,omitempty"` // size of the screen, such as "1920x1080", if it has one
	// NoLink keeps clients from calling tools by a link of the session: they take
	// the endpoint. The public SDKs offer either screenshot, without a link, or
	// beta_take_screenshot, with one.
	NoLink bool `json:"no_link,omitempty"`
}

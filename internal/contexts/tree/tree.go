// Package tree moves contexts between their repository and directories of the
// host: it checks them out as layers that sessions share, saves what a session
// wrote on top of its layers, and loads what others saved meanwhile. Where the
// directories are mounted, and when anything is moved, is decided elsewhere.
//
// What a session wrote is the session's: names, links and sizes are chosen by
// whoever works there, also while we look. Nothing here follows a link of a
// session, or leaves the directory it was given.
//
// Owners, extended attributes and hard links are not kept: files are the
// session user's, and two names of one file become two files whose content is
// stored once. Devices, sockets and pipes are left out.
package tree

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/agentbay/agentbay"
	"github.com/agentbay/agentbay/internal/contexts"
)

// A View is what a mount shows of a context, and to whom.
type View struct {
	Tenant    string             // whose context it is; tenants share no directory
	Context   agentbay.ContextID // which one: a new state of it is made of its last one
	Selection Selection
	Extract   agentbay.ExtractPolicy
	UID, GID  uint32 // who the files belong to

	took func(n int64) error // is told what is written, and may refuse to go on; nil if nobody wants to know
}

// A Tree is what a session sees at a mount, as directories of the host. Only
// one [Save] or [Load] of a Tree may run at a time.
type Tree struct {
	Upper  string // what the session wrote: an overlay's upper directory, or any directory
	Merged string // what the session sees; Load writes there
	Base   uint32 // what is added to UID and GID in Merged

	Selection Selection
	Extract   agentbay.ExtractPolicy
	UID, GID  uint32

	// Root is the state of the context that is below Upper; zero if nothing is.
	Root contexts.Root

	// Memory is a file that tells what was saved or loaded before. It is made
	// when it is missing, and belongs to this Tree alone.
	Memory string

	Archive     bool // save all as one compressed file
	KeepDeleted bool // what the session deleted stays in the context
}

// A Progress counts what is moved, and may be read while that goes on. The zero
// Progress is ready.
type Progress struct {
	Files      atomic.Int64 // files and links moved so far
	Bytes      atomic.Int64 // of their content
	TotalBytes atomic.Int64 // to move in all, as far as is known yet

	mu       sync.Mutex
	warnings []string // guarded by mu
}

// maxWarnings bounds what a session can make us remember.
const maxWarnings = 100

// Warnings lists what was left out or left alone, and why: the first hundred.
func (p *Progress) Warnings() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.warnings)
}

func (p *Progress) warn(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.warnings) < maxWarnings {
		p.warnings = append(p.warnings, fmt.Sprintf(format, args...))
	}
}

// forget drops the warnings.
func (p *Progress) forget() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.warnings = nil
}

// Package runtime says what it is to boot sessions on a host. A runtime is a
// driver of one isolation technology; package runtimetest is the suite that
// each must pass. What a session is for, and when it ends, is decided in
// package bay; a runtime only makes machines and tells the truth about them.
package runtime

import (
	"context"
	"net"
	"net/netip"
	"time"

	"github.com/agentbay/agentbay"
)

// A Runtime boots machines, one a session. Its methods may be called
// concurrently. Everything it makes on the host is recorded before it exists,
// so that a Runtime opened anew after kill -9 finds all of it again: machines
// that still run are adopted, and List names what is left of the others.
type Runtime interface {
	// Name is what the operator calls the driver, such as "runsc".
	Name() string

	// Isolation is what the user is told keeps a session in: "gvisor",
	// "container" or "none".
	Isolation() string

	// Start boots a machine and returns once its guest answers on Dial. If it
	// fails, or ctx is done first, nothing is left behind.
	//
	// Conflict: spec.ID is already there.
	// Exhausted: the host is full.
	// Unavailable: the machine or its guest did not come up; the cause says why.
	Start(ctx context.Context, spec Spec) error

	// Stop ends the machine and frees all it held on the host. Stopping what is
	// not there is not an error: a crashed Stop is retried.
	Stop(ctx context.Context, id agentbay.SessionID) error

	// List names every machine of which anything is on the host, dead ones too.
	List(ctx context.Context) ([]Machine, error)

	// Dial connects to the machine's guest.
	//
	// NotFound: there is no such machine, or it has ended.
	// Unavailable: the guest does not take the connection.
	Dial(ctx context.Context, id agentbay.SessionID) (net.Conn, error)

	// Wait returns when the machine has ended by itself or was stopped, at once
	// if there is none, and says why. Any number of callers may wait. An error
	// is only ever ctx's.
	Wait(ctx context.Context, id agentbay.SessionID) (Exit, error)

	Mounter

	// Close stops watching. Machines stay as they are.
	Close() error
}

// A Mounter shows machines directories of the host while they run.
//
// A mount is a stack of directories that are never written to, and on top of
// it what the machine itself writes. That is kept on the host, for all mounts of
// the machine together within its disk limit once more, and can be read until
// Stop, however the machine ended; but not after the host went down.
type Mounter interface {
	// Mount shows each of mounts at its Target in a machine that runs, in that
	// order, or none of them if it fails. Missing directories are made; the last
	// one, and every mount, is the machine's user's. What is at a Target already
	// and the user may read stays visible, where the mount has nothing of that
	// name, and becomes part of what the machine wrote. Links on the way to a
	// Target are followed if nobody but the machine's root can change them. Tools
	// started from then on see the mounts. A Mount that was killed can be
	// repeated, with the same Layers.
	//
	// NotFound: there is no such machine, or it has ended.
	// Conflict: a Name is mounted.
	// Invalid: a Target cannot be a directory; the message says which and why.
	// Exhausted: what is at a Target already exceeds the machine's disk limit.
	Mount(ctx context.Context, id agentbay.SessionID, mounts ...Mount) error

	// Written opens what a machine has written to a mount, also once it has
	// ended. The caller closes it; Stop does not wait for that.
	//
	// NotFound: there is no such machine or mount.
	Written(ctx context.Context, id agentbay.SessionID, name string) (Written, error)

	// Halt ends the machine and keeps what it has written until Stop. Halting
	// what has ended is not an error.
	Halt(ctx context.Context, id agentbay.SessionID) error
}

// A Mount is a directory that a machine is shown.
type Mount struct {
	Name   string   // among the machine's mounts: letters, digits and dashes
	Target string   // absolute path in the machine
	Layers []string // directories of the host, topmost first; files in them have the machine's own user numbers
}

// Written is what a machine has written to a mount, as directories of the host.
// It is the machine's: what is in it is hostile, and changes while it runs.
type Written struct {
	// Upper is an overlay's upper directory: what was made or changed, with a
	// character device 0/0 for what was removed and the attribute
	// trusted.overlay.opaque on directories that hide what is below. What is in a
	// directory with trusted.overlay.redirect, which was renamed, is only seen
	// whole in Merged.
	Upper string

	// Merged is what the machine sees or, once it has ended, saw last. It can be
	// written to, as root, with the machine's own users numbered from Base.
	Merged string
	Base   uint32

	Close func() error
}

// A Meter is a Runtime that can tell what a machine uses.
type Meter interface {
	// Usage reads the machine's counters as the host keeps them.
	Usage(ctx context.Context, id agentbay.SessionID) (Usage, error)
}

// A Spec says what machine to boot.
type Spec struct {
	ID      agentbay.SessionID
	Layers  []string // directories of the root file system, topmost first; never written to
	User    User     // who the guest, and so every tool, runs as
	Dir     string   // working directory of tools
	Env     []string // environment of tools, KEY=value
	Guest   []string // the guest's command line; [0] is a path on the host that is bound into the machine
	Token   string   // secret the guest asks of who connects; never on a command line
	Limits  Limits
	Network Network
}

// A User is an account in the image.
type User struct {
	Name     string
	UID, GID uint32
	Home     string
}

// Limits are what one machine may use. Zero means the driver's default.
type Limits struct {
	CPU    float64 // cores
	Memory int64   // bytes
	Pids   int64   // processes and threads
	Disk   int64   // bytes written to the root file system
}

// A Network says what a machine may reach. No machine ever reaches another,
// the host, or a link-local address such as the metadata service.
type Network struct {
	Internet bool           // reach public addresses
	Allow    []netip.Prefix // private ranges it may reach as well
	DNS      []netip.Addr   // name servers, reachable on port 53 whatever their range
}

// A Machine is what List knows of one.
type Machine struct {
	ID    agentbay.SessionID
	Alive bool
}

// An Exit says how a machine ended.
type Exit struct {
	Reason string // for the user, such as "out of memory (limit 2.0 GiB)" or "stopped"
}

// A Usage is what a machine uses and may use.
type Usage struct {
	CPU                   time.Duration // used since boot
	Cores                 float64       // limit
	Memory, MemoryLimit   int64         // bytes
	Disk, DiskLimit       int64         // bytes
	Received, Transmitted int64         // bytes since boot, seen from the machine
}

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

	// Close stops watching. Machines stay as they are.
	Close() error
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

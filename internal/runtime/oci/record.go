package oci

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"github.com/agentbay/agentbay"
	"github.com/agentbay/agentbay/internal/runtime"
)

// Names below the state directory and below a machine's directory.
const (
	machinesDir = "m"
	sparesDir   = "spares" // file systems that no machine has yet
	recordFile  = "record.json"
	pidFile     = "pid"
	bundleDir   = "bundle"
	stateDir    = "state"     // the OCI runtime's own
	topDir      = "top"       // topmost layer: what this host adds to the image
	diskDir     = "disk"      // what the machine writes
	diskFile    = "disk.ext4" // the file system that is mounted there, under runc

	contextsDir = "contexts"     // what machines write to their mounts, by the machine's name
	mountsDir   = "mounts"       // what is known of each mount
	writtenFile = "written.ext4" // the file system that is mounted in contextsDir
	writtenDir  = "written"      // what is there on a host without loop devices
	hubDir      = "hub"          // where mounts reach a sandbox
)

// A record is what the ledger says of a machine beyond its name.
type record struct {
	Place   place           `json:"place"`
	Group   uint32          `json:"group"`
	Network runtime.Network `json:"network"`
	Limits  runtime.Limits  `json:"limits"`
	User    runtime.User    `json:"user"`
	Pid     int             `json:"pid,omitempty"`   // of the guest or its sandbox, once it has booted
	Since   uint64          `json:"since,omitempty"` // when that process started, to tell it from a later one of that number
}

// write puts the record in place of what was there.
func (r record) write(dir string) error {
	b, err := json.Marshal(r)
	if err != nil {
		return err
	}
	path := filepath.Join(dir, recordFile)
	if err := os.WriteFile(path+".new", b, 0o600); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

// readRecord returns the zero record if there is none that can be read: it was
// lost with all it spoke of, or never written.
func readRecord(dir string) (rec record, err error) {
	b, err := os.ReadFile(filepath.Join(dir, recordFile))
	if errors.Is(err, fs.ErrNotExist) {
		return rec, nil
	}
	if err != nil {
		return rec, err
	}
	if json.Unmarshal(b, &rec) != nil {
		return record{}, nil
	}
	return rec, nil
}

// readLedger makes a machine of every directory on the ledger.
func (r *Runtime) readLedger() error {
	entries, err := os.ReadDir(filepath.Join(r.opt.StateDir, machinesDir))
	if err != nil {
		return agentbay.Wrap(err, agentbay.Unavailable, "cannot read the ledger of machines in %s", r.opt.StateDir)
	}
	for _, e := range entries {
		m := newMachine(r, agentbay.SessionID(e.Name()))
		if m.rec, err = readRecord(m.dir); err != nil {
			return agentbay.Wrap(err, agentbay.Unavailable, "cannot read the record of machine %s", m.id)
		}
		close(m.booted)
		r.machines[m.id] = m
	}
	return nil
}

// policies returns those that machines on the ledger have.
func (r *Runtime) policies() map[uint32]runtime.Network {
	policies := map[uint32]runtime.Network{}
	for _, m := range r.machines {
		if m.rec.Group != 0 {
			policies[m.rec.Group] = m.rec.Network
		}
	}
	return policies
}

// adopt watches the machines that still run, and marks the others dead.
func (r *Runtime) adopt() {
	for _, m := range r.machines {
		if err := m.rewatch(); err != nil {
			m.end("it was gone when the server came back" + m.limitsMet())
		}
	}
}

// startTime returns when a process started, in clock ticks since boot.
func startTime(pid int) (uint64, error) {
	fields, err := statFields(pid)
	if err != nil {
		return 0, err
	}
	const start = 19
	return strconv.ParseUint(string(fields[start]), 10, 64)
}

// statFields returns what /proc/<pid>/stat has after the process's name: its
// state first, its exit status last.
func statFields(pid int) ([][]byte, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return nil, err
	}
	// The name, in parentheses, may hold anything.
	fields := bytes.Fields(b[bytes.LastIndexByte(b, ')')+1:])
	const all = 50
	if len(fields) < all {
		return nil, fmt.Errorf("/proc/%d/stat has %d fields", pid, len(fields))
	}
	return fields, nil
}

package oci

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/google/nftables"
	"golang.org/x/sys/unix"
)

// A Finding is one thing a profile asks of the host.
type Finding struct {
	What   string // such as "network namespaces"
	OK     bool
	Needed bool   // without it there are no machines; otherwise they lack something
	Detail string // what was found, or what is missing and what to do
}

// Probe looks whether this host can offer the profile, and changes nothing.
func Probe(opt Options) []Finding {
	p := opt.Profile
	opt.fill()
	list := []Finding{probeRoot(), probeBinary(p, opt.Binary), probeCgroups(opt.Cgroup)}
	if os.Geteuid() != 0 {
		return list // the rest would fail for that reason alone
	}
	list = append(list, probeOverlay(), probeNetwork(), probeFirewall())
	if p.kernel {
		list = append(list, probeUsers(opt.StateDir))
	}
	return append(list, probeLoops(p))
}

// finding is OK with what was found, or not with err and what to do about it.
func finding(what string, needed bool, found string, err error, advice string) Finding {
	if err != nil {
		return Finding{What: what, Needed: needed, Detail: fmt.Sprintf("%v; %s", err, advice)}
	}
	return Finding{What: what, OK: true, Needed: needed, Detail: found}
}

func probeRoot() Finding {
	var err error
	if os.Geteuid() != 0 {
		err = fmt.Errorf("running as user %d", os.Geteuid())
	}
	return finding("root", true, "running as root", err, "namespaces and cgroups need root; run the server as root")
}

func probeBinary(p *Profile, binary string) Finding {
	path, err := p.find(binary)
	if err != nil {
		return Finding{What: p.Name, Needed: true, Detail: err.Error()}
	}
	out, err := exec.Command(path, "--version").Output()
	version, _, _ := strings.Cut(string(out), "\n")
	return finding(p.Name, true, path+": "+version, err, "it does not run; install it again")
}

func probeCgroups(parent string) Finding {
	h, err := findHierarchy(parent)
	found := "version 1"
	if h.unified {
		found = "version 2"
	}
	return finding("cgroups", true, found, err, "limits need the cpu, memory and pids controllers")
}

func probeOverlay() Finding {
	err := onThread(func() error {
		if err := privateMounts(); err != nil {
			return err
		}
		return overlay(os.TempDir(), []string{"/usr", "/etc"}, "", unix.MS_RDONLY)
	})
	return finding("overlay file system", true, "can be mounted", err, "load the kernel's overlay module (modprobe overlay)")
}

func probeNetwork() Finding {
	ns, err := newNetNS()
	if err == nil {
		ns.Close()
	}
	return finding("network namespaces", true, "can be made", err, "the kernel must allow network namespaces and veth")
}

func probeFirewall() Finding {
	c, err := nftables.New()
	if err == nil {
		_, err = c.ListTables()
	}
	return finding("nftables", true, "usable", err, "load the kernel's nf_tables module (modprobe nf_tables)")
}

func probeUsers(stateDir string) Finding {
	err := canIdmap(existing(stateDir))
	return finding("users of their own", false, "root in a session is nobody on the host", err,
		"sessions share the host's users: root in a session is root held by capabilities and seccomp alone; use Linux 5.19 or later and ext4, xfs or btrfs")
}

func probeLoops(p *Profile) Finding {
	whose := "sessions"
	if !p.kernel {
		whose = "what sessions write to contexts"
	}
	var err error
	if !hasLoops() {
		err = fmt.Errorf("no loop device or no mkfs.ext4")
	}
	return finding("disk limit", false, "by a file system for each session", err,
		whose+" can fill the host's disk; load the kernel's loop module and install e2fsprogs")
}

// existing is the nearest directory above path that is there.
func existing(path string) string {
	path, err := filepath.Abs(path)
	if err != nil {
		return "/"
	}
	for ; path != "/"; path = filepath.Dir(path) {
		if _, err := os.Stat(path); err == nil {
			break
		}
	}
	return path
}

// Notes says what sessions of this Runtime lack on this host, for the operator.
func (r *Runtime) Notes() (notes []string) {
	list := []Finding{probeLoops(r.opt.Profile)}
	if r.opt.Profile.kernel {
		list = append(list, probeUsers(r.opt.StateDir))
	}
	for _, f := range list {
		if !f.OK {
			notes = append(notes, f.Detail)
		}
	}
	return notes
}

package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	goruntime "runtime"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/agentbay/agentbay/internal/image"
	"github.com/agentbay/agentbay/internal/runtime/oci"
)

// A finding is one thing that doctor looked at.
type finding struct {
	Name   string `json:"name"`
	Status status `json:"status"`
	Detail string `json:"detail"`
}

// A status is how well a thing serves a bay.
type status string

const (
	good    status = "ok"
	lacking status = "missing" // something cannot be offered; the rest works
	fatal   status = "fatal"   // no session can run
)

func (a *app) doctorCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "doctor",
		Short: "Say what this machine can offer, and why not more",
		Long: `Say which isolation tiers, images and limits this machine can offer, and why not
more. The exit status is 1 if no session can run on it.`,
		Args: cobra.NoArgs,
		RunE: withContext(func(ctx context.Context, _ []string) error {
			findings := a.examine(ctx)
			err := a.print(findings, func(w *tabwriter.Writer) {
				for _, f := range findings {
					fmt.Fprintf(w, "%s\t%s\t%s\n", f.Status, f.Name, f.Detail)
				}
			})
			for _, f := range findings {
				if f.Status == fatal {
					return quiet(1)
				}
			}
			return err
		}),
	}
}

// examine looks at all there is to look at.
func (a *app) examine(ctx context.Context) []finding {
	all := append([]finding{checkKernel(), checkCapacity(), a.checkDisk(), checkGuest()}, a.checkTiers()...)
	all = append(all, checkLimits(), checkNames())
	all = append(all, a.checkImages()...)
	return append(all, checkBuilder(), a.checkServer(ctx))
}

func checkKernel() finding {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return finding{"kernel", lacking, err.Error()}
	}
	return finding{"kernel", good, unix.ByteSliceToString(u.Sysname[:]) + " " + unix.ByteSliceToString(u.Release[:]) + " " + goruntime.GOARCH}
}

// checkTiers says which runtimes can keep sessions in, and what each finds on
// the host. One is enough.
func (a *app) checkTiers() (all []finding) {
	usable := false
	for _, p := range oci.Profiles {
		tier, parts := a.checkTier(p)
		usable = usable || tier.Status == good
		all = append(append(all, tier), parts...)
	}
	if !usable {
		all = append(all, finding{"isolation", fatal, "no tier can be offered, for the reasons above"})
	}
	return all
}

func (a *app) checkTier(p *oci.Profile) (tier finding, parts []finding) {
	tier = finding{"isolation " + p.Isolation, good, "by " + p.Name}
	binary, err := program("", p.Name)
	if err != nil {
		return finding{tier.Name, lacking, err.Error()}, nil
	}
	for _, f := range oci.Probe(oci.Options{Profile: p, Binary: binary, StateDir: a.path("machines", p.Name)}) {
		part := finding{"  " + f.What, good, f.Detail}
		if !f.OK {
			part.Status = lacking
		}
		if !f.OK && f.Needed {
			tier.Status, tier.Detail = lacking, "not offered, for the reasons below"
		}
		parts = append(parts, part)
	}
	return tier, parts
}

func checkLimits() finding {
	l := oci.DefaultLimits
	return finding{"limits", good, fmt.Sprintf("a session has %g processors, %s of memory, %d processes, %s of disk; `agentbay serve --help` shows how to change that",
		l.CPU, (*byteSize)(&l.Memory), l.Pids, (*byteSize)(&l.Disk))}
}

func checkGuest() finding {
	name, err := program("", "agentbay-guest")
	if err != nil {
		return finding{"guest", fatal, err.Error()}
	}
	return finding{"guest", good, name}
}

func checkCapacity() finding {
	var info unix.Sysinfo_t
	if err := unix.Sysinfo(&info); err != nil {
		return finding{"capacity", lacking, err.Error()}
	}
	memory := float64(info.Totalram) * float64(info.Unit) / (1 << 30)
	return finding{"capacity", good, fmt.Sprintf("%d processors, %.1f GiB of memory", goruntime.NumCPU(), memory)}
}

// imageSpace is about what the official images take, and a build of them besides.
const imageSpace = 6 << 30

func (a *app) checkDisk() finding {
	dir := a.data
	for dir != "/" {
		if _, err := os.Stat(dir); err == nil {
			break
		}
		dir = dir[:max(1, strings.LastIndex(dir, "/"))]
	}
	var fs unix.Statfs_t
	if err := unix.Statfs(dir, &fs); err != nil {
		return finding{"disk", lacking, err.Error()}
	}
	free := int64(fs.Bavail) * fs.Bsize
	f := finding{"disk", good, fmt.Sprintf("%.1f GiB free for %s", float64(free)/(1<<30), a.data)}
	if free < imageSpace {
		f.Status, f.Detail = lacking, f.Detail+"; images need about 6 GiB to be built"
	}
	return f
}

func (a *app) checkImages() []finding {
	if _, err := os.Stat(a.images); err != nil {
		return []finding{{"images", lacking, "none built; `agentbay image build` builds them"}}
	}
	s, err := image.Open(a.images)
	if err != nil {
		return []finding{{"images", lacking, err.Error()}}
	}
	list, err := s.List()
	if err != nil {
		return []finding{{"images", lacking, err.Error()}}
	}
	var all []finding
	for _, l := range list {
		all = append(all, checkImage(l))
	}
	return all
}

func checkImage(l image.Listing) finding {
	switch {
	case !l.Ready:
		return finding{l.Name, lacking, "not built; `agentbay image build " + l.Name + "` builds it"}
	case !l.Current:
		return finding{l.Name, good, "out of date, but usable; `agentbay image build " + l.Name + "` renews it"}
	}
	return finding{l.Name, good, "image, " + sizeText(l.Size)}
}

func checkBuilder() finding {
	path, err := exec.LookPath("mmdebstrap")
	if err != nil {
		return finding{"image builds", lacking, "no mmdebstrap: apt-get install mmdebstrap"}
	}
	return finding{"image builds", good, path}
}

func checkNames() finding {
	var names []string
	for _, addr := range hostDNS() {
		names = append(names, addr.String())
	}
	return finding{"name servers", good, strings.Join(names, ", ")}
}

func (a *app) checkServer(ctx context.Context) finding {
	if _, err := os.Stat(a.data); err != nil {
		return finding{"server", lacking, "never started on " + a.data + "; `agentbay up` starts one"}
	}
	running, err := a.isRunning(ctx)
	if err != nil {
		return finding{"server", lacking, err.Error()}
	}
	s, err := a.readServer()
	if !running || err != nil {
		return finding{"server", lacking, "not running on " + a.data + "; `agentbay up` starts it"}
	}
	return finding{"server", good, fmt.Sprintf("%s, process ID %d", s.Endpoint, s.PID)}
}

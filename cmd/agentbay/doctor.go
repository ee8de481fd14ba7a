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
	all := []finding{checkUser(), checkKernel(), checkCgroups()}
	all = append(all, checkTiers()...)
	all = append(all, checkGuest(), checkCapacity(), a.checkDisk())
	all = append(all, a.checkImages()...)
	return append(all, checkBuilder(), checkNames(), a.checkServer(ctx))
}

func checkUser() finding {
	if os.Geteuid() != 0 {
		return finding{"user", fatal, "not root: sessions are made of namespaces, mounts and cgroups; run as root"}
	}
	return finding{"user", good, "root"}
}

func checkKernel() finding {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return finding{"kernel", lacking, err.Error()}
	}
	return finding{"kernel", good, unix.ByteSliceToString(u.Sysname[:]) + " " + unix.ByteSliceToString(u.Release[:]) + " " + goruntime.GOARCH}
}

const cgroupRoot = "/sys/fs/cgroup"

func checkCgroups() finding {
	var root unix.Statfs_t
	if err := unix.Statfs(cgroupRoot, &root); err != nil {
		return finding{"cgroups", fatal, "none at " + cgroupRoot + ": sessions would have no limits; mount them"}
	}
	if root.Type == unix.CGROUP2_SUPER_MAGIC {
		return finding{"cgroups", good, "version 2"}
	}
	var missing []string
	for _, name := range []string{"cpu", "memory", "pids"} {
		if _, err := os.Stat(cgroupRoot + "/" + name); err != nil {
			missing = append(missing, name)
		}
	}
	if len(missing) > 0 {
		return finding{"cgroups", fatal, "version 1 without " + strings.Join(missing, ", ") + ": mount these controllers"}
	}
	return finding{"cgroups", good, "version 1"}
}

// checkTiers says which runtimes can keep sessions in. One is enough.
func checkTiers() []finding {
	all := []finding{checkTier("runsc", "gVisor"), checkTier("runc", "containers")}
	if all[0].Status != good && all[1].Status != good {
		all[0].Status, all[1].Status = fatal, fatal
	}
	return all
}

func checkTier(name, what string) finding {
	binary, err := program("", name)
	if err != nil {
		return finding{name, lacking, what + ": " + err.Error()}
	}
	out, err := exec.Command(binary, "--version").Output()
	if err != nil {
		return finding{name, lacking, fmt.Sprintf("%s: %s does not run: %v", what, binary, err)}
	}
	line, _, _ := strings.Cut(string(out), "\n")
	return finding{name, good, fmt.Sprintf("%s: %s at %s", what, line, binary)}
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

package oci

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/agentbay/agentbay"
	"github.com/agentbay/agentbay/internal/runtime"
	"github.com/agentbay/agentbay/internal/runtime/runtimetest"
)

// TestMain is also the server that the crash test kills.
func TestMain(m *testing.M) {
	if dir := os.Getenv(crashEnv); dir != "" {
		crashServer(dir)
	}
	code := m.Run()
	os.RemoveAll(guestDir)
	os.Exit(code)
}

// guestDir is where the test guest is, once it is built.
var guestDir string

// A lab is a place on this host where machines of one profile can be booted.
type lab struct {
	t       testing.TB
	profile *Profile
	binary  string
	dir     string // state directory
	cgroup  string
}

// newLab skips the test if the host cannot offer the profile.
func newLab(t testing.TB, p *Profile) *lab {
	t.Helper()
	l := &lab{t: t, profile: p, binary: findBinary(p.Name), cgroup: fmt.Sprintf("/agentbay-test-%d", os.Getpid())}
	for _, r := range Probe(l.options()) {
		if !r.OK && r.Needed {
			t.Skipf("%s cannot be tested here: %s", p.Name, r.Detail)
		}
	}
	dir, err := os.MkdirTemp("", "oci")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	l.dir = filepath.Join(dir, "state")
	return l
}

// findBinary looks where the repository's own build puts it, too.
func findBinary(name string) string {
	if path, err := filepath.Abs("../../../bin/" + name); err == nil {
		if _, err := os.Stat(path); err == nil {
			return path
		}
	}
	return name
}

func (l *lab) options() Options {
	return Options{Profile: l.profile, StateDir: l.dir, Binary: l.binary, Cgroup: l.cgroup, Slots: 2}
}

func (l *lab) open() *Runtime {
	l.t.Helper()
	r, err := Open(l.options())
	if err != nil {
		l.t.Fatalf("Open: %v", err)
	}
	return r
}

// guestProgram builds the test guest, once.
var guestProgram = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "testguest")
	if err != nil {
		return "", err
	}
	guestDir = dir
	path := filepath.Join(dir, "guest")
	cmd := exec.Command("go", "build", "-o", path, "github.com/agentbay/agentbay/internal/runtime/runtimetest/testguest")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	return path, nil
})

// spec boots the test guest on a root file system with nothing but two directories.
func (l *lab) spec(id agentbay.SessionID) runtime.Spec {
	l.t.Helper()
	program, err := guestProgram()
	if err != nil {
		l.t.Fatalf("test guest: %v", err)
	}
	layers := []string{filepath.Join(l.dir, "..", "upper"), filepath.Join(l.dir, "..", "lower")}
	for _, dir := range []string{layers[0] + "/home/user", layers[1] + "/tmp"} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			l.t.Fatal(err)
		}
	}
	if err := os.Chmod(layers[1]+"/tmp", 0o777|os.ModeSticky); err != nil {
		l.t.Fatal(err)
	}
	return runtime.Spec{ID: id, Layers: layers, Guest: []string{program}, Token: "secret", Env: []string{"COLOUR=blue"}}
}

// kill kills the machine's first process on the host.
func kill(rt runtime.Runtime, id agentbay.SessionID) error {
	return unix.Kill(rt.(*Runtime).find(id).rec.Pid, unix.SIGKILL)
}

// abandon drops all that a killed server's process would, and no more.
func abandon(rt runtime.Runtime) {
	r := rt.(*Runtime)
	for _, m := range r.all() {
		m.unwatch()
	}
	close(r.slots.stop)
	r.slots.done.Wait()
	close(r.slots.ready)
	for s := range r.slots.ready {
		s.let()
	}
}

func (l *lab) bench() runtimetest.Bench {
	return runtimetest.Bench{
		Open:    func() (runtime.Runtime, error) { return Open(l.options()) },
		Abandon: abandon,
		Spec:    l.spec,
		Kill:    kill,
		Leaks:   l.leaks,
	}
}

// leaks names what is on the host of this lab. The kernel takes a moment to
// clear away what nobody holds any more.
func (l *lab) leaks() (found []string) {
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if found = l.traces(); len(found) == 0 {
			return nil
		}
	}
	return found
}

func (l *lab) traces() (found []string) {
	machines, _ := filepath.Glob(l.dir + "/m/*")
	cgroups, _ := filepath.Glob("/sys/fs/cgroup/*" + l.cgroup)
	unified, _ := filepath.Glob("/sys/fs/cgroup" + l.cgroup)
	for _, list := range [][]string{machines, cgroups, unified, l.links(), l.tables(), l.mounts(), l.loops(), l.processes()} {
		found = append(found, list...)
	}
	return found
}

func (l *lab) links() (found []string) {
	links, _ := netlink.LinkList()
	for _, link := range links {
		if a := link.Attrs(); a.Group>>policyBits == groupOf(l.dir)>>policyBits {
			found = append(found, "link "+a.Name)
		}
	}
	return found
}

func (l *lab) tables() (found []string) {
	out, _ := exec.Command("nft", "list", "tables").Output()
	for line := range strings.Lines(string(out)) {
		if strings.Contains(line, fmt.Sprintf("agentbay_%x", groupOf(l.dir)>>policyBits)) {
			found = append(found, strings.TrimSpace(line))
		}
	}
	return found
}

func (l *lab) mounts() (found []string) {
	b, _ := os.ReadFile("/proc/self/mountinfo")
	for line := range strings.Lines(string(b)) {
		const place = 4 // the overlays of other servers on this host name stage among their options
		if strings.Contains(line, l.dir) || strings.HasPrefix(strings.Fields(line)[place], stage) {
			found = append(found, "mount "+line)
		}
	}
	return found
}

func (l *lab) loops() (found []string) {
	files, _ := filepath.Glob("/sys/block/loop*/loop/backing_file")
	for _, f := range files {
		if b, _ := os.ReadFile(f); strings.Contains(string(b), l.dir) {
			found = append(found, f)
		}
	}
	return found
}

func (l *lab) processes() (found []string) {
	files, _ := filepath.Glob("/proc/[0-9]*/cgroup")
	for _, f := range files {
		if b, _ := os.ReadFile(f); strings.Contains(string(b), l.cgroup+"/") && !zombie(filepath.Dir(f)) {
			name, _ := os.ReadFile(filepath.Dir(f) + "/cmdline")
			found = append(found, "process "+strings.ReplaceAll(string(name), "\x00", " "))
		}
	}
	return found
}

// zombie reports whether a process only waits for its parent to notice.
func zombie(proc string) bool {
	b, _ := os.ReadFile(proc + "/stat")
	return strings.Contains(string(b), ") Z ") || len(b) == 0
}

// each runs a test for each profile.
func each(t *testing.T, run func(*testing.T, *lab)) {
	for _, p := range Profiles {
		t.Run(p.Name, func(t *testing.T) { run(t, newLab(t, p)) })
	}
}

// start boots machines in a Runtime that the test's end clears away.
func (l *lab) start(ids ...agentbay.SessionID) *Runtime {
	l.t.Helper()
	r := l.open()
	l.t.Cleanup(func() { l.finish(r) })
	for _, id := range ids {
		if err := r.Start(context.Background(), l.spec(id)); err != nil {
			l.t.Fatalf("Start %s: %v", id, err)
		}
	}
	return r
}

// finish stops all machines and looks for what they have left.
func (l *lab) finish(r *Runtime) {
	l.t.Helper()
	for _, m := range r.all() {
		if err := r.Stop(context.Background(), m.id); err != nil {
			l.t.Errorf("Stop %s: %v", m.id, err)
		}
	}
	if err := r.Close(); err != nil {
		l.t.Errorf("Close: %v", err)
	}
	for _, leak := range l.leaks() {
		l.t.Errorf("left on the host: %s", leak)
	}
}

// ask asks a machine's test guest.
func (l *lab) ask(r *Runtime, id agentbay.SessionID, format string, args ...any) string {
	l.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	path := fmt.Sprintf(format, args...)
	answer, err := runtimetest.Ask(ctx, r, id, path)
	if err != nil {
		l.t.Fatalf("%s of machine %s: %v", path, id, err)
	}
	return answer
}

// Every profile is a runtime.
func TestOCIIsRuntime(t *testing.T) {
	each(t, func(t *testing.T, l *lab) { runtimetest.Run(t, l.bench()) })
}

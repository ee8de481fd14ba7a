package bench

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/agentbay/agentbay/internal/image"
)

// A raw is an OCI runtime used by hand, on the same root file system as a bay.
type raw struct {
	binary []string
	root   string // merged layers
	shared string // bound into each container at /shared
	dir    string
}

var rawCount atomic.Int64

// newRaw mounts the layers of code_latest as one root for a runtime.
func newRaw(b *testing.B, tier string) *raw {
	b.Helper()
	store, err := image.Open(os.Getenv("AGENTBAY_TEST_IMAGES"))
	if err != nil {
		b.Fatal(err)
	}
	img, err := store.Get("code_latest")
	if err != nil {
		b.Fatal(err)
	}
	r := &raw{dir: b.TempDir()}
	r.root, r.shared = filepath.Join(r.dir, "root"), filepath.Join(r.dir, "shared")
	r.binary = []string{"runc", "--root", filepath.Join(r.dir, "state")}
	if tier == "runsc" {
		r.binary = []string{filepath.Join(os.Getenv("AGENTBAY_TEST_BIN"), "runsc"), "--root", filepath.Join(r.dir, "state"), "--network=none"}
		// runsc leaves a network namespace mounted in its state directory.
		b.Cleanup(func() { syscall.Unmount(filepath.Join(r.dir, "state", "null-netns"), syscall.MNT_DETACH) })
	}
	r.mount(b, img.Layers)
	return r
}

func (r *raw) mount(b *testing.B, layers []string) {
	lower := ""
	for i, l := range layers {
		if i > 0 {
			lower += ":"
		}
		lower += l
	}
	for _, dir := range []string{"root", "shared", "upper", "work"} {
		if err := os.Mkdir(filepath.Join(r.dir, dir), 0o755); err != nil {
			b.Fatal(err)
		}
	}
	options := fmt.Sprintf("lowerdir=%s,upperdir=%s/upper,workdir=%s/work", lower, r.dir, r.dir)
	r.must(b, exec.Command("mount", "-t", "overlay", "overlay", "-o", options, r.root))
	b.Cleanup(func() { r.must(b, exec.Command("umount", "-l", r.root)) })
}

func (r *raw) must(b *testing.B, cmd *exec.Cmd) {
	b.Helper()
	if out, err := cmd.CombinedOutput(); err != nil {
		b.Fatalf("%s: %v\n%s", cmd, err, out)
	}
}

// bundle writes a bundle that runs args.
func (r *raw) bundle(b *testing.B, args []string) string {
	dir, err := os.MkdirTemp(r.dir, "bundle")
	if err != nil {
		b.Fatal(err)
	}
	spec := specs.Spec{
		Version: "1.0.2",
		Process: &specs.Process{Args: args, Cwd: "/", Env: []string{"PATH=/usr/bin:/bin"}},
		Root:    &specs.Root{Path: r.root},
		Mounts: []specs.Mount{
			{Destination: "/proc", Type: "proc", Source: "proc"},
			{Destination: "/shared", Type: "bind", Source: r.shared, Options: []string{"bind", "rw"}},
		},
		Linux: &specs.Linux{Namespaces: []specs.LinuxNamespace{
			{Type: specs.PIDNamespace}, {Type: specs.MountNamespace}, {Type: specs.NetworkNamespace}, {Type: specs.IPCNamespace}, {Type: specs.UTSNamespace},
		}},
	}
	text, err := json.Marshal(spec)
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "config.json"), text, 0o600)
	}
	if err != nil {
		b.Fatal(err)
	}
	return dir
}

func (r *raw) command(args ...string) *exec.Cmd {
	return exec.Command(r.binary[0], append(r.binary[1:len(r.binary):len(r.binary)], args...)...)
}

func newID() string { return fmt.Sprintf("bench-%d-%d", os.Getpid(), rawCount.Add(1)) }

// run runs a command in a new container and waits for it.
func (r *raw) run(b *testing.B, args ...string) {
	b.Helper()
	r.must(b, r.command("run", "--bundle", r.bundle(b, args), newID()))
}

// start starts a container that sleeps, and ends it with the benchmark.
func (r *raw) start(b *testing.B) string {
	b.Helper()
	id := newID()
	cmd := r.command("run", "--detach", "--bundle", r.bundle(b, []string{"/bin/sleep", "100000"}), id)
	if err := cmd.Run(); err != nil { // not CombinedOutput: the container would hold the pipe
		b.Fatalf("%s: %v", cmd, err)
	}
	b.Cleanup(func() { r.must(b, r.command("delete", "--force", id)) })
	return id
}

// exec runs a command in a container that is there.
func (r *raw) exec(b *testing.B, id string, args ...string) {
	b.Helper()
	r.must(b, r.command(append([]string{"exec", id}, args...)...))
}

// A jupyter is a kernel started the usual way, with jupyter_client, on the host.
type jupyter struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Scanner
}

// driver starts a kernel at once and then runs a line of code for each line it
// reads.
const driver = `
import sys
from jupyter_client.manager import start_new_kernel
manager, client = start_new_kernel(kernel_name="python3")
print("ready", flush=True)
for line in sys.stdin:
    client.execute_interactive(line, output_hook=lambda m: None)
    print("done", flush=True)
manager.shutdown_kernel(now=True)
`

func newJupyter(b *testing.B) *jupyter {
	b.Helper()
	python := os.Getenv("AGENTBAY_BENCH_PYTHON")
	if python == "" {
		b.Skip("lacks AGENTBAY_BENCH_PYTHON, a Python with jupyter_client and ipykernel: run scripts/bench")
	}
	return &jupyter{cmd: exec.Command(python, "-c", driver)}
}

func (k *jupyter) start(b *testing.B) {
	b.Helper()
	in, err := k.cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	out, err := k.cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	k.cmd.Stderr = os.Stderr
	if err := k.cmd.Start(); err != nil {
		b.Fatal(err)
	}
	k.in, k.out = in, bufio.NewScanner(out)
	k.expect(b, "ready")
}

func (k *jupyter) expect(b *testing.B, word string) {
	b.Helper()
	if !k.out.Scan() || k.out.Text() != word {
		b.Fatalf("jupyter said %q, want %q", k.out.Text(), word)
	}
}

func (k *jupyter) one(b *testing.B) {
	b.Helper()
	if _, err := io.WriteString(k.in, "1+1\n"); err != nil {
		b.Fatal(err)
	}
	k.expect(b, "done")
}

func (k *jupyter) stop() {
	k.in.Close()
	k.cmd.Wait()
}

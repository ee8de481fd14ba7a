package oci

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/agentbay/agentbay"
	"github.com/agentbay/agentbay/internal/runtime"
)

// BenchmarkStart is from nothing to a guest that answers, beside the OCI
// runtime alone running the same program on the same root file system.
func BenchmarkStart(b *testing.B) {
	for _, p := range Profiles {
		b.Run(p.Name+"/machine", func(b *testing.B) { benchmarkMachine(b, newLab(b, p)) })
		b.Run(p.Name+"/alone", func(b *testing.B) { benchmarkAlone(b, newLab(b, p)) })
	}
}

func benchmarkMachine(b *testing.B, l *lab) {
	r := l.start("warm-up")
	spec := l.spec("a")
	for n := 0; b.Loop(); n++ {
		spec.ID = agentbay.SessionID("m" + strconv.Itoa(n))
		if err := r.Start(context.Background(), spec); err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		if err := r.Stop(context.Background(), spec.ID); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
}

// BenchmarkMount shows a directory in a machine that runs: the machine's first
// mount, which makes its disk, and further ones.
func BenchmarkMount(b *testing.B) {
	for _, p := range Profiles {
		b.Run(p.Name+"/first", func(b *testing.B) { benchmarkMount(b, newLab(b, p), true) })
		b.Run(p.Name+"/further", func(b *testing.B) { benchmarkMount(b, newLab(b, p), false) })
	}
}

func benchmarkMount(b *testing.B, l *lab, fresh bool) {
	r := l.start("m")
	for n := 0; b.Loop(); n++ {
		name := "n" + strconv.Itoa(n)
		if err := r.Mount(context.Background(), "m", runtime.Mount{Name: name, Target: "/data/" + name, Layers: l.spec("x").Layers}); err != nil {
			b.Fatal(err)
		}
		if !fresh {
			continue
		}
		b.StopTimer()
		if err := r.Stop(context.Background(), "m"); err != nil {
			b.Fatal(err)
		}
		if err := r.Start(context.Background(), l.spec("m")); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
}

// benchmarkAlone runs "<runtime> run" until the program says that it is ready.
func benchmarkAlone(b *testing.B, l *lab) {
	bundle := l.rawBundle()
	for n := 0; b.Loop(); n++ {
		id := fmt.Sprintf("alone-%d-%d", os.Getpid(), n)
		cmd := exec.Command(l.binary, "--root", bundle+"/state", "run", "--bundle", bundle, id)
		out, err := cmd.StdoutPipe()
		if err == nil {
			err = cmd.Start()
		}
		if err != nil {
			b.Fatal(err)
		}
		line := make([]byte, 6)
		if _, err := out.Read(line); err != nil || !bytes.HasPrefix(line, []byte("ready")) {
			b.Fatalf("%s run said %q, %v", l.profile.Name, line, err)
		}
		b.StopTimer()
		exec.Command(l.binary, "--root", bundle+"/state", "kill", id, "KILL").Run()
		cmd.Wait()
		exec.Command(l.binary, "--root", bundle+"/state", "delete", "--force", id).Run()
		b.StartTimer()
	}
}

// rawBundle is a bundle of the test guest as a user would write one.
func (l *lab) rawBundle() string {
	l.t.Helper()
	program := l.spec("x").Guest[0]
	bundle := filepath.Join(filepath.Dir(l.dir), "bundle")
	for _, dir := range []string{"rootfs/proc", "rootfs/dev", "state"} {
		if err := os.MkdirAll(filepath.Join(bundle, dir), 0o755); err != nil {
			l.t.Fatal(err)
		}
	}
	if err := os.Link(program, bundle+"/rootfs/guest"); err != nil {
		l.t.Fatal(err)
	}
	cgroup := fmt.Sprintf("%s-alone/box", l.cgroup)
	l.t.Cleanup(func() {
		h, err := findHierarchy(l.cgroup + "-alone")
		if err == nil {
			h.remove(context.Background(), "box")
			h.removeParent()
		}
		exec.Command("umount", bundle+"/state/null-netns").Run()
	})
	b, err := json.Marshal(&specs.Spec{
		Version: "1.0.2",
		Process: &specs.Process{Args: []string{"/guest"}, Cwd: "/"},
		Root:    &specs.Root{Path: "rootfs", Readonly: true},
		Mounts:  []specs.Mount{{Destination: "/proc", Type: "proc", Source: "proc"}},
		Linux: &specs.Linux{CgroupsPath: cgroup, Namespaces: []specs.LinuxNamespace{
			{Type: specs.PIDNamespace}, {Type: specs.MountNamespace}, {Type: specs.NetworkNamespace},
		}},
	})
	if err == nil {
		err = os.WriteFile(bundle+"/config.json", b, 0o600)
	}
	if err != nil {
		l.t.Fatal(err)
	}
	return bundle
}

package runtimetest

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/agentbay/agentbay"
	"github.com/agentbay/agentbay/internal/runtime"
)

// user is who the guests of these tests run as.
var user = runtime.User{Name: "user", UID: 1000, GID: 1000, Home: "/home/user"}

func asUser(s *runtime.Spec) { s.User = user }

// layer makes a directory of files, in the machine's own user numbers.
func (h *host) layer(files map[string]string) string {
	h.t.Helper()
	dir, err := os.MkdirTemp("", "layer")
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { os.RemoveAll(dir) })
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			h.t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			h.t.Fatal(err)
		}
	}
	filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		return errors.Join(err, os.Lchown(path, int(user.UID), int(user.GID)))
	})
	return dir
}

func (h *host) mount(id agentbay.SessionID, mounts ...runtime.Mount) {
	h.t.Helper()
	if err := h.rt.Mount(context.Background(), id, mounts...); err != nil {
		h.t.Fatalf("Mount in %s: %v", id, err)
	}
}

func (h *host) written(id agentbay.SessionID, name string) runtime.Written {
	h.t.Helper()
	w, err := h.rt.Written(context.Background(), id, name)
	if err != nil {
		h.t.Fatalf("Written of %s in %s: %v", name, id, err)
	}
	h.t.Cleanup(func() { w.Close() })
	return w
}

// inside is where a machine's guest finds what it shows at target.
func (h *host) inside(id agentbay.SessionID, name, target string) string {
	if h.Pretends {
		return h.written(id, name).Merged
	}
	return target
}

// real skips the test where machines show nothing.
func (h *host) real() {
	if h.Pretends {
		h.t.Skip("machines of this runtime have no file system of their own")
	}
}

// wantFile checks a file on the host.
func (h *host) wantFile(path, want string) {
	h.t.Helper()
	if b, err := os.ReadFile(path); err != nil || string(b) != want {
		h.t.Errorf("%s has %q, %v; want %q", path, b, err, want)
	}
}

func mountShowsLayers(t *testing.T, h *host) {
	h.real()
	h.start("a", asUser)
	over, under := h.layer(map[string]string{"a": "over"}), h.layer(map[string]string{"a": "under", "dir/b": "deep"})
	h.mount("a", runtime.Mount{Name: "m", Target: "/data/m", Layers: []string{over, under}})
	if got := h.must("a", "/read?path=/data/m/a") + " " + h.must("a", "/read?path=/data/m/dir/b"); got != "over deep" {
		t.Errorf("the machine reads %q, want %q", got, "over deep")
	}
}

func mountIsTheUsersAndWritable(t *testing.T, h *host) {
	h.real()
	h.start("a", asUser)
	layer := h.layer(map[string]string{"f": "x"})
	if err := os.Chmod(layer, 0o750); err != nil {
		t.Fatal(err)
	}
	h.mount("a", runtime.Mount{Name: "m", Target: "/data/deep/m", Layers: []string{layer}}, runtime.Mount{Name: "n", Target: "/data/n"})
	for path, want := range map[string]string{"/data/n": "1000:1000 755", "/data/deep/m": "1000:1000 750", "/data/deep/m/f": "1000:1000 644", "/data/deep": "0:0 755"} {
		if got := h.must("a", "/owner?path=%s", path); got != want {
			t.Errorf("%s is of %s, want %s", path, got, want)
		}
	}
	h.does("a", "/write?path=/data/deep/m/f&text=mine")
	h.does("a", "/write?path=/data/deep/m/new")
}

func changesLandInUpper(t *testing.T, h *host) {
	h.start("a", asUser)
	layer := h.layer(map[string]string{"changed": "before", "gone": "x", "kept": "x"})
	h.mount("a", runtime.Mount{Name: "m", Target: "/data/m", Layers: []string{layer}})
	at := h.inside("a", "m", "/data/m")
	h.does("a", "/write?path=%s/changed&text=after", at)
	h.does("a", "/write?path=%s/new&text=new", at)
	w := h.written("a", "m")
	h.wantFile(w.Upper+"/new", "new")
	h.wantFile(w.Merged+"/changed", "after")
	h.wantFile(layer+"/changed", "before")
	if h.Pretends {
		return
	}
	h.does("a", "/remove?path=%s/gone", at)
	if info, err := os.Lstat(w.Upper + "/gone"); err != nil || info.Mode()&fs.ModeCharDevice == 0 || info.Sys().(*syscall.Stat_t).Rdev != 0 {
		t.Errorf("in Upper, what was removed is %v, %v; want a whiteout", info, err)
	}
	if _, err := os.Lstat(w.Upper + "/kept"); err == nil {
		t.Error("Upper has what was not changed")
	}
	for path, want := range map[string]uint32{w.Upper + "/new": user.UID, w.Merged + "/new": w.Base + user.UID} {
		if info, err := os.Lstat(path); err != nil || info.Sys().(*syscall.Stat_t).Uid != want {
			t.Errorf("%s is %+v, %v; want it to be of user %d", path, info, err, want)
		}
	}
}

func directoriesOfLayersCanBeRenamed(t *testing.T, h *host) {
	h.real()
	h.start("a", asUser)
	over, under := h.layer(map[string]string{"dir/f": "over"}), h.layer(map[string]string{"dir/f": "under", "dir/sub/g": "deep"})
	h.mount("a", runtime.Mount{Name: "m", Target: "/data/m", Layers: []string{over, under}})
	h.does("a", "/rename?path=/data/m/dir/sub&to=/data/m/dir/inner")
	h.does("a", "/rename?path=/data/m/dir&to=/data/m/new")
	h.does("a", "/mkdir?path=/data/m/other")
	h.does("a", "/rename?path=/data/m/new&to=/data/m/other/new")
	h.does("a", "/write?path=/data/m/other/new/inner/h&text=added")
	check := func() {
		w := h.written("a", "m")
		for name, want := range map[string]string{"f": "over", "inner/g": "deep", "inner/h": "added"} {
			h.wantFile(filepath.Join(w.Merged, "other/new", name), want)
		}
		if list, err := os.ReadDir(w.Merged); len(list) != 1 || err != nil {
			t.Errorf("the machine has %v, %v; want only what was renamed", list, err)
		}
	}
	if got := h.must("a", "/read?path=/data/m/other/new/f") + " " + h.must("a", "/read?path=/data/m/other/new/inner/g"); got != "over deep" {
		t.Errorf("the machine reads %q, want %q", got, "over deep")
	}
	check()
	if err := h.rt.Halt(t.Context(), "a"); err != nil {
		t.Fatalf("Halt: %v", err)
	}
	check()
}

func whatTheHostWritesIsSeen(t *testing.T, h *host) {
	h.start("a", asUser)
	h.mount("a", runtime.Mount{Name: "m", Target: "/data/m", Layers: []string{h.layer(map[string]string{"f": "old"})}})
	at, w := h.inside("a", "m", "/data/m"), h.written("a", "m")
	h.must("a", "/read?path=%s/f", at) // so that it might be remembered
	h.must("a", "/read?path=%s/g", at)
	for _, name := range []string{"f", "g"} {
		path := filepath.Join(w.Merged, name)
		if err := errors.Join(os.WriteFile(path, []byte("new"), 0o600), os.Lchown(path, int(w.Base+user.UID), int(w.Base+user.GID))); err != nil {
			t.Fatal(err)
		}
		if got := h.must("a", "/read?path=%s/%s", at, name); got != "new" {
			t.Errorf("the machine reads %q in %s, want %q", got, name, "new")
		}
	}
}

func whatWasAtTheTargetStays(t *testing.T, h *host) {
	h.real()
	h.start("a", asUser)
	h.does("a", "/mkdir?path=/tmp/box/dir/empty")
	h.does("a", "/write?path=/tmp/box/dir/f&text=was")
	h.does("a", "/write?path=/tmp/box/both&text=was")
	h.does("a", "/link?path=/tmp/box/link&to=/etc/passwd")
	h.mount("a", runtime.Mount{Name: "m", Target: "/tmp/box", Layers: []string{h.layer(map[string]string{"both": "layer", "dir/g": "layer"})}})
	for path, want := range map[string]string{"dir/f": "was", "dir/g": "layer", "both": "layer"} {
		if got := h.must("a", "/read?path=/tmp/box/%s", path); got != want {
			t.Errorf("%s reads %q, want %q", path, got, want)
		}
	}
	for path, want := range map[string]string{"dir/f": "1000:1000 644", "dir/empty": "1000:1000 755", "link": "1000:1000 777"} {
		if got := h.must("a", "/owner?path=/tmp/box/%s", path); got != want {
			t.Errorf("%s is of %s, want %s", path, got, want)
		}
	}
	w := h.written("a", "m")
	h.wantFile(w.Upper+"/dir/f", "was")
	if to, err := os.Readlink(w.Upper + "/link"); to != "/etc/passwd" {
		t.Errorf("the link is to %q, %v", to, err)
	}
}

// withSystem adds a layer of files that are root's to what boots a machine.
func (h *host) withSystem(make func(dir string) error) func(*runtime.Spec) {
	h.t.Helper()
	dir, err := os.MkdirTemp("", "system")
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { os.RemoveAll(dir) })
	if err := errors.Join(os.Chmod(dir, 0o755), make(dir)); err != nil {
		h.t.Fatal(err)
	}
	return func(s *runtime.Spec) { s.Layers = append([]string{dir}, s.Layers...) }
}

func linksOfTheSystemAreFollowed(t *testing.T, h *host) {
	h.real()
	h.start("a", asUser, h.withSystem(func(dir string) error {
		return errors.Join(os.MkdirAll(dir+"/usr/real", 0o755), os.Symlink("usr/real", dir+"/link"))
	}))
	h.mount("a", runtime.Mount{Name: "m", Target: "/link", Layers: []string{h.layer(map[string]string{"f": "x"})}})
	if got := h.must("a", "/read?path=/usr/real/f"); got != "x" {
		t.Errorf("where the target leads, the machine reads %q, want %q", got, "x")
	}
}

// A user that makes a link of a target gets nothing by it.
func linksOfTheUserAreRefused(t *testing.T, h *host) {
	h.real()
	h.start("a", asUser, h.withSystem(func(dir string) error {
		return errors.Join(os.Mkdir(dir+"/etc", 0o755), os.WriteFile(dir+"/etc/shadow", []byte("secret"), 0o600))
	}))
	h.does("a", "/mkdir?path=/tmp/real")
	for name, to := range map[string]string{"etc": "/etc", "own": "/tmp/real", "nothing": "/etc/new"} {
		h.does("a", "/link?path=/tmp/%s&to=%s", name, to)
		for _, target := range []string{"/tmp/" + name, "/tmp/" + name + "/below"} {
			err := h.rt.Mount(t.Context(), "a", runtime.Mount{Name: "m", Target: target})
			h.wantCode("Mount at "+target, err, agentbay.Invalid)
			if err != nil && !strings.Contains(err.Error(), "symbolic link") {
				t.Errorf("Mount at %s: %v, want it to name the link", target, err)
			}
		}
	}
	if got := h.must("a", "/owner?path=/etc"); got != "0:0 755" {
		t.Errorf("/etc is of %s, want 0:0 755", got)
	}
	if got := h.must("a", "/owner?path=/etc/new"); !strings.Contains(got, "no such file") {
		t.Errorf("/etc/new was made: %s", got)
	}
}

// A mount over what is the system's shows the user no more of it than before.
func whatTheUserMayNotReadIsNotCopied(t *testing.T, h *host) {
	h.real()
	h.start("a", asUser, h.withSystem(func(dir string) error {
		return errors.Join(
			os.MkdirAll(dir+"/etc/locked", 0o755),
			os.WriteFile(dir+"/etc/passwd", []byte("open"), 0o644),
			os.WriteFile(dir+"/etc/shadow", []byte("secret"), 0o600),
			os.WriteFile(dir+"/etc/locked/f", []byte("secret"), 0o644),
			os.Chmod(dir+"/etc/locked", 0o700),
		)
	}))
	h.mount("a", runtime.Mount{Name: "m", Target: "/etc"})
	if got := h.must("a", "/read?path=/etc/passwd"); got != "open" {
		t.Errorf("what everybody may read reads %q", got)
	}
	w := h.written("a", "m")
	for _, name := range []string{"shadow", "locked"} {
		if got := h.must("a", "/owner?path=/etc/%s", name); !strings.Contains(got, "no such file") {
			t.Errorf("the machine sees %s of %s", name, got)
		}
		if _, err := os.Lstat(filepath.Join(w.Merged, name)); err == nil {
			t.Errorf("%s is in what the machine wrote", name)
		}
	}
}

func badTargetIsInvalid(t *testing.T, h *host) {
	h.start("a", asUser)
	targets := []string{"", "data", "/", "//.", "/data/..", "/proc", "/proc/1/x", "/sys/x", "/dev", "/dev/shm/x", "/.agentbay/mounts", "/data/a\x00b"}
	if !h.Pretends {
		h.does("a", "/write?path=/tmp/file")
		for name, to := range map[string]string{"root": "/", "proc": "/proc", "shm": "/dev/shm", "loop": "/tmp/loop", "nowhere": "/tmp/nothing/there", "own": "/.agentbay"} {
			h.does("a", "/link?path=/tmp/%s&to=%s", name, to)
			targets = append(targets, "/tmp/"+name)
		}
		targets = append(targets, "/tmp/file", "/tmp/file/below", "/tmp/"+strings.Repeat("x", 300))
	}
	for _, target := range targets {
		err := h.rt.Mount(t.Context(), "a", runtime.Mount{Name: "m", Target: target})
		h.wantCode("Mount at "+target, err, agentbay.Invalid)
	}
	for _, name := range []string{"", "..", "a/b", "a.b", "a\x00", strings.Repeat("a", 200)} {
		err := h.rt.Mount(t.Context(), "a", runtime.Mount{Name: name, Target: "/data/m"})
		h.wantCode("Mount of "+name, err, agentbay.Invalid)
	}
	h.must("a", "/info") // and it is none the worse
}

func mountsAreShownInOrder(t *testing.T, h *host) {
	h.real()
	h.start("a", asUser)
	h.mount("a",
		runtime.Mount{Name: "outer", Target: "/data/m", Layers: []string{h.layer(map[string]string{"f": "outer"})}},
		runtime.Mount{Name: "inner", Target: "/data/m/new/inner", Layers: []string{h.layer(map[string]string{"f": "inner"})}},
	)
	if got := h.must("a", "/read?path=/data/m/f") + " " + h.must("a", "/read?path=/data/m/new/inner/f"); got != "outer inner" {
		t.Errorf("the machine reads %q, want %q", got, "outer inner")
	}
	h.does("a", "/write?path=/data/m/new/inner/g&text=g")
	h.wantFile(h.written("a", "inner").Upper+"/g", "g")
}

func mountsAreShownAllOrNone(t *testing.T, h *host) {
	h.start("a", asUser)
	good := runtime.Mount{Name: "good", Target: "/data/good", Layers: []string{h.layer(map[string]string{"f": "x"})}}
	bad := runtime.Mount{Name: "bad", Target: "/proc/x"}
	if !h.Pretends {
		h.does("a", "/write?path=/tmp/file")
		bad.Target = "/tmp/file"
	}
	h.wantCode("Mount of a good and a bad one", h.rt.Mount(t.Context(), "a", good, bad), agentbay.Invalid)
	for _, name := range []string{"good", "bad"} {
		_, err := h.rt.Written(t.Context(), "a", name)
		h.wantCode("Written of "+name, err, agentbay.NotFound)
	}
	if !h.Pretends && h.must("a", "/read?path=/data/good/f") == "x" {
		t.Error("the good one is shown all the same")
	}
	h.mount("a", good)
	h.does("a", "/write?path=%s/g", h.inside("a", "good", "/data/good"))
}

func secondMountOfANameIsConflict(t *testing.T, h *host) {
	h.start("a", asUser)
	h.mount("a", runtime.Mount{Name: "m", Target: "/data/m"})
	h.does("a", "/write?path=%s/f&text=x", h.inside("a", "m", "/data/m"))
	h.wantCode("second Mount", h.rt.Mount(t.Context(), "a", runtime.Mount{Name: "m", Target: "/data/m"}), agentbay.Conflict)
	h.wantFile(h.written("a", "m").Merged+"/f", "x")
}

func mountInNobodyIsNotFound(t *testing.T, h *host) {
	m := runtime.Mount{Name: "m", Target: "/data/m"}
	h.wantCode("Mount in nobody", h.rt.Mount(t.Context(), "never-there", m), agentbay.NotFound)
	h.start("a", asUser)
	if err := h.Kill(h.rt, "a"); err != nil {
		t.Fatalf("Kill: %v", err)
	}
	h.wait("a")
	h.wantCode("Mount in an ended machine", h.rt.Mount(t.Context(), "a", m), agentbay.NotFound)
	_, err := h.rt.Written(t.Context(), "a", "m")
	h.wantCode("Written of what was never mounted", err, agentbay.NotFound)
}

// withMount starts a machine that has written something to a mount.
func (h *host) withMount(id agentbay.SessionID) {
	h.t.Helper()
	h.start(id, asUser)
	h.mount(id, runtime.Mount{Name: "m", Target: "/data/m", Layers: []string{h.layer(map[string]string{"f": "layer"})}})
	h.does(id, "/write?path=%s/g&text=written", h.inside(id, "m", "/data/m"))
}

// wantWritten checks what withMount has left.
func (h *host) wantWritten(id agentbay.SessionID) {
	h.t.Helper()
	w := h.written(id, "m")
	h.wantFile(w.Upper+"/g", "written")
	h.wantFile(w.Merged+"/g", "written")
	if !h.Pretends {
		h.wantFile(w.Merged+"/f", "layer")
	}
}

func writtenOutlivesTheMachine(t *testing.T, h *host) {
	h.withMount("a")
	if err := h.Kill(h.rt, "a"); err != nil {
		t.Fatalf("Kill: %v", err)
	}
	h.wait("a")
	h.wantWritten("a")
}

func writtenOutlivesTheServer(t *testing.T, h *host) {
	h.withMount("a")
	h.withMount("b")
	if err := h.Kill(h.rt, "b"); err != nil {
		t.Fatalf("Kill: %v", err)
	}
	h.wait("b")
	h.reopen()
	h.wantWritten("b")
	h.wantWritten("a")
	at := h.inside("a", "m", "/data/m")
	h.does("a", "/write?path=%s/g&text=more", at)
	h.wantFile(h.written("a", "m").Upper+"/g", "more")
	h.mount("a", runtime.Mount{Name: "second", Target: "/data/second"})
	h.does("a", "/write?path=%s/f&text=x", h.inside("a", "second", "/data/second"))
	h.wantFile(h.written("a", "second").Upper+"/f", "x")
}

func stoppedMachineHasWrittenNothing(t *testing.T, h *host) {
	h.withMount("a")
	w := h.written("a", "m")
	h.stop("a")
	_, err := h.rt.Written(t.Context(), "a", "m")
	h.wantCode("Written of a stopped machine", err, agentbay.NotFound)
	if _, err := os.Lstat(w.Upper); err == nil {
		t.Error("what was written is still there")
	}
	h.start("a", asUser)
	_, err = h.rt.Written(t.Context(), "a", "m")
	h.wantCode("Written of the next machine of that name", err, agentbay.NotFound)
}

func stopDoesNotWaitForReaders(t *testing.T, h *host) {
	h.withMount("a")
	w := h.written("a", "m")
	f, err := os.Open(w.Merged + "/g")
	if err != nil {
		t.Fatal(err)
	}
	h.stop("a")
	f.Close()
}

func haltKeepsWhatWasWritten(t *testing.T, h *host) {
	h.withMount("a")
	for range 2 {
		if err := h.rt.Halt(t.Context(), "a"); err != nil {
			t.Fatalf("Halt: %v", err)
		}
	}
	if got := h.wait("a"); got != "stopped" {
		t.Errorf("Wait for a halted machine: %q, want %q", got, "stopped")
	}
	_, err := h.rt.Dial(t.Context(), "a")
	h.wantCode("Dial of a halted machine", err, agentbay.NotFound)
	h.expect("a!")
	h.wantWritten("a")
	if err := h.rt.Halt(t.Context(), "never-there"); err != nil {
		t.Errorf("Halt of nobody: %v", err)
	}
}

func haltedMachineIsStillHaltedAfterReopen(t *testing.T, h *host) {
	h.withMount("a")
	if err := h.rt.Halt(t.Context(), "a"); err != nil {
		t.Fatalf("Halt: %v", err)
	}
	h.reopen()
	h.expect("a!")
	if err := h.rt.Halt(t.Context(), "a"); err != nil {
		t.Fatalf("Halt again: %v", err)
	}
	h.wantWritten("a")
}

func othersDoNotSeeAMount(t *testing.T, h *host) {
	h.real()
	h.start("before", asUser)
	h.withMount("a")
	h.start("after", asUser)
	for _, id := range []agentbay.SessionID{"before", "after"} {
		for _, path := range []string{"/data/m/f", h.written("a", "m").Merged + "/f", "/.agentbay/mounts/m/f"} {
			if got := h.must(id, "/read?path=%s", path); !strings.Contains(got, "no such file") && !strings.Contains(got, "permission denied") {
				t.Errorf("machine %s reads %q at %s", id, got, path)
			}
		}
	}
}

func linksInAMountStayInside(t *testing.T, h *host) {
	h.real()
	h.withMount("a")
	secret := h.layer(map[string]string{"key": "of the host"})
	h.does("a", "/link?path=/data/m/out&to=%s", secret)
	h.does("a", "/link?path=/data/m/up&to=../../../../../../../..%s", secret)
	for _, path := range []string{"/data/m/out/key", "/data/m/up/key"} {
		if got := h.must("a", "/read?path=%s", path); !strings.Contains(got, "no such file") {
			t.Errorf("the machine reads %q at %s", got, path)
		}
	}
}

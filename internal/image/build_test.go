package image

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/agentbay/agentbay"
	"golang.org/x/sys/unix"
)

// script is a file of a recipe that can be run.
func script(text string) *fstest.MapFile { return &fstest.MapFile{Data: []byte("#!/bin/sh\n" + text)} }

func text(s string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(s)} }

// tiny is recipes of two images, one on top of the other, that need no network:
// below has a shell and a few files, above changes them.
func tiny(t *testing.T) fstest.MapFS {
	t.Helper()
	all := fstest.MapFS{
		"below/image.json":     text(`{"name": "below", "aliases": ["under"], "files": {"root": "/"}, "config": {"dir": "/srv", "families": ["shell"]}}`),
		"below/root/etc/kept":  text("from below"),
		"below/root/etc/gone":  text("from below"),
		"above/image.json":     text(`{"name": "above", "parent": "below", "files": {"files": "/opt/above"}, "setup": "setup.sh"}`),
		"above/files/run":      script("echo hello\n"),
		"above/files/data.txt": text("data"),
		"above/setup.sh":       script("rm /etc/gone; echo made > /etc/made; set > /env; echo done with it\n"),
	}
	addPrograms(t, all, "below/root", "/bin/sh", "/bin/rm", "/bin/sleep")
	return all
}

// addPrograms puts programs of the host, and the libraries they need, into a
// recipe.
func addPrograms(t *testing.T, all fstest.MapFS, dir string, programs ...string) {
	t.Helper()
	for _, program := range programs {
		libraries, err := exec.Command("ldd", program).Output()
		if err != nil {
			t.Fatalf("ldd %s: %v", program, err)
		}
		for _, word := range append(strings.Fields(string(libraries)), program) {
			if !filepath.IsAbs(word) {
				continue
			}
			content, err := os.ReadFile(word)
			if err != nil {
				t.Fatal(err)
			}
			all[dir+word] = &fstest.MapFile{Data: content, Mode: 0o755}
		}
	}
}

func openTiny(t *testing.T, all fs.FS) *Store {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("building images needs root")
	}
	s, err := OpenRecipes(t.TempDir(), all)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// reopen is the store as another process with newer recipes finds it.
func reopen(t *testing.T, s *Store, all fs.FS) *Store {
	t.Helper()
	again, err := OpenRecipes(s.Dir(), all)
	if err != nil {
		t.Fatal(err)
	}
	return again
}

// build builds an image and says which steps were really made.
func build(t *testing.T, s *Store, name string) (Image, []string) {
	t.Helper()
	var made []string
	b := &Builder{Store: s}
	img, err := b.Build(t.Context(), name, func(p Progress) {
		if p.Done && !p.Cached {
			made = append(made, p.Step)
		}
	})
	if err != nil {
		t.Fatalf("build %s: %v", name, err)
	}
	return img, made
}

// entries is what is in a directory of the store.
func entries(t *testing.T, s *Store, dir string) []string {
	t.Helper()
	list, err := os.ReadDir(s.path(dir))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range list {
		names = append(names, e.Name())
	}
	return names
}

func mustRead(t *testing.T, elem ...string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(elem...))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestABuiltImageHasItsLayersTopmostFirst(t *testing.T) {
	s := openTiny(t, tiny(t))
	img, made := build(t, s, "above")
	if len(img.Layers) != 2 || len(made) != 2 {
		t.Fatalf("layers %v of steps %q, want two", img.Layers, made)
	}
	above, below := img.Layers[0], img.Layers[1]
	if got := mustRead(t, below, "etc/gone"); got != "from below" {
		t.Errorf("lowest layer has %q", got)
	}
	if got := mustRead(t, above, "etc/made"); got != "made\n" {
		t.Errorf("setup made %q", got)
	}
	info, err := os.Stat(filepath.Join(above, "opt/above/run"))
	if err != nil || info.Mode() != 0o755 {
		t.Errorf("script: %v %v, want mode 0755", info.Mode(), err)
	}
	var st unix.Stat_t
	if err := unix.Lstat(filepath.Join(above, "etc/gone"), &st); err != nil || st.Mode&unix.S_IFMT != unix.S_IFCHR || st.Rdev != 0 {
		t.Errorf("removed file is %o %v, want an overlay whiteout", st.Mode, err)
	}
	if img.Size == 0 || img.Built.IsZero() {
		t.Errorf("size %d, built %v", img.Size, img.Built)
	}
	if left := entries(t, s, "tmp"); len(left) != 0 {
		t.Errorf("left in tmp: %v", left)
	}
}

func TestNothingOfTheHostsEnvironmentGetsIntoAnImage(t *testing.T) {
	t.Setenv("http_proxy", "http://user:password@127.0.0.1:1")
	s := openTiny(t, tiny(t))
	img, _ := build(t, s, "above")
	if env := mustRead(t, img.Layers[0], "env"); strings.Contains(env, "password") {
		t.Errorf("setup saw the host's environment:\n%s", env)
	}
	for _, dir := range []string{"dev", "proc", "tmp"} {
		list, err := os.ReadDir(filepath.Join(img.Layers[0], dir))
		if err == nil && len(list) > 0 {
			t.Errorf("the layer has %s/%s", dir, list[0].Name())
		}
	}
}

func TestASecondBuildMakesNothing(t *testing.T) {
	s := openTiny(t, tiny(t))
	first, _ := build(t, s, "above")
	again, made := build(t, reopen(t, s, tiny(t)), "above")
	if len(made) != 0 || again.Digest != first.Digest || !again.Built.Equal(first.Built) {
		t.Errorf("made %q, image %s of %v; want nothing, %s of %v", made, again.Digest, again.Built, first.Digest, first.Built)
	}
}

func TestLayersAreShared(t *testing.T) {
	s := openTiny(t, tiny(t))
	above, _ := build(t, s, "above")
	below, made := build(t, s, "below")
	if len(made) != 0 || below.Layers[0] != above.Layers[1] {
		t.Errorf("made %q; layers %v and %v", made, below.Layers, above.Layers)
	}
}

func TestAFailedStepIsNamedAndLeavesNothing(t *testing.T) {
	bad := tiny(t)
	bad["above/setup.sh"] = script("echo first things; echo >&2 no such wheel; exit 3\n")
	s := openTiny(t, bad)
	_, err := (&Builder{Store: s}).Build(t.Context(), "above", nil)
	if !errors.Is(err, agentbay.Unavailable) {
		t.Fatalf("Build: %v, want Unavailable", err)
	}
	for _, want := range []string{"above", "setup.sh", "no such wheel", "build.log"} {
		if !strings.Contains(agentbay.MessageOf(err), want) {
			t.Errorf("message lacks %q: %s", want, agentbay.MessageOf(err))
		}
	}
	if left := entries(t, s, "tmp"); len(left) != 0 {
		t.Errorf("left in tmp: %v", left)
	}
	if _, err := s.Get("above"); !errors.Is(err, agentbay.Unavailable) {
		t.Errorf("Get after a failed build: %v, want Unavailable", err)
	}
}

func TestABuildGoesOnWhereItFailed(t *testing.T) {
	bad := tiny(t)
	bad["above/setup.sh"] = script("exit 1\n")
	s := openTiny(t, bad)
	if _, err := (&Builder{Store: s}).Build(t.Context(), "above", nil); err == nil {
		t.Fatal("a failing setup built an image")
	}
	if err := s.Collect(t.Context()); err != nil {
		t.Fatal(err)
	}
	_, made := build(t, reopen(t, s, tiny(t)), "above")
	if len(made) != 1 || !strings.HasPrefix(made[0], "above") {
		t.Errorf("made %q, want only the step that failed", made)
	}
}

func TestACancelledBuildLeavesNothing(t *testing.T) {
	slow := tiny(t)
	slow["above/setup.sh"] = script("echo here; sleep 1000\n")
	s := openTiny(t, slow)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	_, err := (&Builder{Store: s}).Build(ctx, "above", func(p Progress) {
		if p.Detail == "here" {
			cancel()
		}
	})
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("Build: %v, want context.Canceled", err)
	}
	if left := entries(t, s, "tmp"); len(left) != 0 {
		t.Errorf("left in tmp: %v", left)
	}
}

// TestKilledBuild is no test: it is the process that the next ones kill.
func TestKilledBuild(t *testing.T) {
	dir := os.Getenv("IMAGE_TEST_KILLED")
	if dir == "" {
		t.Skip("it is for other tests to start")
	}
	all := tiny(t)
	all["above/setup.sh"] = script(os.Getenv("IMAGE_TEST_SETUP"))
	s, err := OpenRecipes(dir, all)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := (&Builder{Store: s}).Build(t.Context(), "above", func(p Progress) { fmt.Println("at:", p.Step, p.Detail) }); err != nil {
		t.Fatal(err)
	}
}

// killBuild builds in another process, and kills that when it has reported
// something for the nth time, or a step's detail is last.
func killBuild(t *testing.T, s *Store, setup string, nth int, last string) {
	t.Helper()
	child := exec.Command(os.Args[0], "-test.run=^TestKilledBuild$", "-test.v")
	child.Env = append(os.Environ(), "IMAGE_TEST_KILLED="+s.Dir(), "IMAGE_TEST_SETUP="+setup)
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	reports := 0
	eachLine(out, func(line string) {
		if strings.HasPrefix(line, "at:") {
			reports++
		}
		if reports == nth || strings.HasSuffix(line, last) {
			child.Process.Kill()
		}
	})
	child.Wait() // it was killed, or had nothing left to do
}

func TestAKilledStepIsMadeAgainFromItsBeginning(t *testing.T) {
	s := openTiny(t, tiny(t))
	killBuild(t, s, "echo half > /etc/made; echo reached; sleep 1000\n", -1, " reached")
	if _, err := s.Get("above"); !errors.Is(err, agentbay.Unavailable) {
		t.Errorf("Get after a killed build: %v, want Unavailable", err)
	}
	// Every process of the killed build holds its lock, so the next build can
	// only begin when the last of them is gone.
	img, made := build(t, s, "above")
	if len(made) != 1 || mustRead(t, img.Layers[0], "etc/made") != "made\n" {
		t.Errorf("made %q; want the killed step, from its beginning", made)
	}
	if left := entries(t, s, "tmp"); len(left) != 0 {
		t.Errorf("left in tmp: %v", left)
	}
}

func TestABuildMayBeKilledAnywhere(t *testing.T) {
	setup := string(tiny(t)["above/setup.sh"].Data)
	for nth := 1; nth <= 5; nth++ {
		s := openTiny(t, tiny(t))
		killBuild(t, s, setup, nth, "never said")
		if img, err := s.Get("above"); err == nil {
			mustRead(t, img.Layers[0], "etc/made")
		} else if !errors.Is(err, agentbay.Unavailable) {
			t.Errorf("killed at report %d: Get: %v", nth, err)
		}
		img, _ := build(t, s, "above")
		if mustRead(t, img.Layers[0], "etc/made") != "made\n" || len(img.Layers) != 2 {
			t.Errorf("killed at report %d: the next build made %v", nth, img.Layers)
		}
		for dir, want := range map[string]int{"tmp": 0, "plans": 0} {
			if left := entries(t, s, dir); len(left) != want {
				t.Errorf("killed at report %d: left in %s: %v", nth, dir, left)
			}
		}
	}
}

func TestTwoBuildsDoNotCollide(t *testing.T) {
	all := tiny(t)
	one := openTiny(t, all)
	other := reopen(t, one, all)
	steps := make(chan string, 100)
	digests := make(chan string, 2)
	for _, s := range []*Store{one, other} {
		go func() {
			img, err := (&Builder{Store: s}).Build(t.Context(), "above", func(p Progress) {
				if p.Done && !p.Cached {
					steps <- p.Step
				}
			})
			if err != nil {
				t.Errorf("Build: %v", err)
			}
			digests <- img.Digest
		}()
	}
	if a, b := <-digests, <-digests; a != b {
		t.Errorf("images %s and %s, want one", a, b)
	}
	if len(steps) != 2 {
		t.Errorf("%d steps made, want each once", len(steps))
	}
}

func TestABuildThatWouldFillTheDiskIsRefused(t *testing.T) {
	huge := tiny(t)
	huge["below/image.json"] = text(`{"name": "below", "files": {"root": "/"}, "megabytes": 1000000000}`)
	s := openTiny(t, huge)
	_, err := (&Builder{Store: s}).Build(t.Context(), "below", nil)
	if !errors.Is(err, agentbay.Exhausted) || !strings.Contains(err.Error(), "MB") {
		t.Errorf("Build: %v, want Exhausted and how much is needed", err)
	}
}

func TestProgressNeverGoesBack(t *testing.T) {
	s := openTiny(t, tiny(t))
	last := Progress{}
	_, err := (&Builder{Store: s}).Build(t.Context(), "above", func(p Progress) {
		if p.Number < last.Number || p.Number == last.Number && p.Percent < last.Percent {
			t.Errorf("progress went from %+v to %+v", last, p)
		}
		last = p
	})
	if err != nil {
		t.Fatal(err)
	}
	if last.Number != 2 || last.Steps != 2 || !last.Done || last.Percent != 100 || last.Elapsed <= 0 || last.Elapsed > time.Hour {
		t.Errorf("last report %+v", last)
	}
}

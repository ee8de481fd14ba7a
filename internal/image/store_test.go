package image

import (
	"errors"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/agentbay/agentbay"
	"github.com/agentbay/agentbay/images"
)

func official(t testing.TB) *Store {
	t.Helper()
	s, err := Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestGetSaysWhyThereIsNoImage(t *testing.T) {
	s := official(t)
	for _, tc := range []struct {
		name string
		code agentbay.Code
		says string
	}{
		{"code_latest", agentbay.Unavailable, "agentbay image build code_latest"},
		{"code-space-debian-12", agentbay.Unavailable, "agentbay image build code_latest"},
		{"windows_latest", agentbay.Invalid, "no authorized app"},
		{"mobile_latest", agentbay.Invalid, "no authorized app"},
		{"browser_latest", agentbay.Unavailable, "agentbay image build browser_latest"},
		{"base", agentbay.Invalid, "this bay has browser_latest, code_latest, linux_latest"},
		{"misspelled", agentbay.Invalid, "this bay has browser_latest, code_latest, linux_latest"},
		{"", agentbay.Invalid, "not known"},
		{"..", agentbay.Invalid, "not known"},
		{"../refs/x", agentbay.Invalid, "not known"},
		{"a\x00b", agentbay.Invalid, "not known"},
		{"sha256:" + strings.Repeat("0", 64), agentbay.Invalid, "not in this bay's store"},
		{"sha256:../../names/x", agentbay.Invalid, "not in this bay's store"},
		{strings.Repeat("x", 1<<20), agentbay.Invalid, "not known"},
	} {
		_, err := s.Get(tc.name)
		if !errors.Is(err, tc.code) || !strings.Contains(agentbay.MessageOf(err), tc.says) {
			t.Errorf("Get(%.40q): %.300v; want %s with %q", tc.name, err, tc.code, tc.says)
		}
		if len(agentbay.MessageOf(err)) > 1000 {
			t.Errorf("Get(%.40q): a message of %d bytes", tc.name, len(agentbay.MessageOf(err)))
		}
	}
}

func FuzzGet(f *testing.F) {
	for _, name := range append([]string{"code_latest", "../names", "sha256:", ".", "a/b", "\x00"}, images.Elsewhere...) {
		f.Add(name)
	}
	s := official(f)
	f.Fuzz(func(t *testing.T, name string) {
		_, err := s.Get(name)
		if !errors.Is(err, agentbay.Invalid) && !errors.Is(err, agentbay.Unavailable) {
			t.Errorf("Get(%q): %v, want Invalid or Unavailable", name, err)
		}
	})
}

func TestAnImageIsFoundByNameAliasAndDigest(t *testing.T) {
	s := openTiny(t, tiny(t))
	built, _ := build(t, s, "under")
	for _, name := range []string{"below", "under", built.Digest} {
		img, err := reopen(t, s, tiny(t)).Get(name)
		if err != nil || img.Digest != built.Digest || !slices.Equal(img.Layers, built.Layers) || img.Config.Dir != "/srv" {
			t.Errorf("Get(%q): %+v, %v; want %+v", name, img, err, built)
		}
		if name != built.Digest && img.Name != "below" {
			t.Errorf("Get(%q) is named %q", name, img.Name)
		}
	}
}

func TestAChangeMakesOnlyWhatDependsOnIt(t *testing.T) {
	for _, tc := range []struct {
		what, file, text string
		made             []string
	}{
		{"a file above", "above/files/data.txt", "other", []string{"above"}},
		{"the script above", "above/setup.sh", "#!/bin/sh\n: other\n", []string{"above"}},
		{"a file below", "below/root/etc/kept", "other", []string{"below", "above"}},
		{"the configuration", "above/image.json", `{"name": "above", "parent": "below", "files": {"files": "/opt/above"}, "setup": "setup.sh", "config": {"dir": "/opt"}}`, nil},
	} {
		all := tiny(t)
		s := openTiny(t, all)
		before, _ := build(t, s, "above")
		all[tc.file] = text(tc.text)
		after, made := build(t, reopen(t, s, all), "above")
		for i := range made {
			made[i], _, _ = strings.Cut(made[i], ":")
		}
		if !slices.Equal(made, tc.made) {
			t.Errorf("%s: made %q, want %q", tc.what, made, tc.made)
		}
		if before.Digest == after.Digest {
			t.Errorf("%s: the digest is still %s", tc.what, after.Digest)
		}
	}
}

func TestListTellsWhatIsReadyAndCurrent(t *testing.T) {
	all := tiny(t)
	s := openTiny(t, all)
	check := func(when string, s *Store, ready, current bool) {
		t.Helper()
		list, err := s.List()
		if err != nil || len(list) != 2 || list[0].Name != "above" || list[1].Name != "below" {
			t.Fatalf("List: %+v, %v", list, err)
		}
		if list[0].Ready != ready || list[0].Current != current {
			t.Errorf("%s: ready %v, current %v; want %v, %v", when, list[0].Ready, list[0].Current, ready, current)
		}
	}
	check("before the build", s, false, false)
	build(t, s, "above")
	check("after the build", s, true, true)
	all["above/files/data.txt"] = text("other")
	check("with a newer recipe", reopen(t, s, all), true, false)
}

func TestASessionKeepsItsImageWhenTheNameMovesOn(t *testing.T) {
	all := tiny(t)
	s := openTiny(t, all)
	old, _ := build(t, s, "above")
	if err := s.Acquire(old.Digest, "session-1"); err != nil {
		t.Fatal(err)
	}
	all["above/files/data.txt"] = text("other")
	newer := reopen(t, s, all)
	build(t, newer, "above")
	if _, err := s.Get(old.Digest); err != nil {
		t.Errorf("the session's image is gone: %v", err)
	}
	if owners, err := newer.Owners(); err != nil || owners["session-1"] != old.Digest {
		t.Errorf("Owners in another process: %v, %v", owners, err)
	}
	if err := newer.Release("session-1"); err != nil {
		t.Fatal(err)
	}
	if err := newer.Collect(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Get(old.Digest); !errors.Is(err, agentbay.Invalid) {
		t.Errorf("Get of what nobody needs: %v, want Invalid", err)
	}
	if layers := entries(t, s, "layers"); len(layers) != 2 {
		t.Errorf("%d layers, want the two of the newer image", len(layers))
	}
}

func TestOwnersEndWithTheirDirectory(t *testing.T) {
	s := openTiny(t, tiny(t))
	img, _ := build(t, s, "above")
	bay := t.TempDir()
	s.HoldFor(bay)
	for range 2 {
		if err := s.Acquire(img.Digest, "session-1"); err != nil {
			t.Fatalf("Acquire: %v", err)
		}
	}
	for _, tc := range []struct {
		when   string
		owners int
	}{{"with its directory", 1}, {"without it", 0}} {
		if err := s.Collect(t.Context()); err != nil {
			t.Fatal(err)
		}
		owners, err := s.Owners()
		if err != nil || len(owners) != tc.owners || tc.owners == 1 && owners["session-1"] != img.Digest {
			t.Errorf("Owners %s: %v, %v", tc.when, owners, err)
		}
		os.Remove(bay)
	}
}

func TestRemoveFreesWhatNobodyElseNeeds(t *testing.T) {
	s := openTiny(t, tiny(t))
	build(t, s, "above")
	below, _ := build(t, s, "below")
	if err := s.Remove(t.Context(), "above"); err != nil {
		t.Fatal(err)
	}
	if layers := entries(t, s, "layers"); len(layers) != 1 {
		t.Errorf("%d layers, want that of the other image", len(layers))
	}
	if err := s.Acquire(below.Digest, "session-1"); err != nil {
		t.Fatal(err)
	}
	if err := s.Remove(t.Context(), "below"); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(below.Layers[0]); err != nil {
		t.Errorf("layer of a running session: %v", err)
	}
	if err := s.Remove(t.Context(), "below"); !errors.Is(err, agentbay.Unavailable) {
		t.Errorf("Remove again: %v, want Unavailable", err)
	}
}

func TestAnOwnerHasOneImage(t *testing.T) {
	s := openTiny(t, tiny(t))
	above, _ := build(t, s, "above")
	below, _ := build(t, s, "below")
	for range 2 {
		if err := s.Acquire(above.Digest, "session-1"); err != nil {
			t.Fatalf("Acquire: %v", err)
		}
	}
	if err := s.Acquire(below.Digest, "session-1"); !errors.Is(err, agentbay.Conflict) {
		t.Errorf("Acquire of another image: %v, want Conflict", err)
	}
	if err := s.Acquire(below.Digest, "../x"); !errors.Is(err, agentbay.Invalid) {
		t.Errorf("Acquire for ../x: %v, want Invalid", err)
	}
	for range 2 {
		if err := s.Release("session-1"); err != nil {
			t.Fatalf("Release: %v", err)
		}
	}
	if owners, err := s.Owners(); err != nil || len(owners) != 0 {
		t.Errorf("Owners after Release: %v, %v", owners, err)
	}
}

func TestCollectLeavesARunningBuildAlone(t *testing.T) {
	s := openTiny(t, tiny(t))
	other := reopen(t, s, tiny(t))
	collected := false
	_, err := (&Builder{Store: s}).Build(t.Context(), "above", func(p Progress) {
		if p.Detail != "done with it" {
			return
		}
		collected = true
		if err := other.Collect(t.Context()); err != nil {
			t.Errorf("Collect during a build: %v", err)
		}
	})
	if err != nil || !collected {
		t.Errorf("Build: %v; collected meanwhile: %v", err, collected)
	}
}

func TestRemoveFreesWhatAFailedBuildKept(t *testing.T) {
	bad := tiny(t)
	bad["above/setup.sh"] = script("exit 1\n")
	s := openTiny(t, bad)
	if _, err := (&Builder{Store: s}).Build(t.Context(), "above", nil); err == nil {
		t.Fatal("a failing setup built an image")
	}
	if err := s.Remove(t.Context(), "above"); err != nil {
		t.Errorf("Remove: %v", err)
	}
	if layers := entries(t, s, "layers"); len(layers) != 0 {
		t.Errorf("left: %v", layers)
	}
}

func BenchmarkGet(b *testing.B) {
	dir := os.Getenv("AGENTBAY_IMAGES")
	if dir == "" {
		b.Skip("AGENTBAY_IMAGES names no store with images in it")
	}
	s, err := Open(dir)
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := s.Get("linux_latest"); err != nil {
			b.Fatal(err)
		}
	}
}

package image

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"golang.org/x/sys/unix"
)

// setuid is the programs of the images that run as another user, which are
// Debian's own. More of them is a decision, not an accident.
var setuid = []string{
	"usr/bin/chfn", "usr/bin/chsh", "usr/bin/gpasswd", "usr/bin/mount", "usr/bin/newgrp",
	"usr/bin/passwd", "usr/bin/su", "usr/bin/umount", "usr/lib/openssh/ssh-keysign",
}

// TestTheBuiltImages looks at every file of the official images in the store
// that AGENTBAY_TEST_IMAGES names.
func TestTheBuiltImages(t *testing.T) {
	dir := os.Getenv("AGENTBAY_TEST_IMAGES")
	if dir == "" {
		t.Skip("AGENTBAY_TEST_IMAGES names no store of built images")
	}
	s, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"code_latest", "linux_latest"} {
		img, err := s.Get(name)
		if err != nil {
			t.Fatal(err)
		}
		var writable []string
		eachFile(t, img, func(file string, st unix.Stat_t) {
			kind := st.Mode & unix.S_IFMT
			switch {
			case kind == unix.S_IFLNK || kind == unix.S_IFCHR && st.Rdev == 0:
			case kind == unix.S_IFCHR || kind == unix.S_IFBLK:
				t.Errorf("%s has device %s", name, file)
			case kind == unix.S_IFREG && st.Mode&unix.S_ISUID != 0 && !slices.Contains(setuid, file):
				t.Errorf("%s has setuid program %s", name, file)
			case st.Mode&0o002 != 0:
				writable = append(writable, file)
			}
		})
		want := []string{"run/lock", "tmp", "var/tmp"}
		if img.Config.User.UID != 0 {
			want = []string{"tmp", "var/tmp"}
		}
		if slices.Sort(writable); !slices.Equal(writable, want) {
			t.Errorf("%s: everybody can write %q, want %q", name, writable, want)
		}
	}
}

// eachFile calls f with every file of an image as a session sees it, and with
// the whiteouts of those it does not see.
func eachFile(t *testing.T, img Image, f func(file string, st unix.Stat_t)) {
	t.Helper()
	seen := map[string]bool{}
	for _, layer := range img.Layers {
		err := filepath.WalkDir(layer, func(name string, _ fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			file, err := filepath.Rel(layer, name)
			if err != nil || seen[file] {
				return err
			}
			seen[file] = true
			var st unix.Stat_t
			if err := unix.Lstat(name, &st); err != nil {
				return err
			}
			f(file, st)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

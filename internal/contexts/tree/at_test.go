package tree

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/agentbay/agentbay"
	"golang.org/x/sys/unix"
)

// nest makes directories within one another, deeper than a path can say.
func nest(t *testing.T, top string, depth int) {
	t.Helper()
	fd, err := openTop(top)
	for range depth {
		if err == nil {
			err = unix.Mkdirat(fd, "d", 0o755)
		}
		if err != nil {
			t.Fatal(err)
		}
		up := fd
		fd, err = openDir(up, "d")
		unix.Close(up)
	}
	unix.Close(fd)
}

func remove(t *testing.T, top, name string) error {
	t.Helper()
	fd, err := openTop(top)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	return removeAt(fd, name)
}

func TestWhatIsInTheWayIsRemoved(t *testing.T) {
	top, kept := t.TempDir(), t.TempDir()
	nest(t, top, maxDeep/2)
	for i := range 3000 {
		if err := os.WriteFile(filepath.Join(top, "d", fmt.Sprintf("a file with a rather long name, number %d", i)), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(os.WriteFile(kept+"/f", nil, 0o644), os.Symlink(kept, top+"/d/link")); err != nil {
		t.Fatal(err)
	}
	if err := remove(t, top, "d"); err != nil {
		t.Errorf("removeAt: %v", err)
	}
	if left, err := os.ReadDir(top); err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
	if _, err := os.Stat(kept + "/f"); err != nil {
		t.Errorf("what a link leads to: %v", err)
	}
}

// Each directory on the way down takes a descriptor and memory of the host.
func TestNestingWithoutEndIsLeftAlone(t *testing.T) {
	top := t.TempDir()
	nest(t, top, maxDeep+10)
	if err := remove(t, top, "d"); !errors.Is(err, agentbay.Conflict) {
		t.Errorf("removeAt of %d directories within one another: %v, want Conflict", maxDeep+10, err)
	}
}

// The names of each directory on the way down are in memory at once.
func TestNamesHeldAtOnceAreBounded(t *testing.T) {
	most := maxEntries
	maxEntries = 100
	t.Cleanup(func() { maxEntries = most })
	beside, within := t.TempDir(), t.TempDir()
	for i := range 70 {
		for _, dir := range []string{beside + "/a", beside + "/b", within, within + "/a"} {
			if err := errors.Join(os.MkdirAll(dir, 0o755), os.WriteFile(fmt.Sprintf("%s/f%d", dir, i), nil, 0o644)); err != nil {
				t.Fatal(err)
			}
		}
	}
	for dir, want := range map[string]error{beside: nil, within: agentbay.Exhausted} {
		top, err := openTop(dir)
		if err != nil {
			t.Fatal(err)
		}
		w := walker{p: new(Progress), visit: func(found) error { return nil }}
		if err := w.walk(top, ""); !errors.Is(err, want) {
			t.Errorf("walk of %s: %v, want %v", dir, err, want)
		}
		unix.Close(top)
	}
}

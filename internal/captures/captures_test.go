package captures

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/agentbay/agentbay"
)

func put(t *testing.T, s *Store, session, text string) string {
	t.Helper()
	name, err := s.Put(session, "screenshot", ".png", strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return name
}

func TestACaptureIsReadAgain(t *testing.T) {
	s := &Store{Dir: filepath.Join(t.TempDir(), "captures")}
	name := put(t, s, "session-a", "picture")
	f, err := s.Open("session-a", name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if b, err := io.ReadAll(f); err != nil || string(b) != "picture" {
		t.Errorf("read %q, %v", b, err)
	}
}

func TestNamesLeadNowhereElse(t *testing.T) {
	s := &Store{Dir: t.TempDir()}
	os.WriteFile(filepath.Join(s.Dir, "secret"), nil, 0o600)
	put(t, s, "session-a", "x")
	for _, n := range [][2]string{{"session-a", "../secret"}, {"..", "secret"}, {"session-a", ""}, {"", "secret"}, {"session-a", ".new-1"}, {"session-b", "x"}} {
		if f, err := s.Open(n[0], n[1]); agentbay.CodeOf(err) != agentbay.NotFound {
			t.Errorf("%q: %v, %v, want NotFound", n, f, err)
		}
	}
	if _, err := s.Put("../x", "screenshot", ".png", strings.NewReader("x")); agentbay.CodeOf(err) != agentbay.Invalid {
		t.Errorf("a session with a slash: %v, want Invalid", err)
	}
}

func TestTheOldestGiveWay(t *testing.T) {
	s := &Store{Dir: t.TempDir(), Max: 10}
	first := put(t, s, "session-a", "123456")
	old := time.Now().Add(-time.Minute)
	os.Chtimes(filepath.Join(s.Dir, "session-a", first), old, old)
	other := put(t, s, "session-b", "123456")
	second := put(t, s, "session-a", "123456")
	if _, err := s.Open("session-a", first); agentbay.CodeOf(err) != agentbay.NotFound {
		t.Errorf("the oldest: %v, want NotFound", err)
	}
	for session, name := range map[string]string{"session-a": second, "session-b": other} {
		f, err := s.Open(session, name)
		if err != nil {
			t.Errorf("%s/%s: %v", session, name, err)
			continue
		}
		f.Close()
	}
	if _, err := s.Put("session-a", "screenshot", ".png", strings.NewReader("12345678901")); agentbay.CodeOf(err) != agentbay.Exhausted {
		t.Errorf("more than all: %v, want Exhausted", err)
	}
	if left, _ := filepath.Glob(filepath.Join(s.Dir, "*", halfMade+"*")); left != nil {
		t.Errorf("left behind: %q", left)
	}
}

func TestWhatIsOldGoes(t *testing.T) {
	s := &Store{Dir: t.TempDir(), Keep: time.Hour}
	name := put(t, s, "session-a", "x")
	os.WriteFile(filepath.Join(s.Dir, "session-a", halfMade+"killed"), nil, 0o600)
	if err := s.Sweep(time.Now()); err != nil {
		t.Fatal(err)
	}
	if f, err := s.Open("session-a", name); err != nil {
		t.Errorf("a new one: %v", err)
	} else {
		f.Close()
	}
	if err := s.Sweep(time.Now().Add(2 * time.Hour)); err != nil {
		t.Fatal(err)
	}
	if left, _ := os.ReadDir(s.Dir); len(left) != 0 {
		t.Errorf("left: %v", left)
	}
	if err := (&Store{Dir: filepath.Join(s.Dir, "nonesuch")}).Sweep(time.Now()); err != nil {
		t.Errorf("nothing was ever kept: %v", err)
	}
}

package dir

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/agentbay/agentbay"
	"github.com/agentbay/agentbay/internal/blob"
	"github.com/agentbay/agentbay/internal/blob/blobtest"
)

// writer tells the test program to be a process that puts a blob into the store
// at that path, half of it when it is told to go on.
const writer = "AGENTBAY_TEST_WRITER"

func TestMain(m *testing.M) {
	if path := os.Getenv(writer); path != "" {
		write(path)
		return
	}
	os.Exit(m.Run())
}

func TestStore(t *testing.T) {
	blobtest.Run(t, func(t *testing.T) blob.Store { return opened(t, t.TempDir()) })
}

func TestBlobsSurviveReopening(t *testing.T) {
	path := t.TempDir()
	put(t, opened(t, path), "t-1/packs/a", "kept")
	if got := get(t, opened(t, path), "t-1/packs/a"); got != "kept" {
		t.Errorf("Get after Open: %q, want kept", got)
	}
}

func TestOnlyOwnerCanRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "new", "store")
	put(t, opened(t, path), "a/b", "1")
	for name, want := range map[string]os.FileMode{".": 0o700, "blobs": 0o700, "tmp": 0o700, "blobs/a+b": 0o600} {
		info, err := os.Stat(filepath.Join(path, name))
		if err != nil || info.Mode().Perm() != want {
			t.Errorf("mode of %s: %v, %v, want %v", name, info.Mode(), err, want)
		}
	}
}

func TestOpenRemovesWhatKilledPutLeft(t *testing.T) {
	path := t.TempDir()
	w := start(t, path)
	w.cmd.Process.Kill()
	w.cmd.Wait()
	if left := leftovers(t, path); len(left) != 1 {
		t.Fatalf("a killed Put left %q, want one file", left)
	}
	s := opened(t, path)
	if left := leftovers(t, path); len(left) != 0 {
		t.Errorf("after Open there is still %q", left)
	}
	if _, err := s.Stat(t.Context(), "a"); !errors.Is(err, agentbay.NotFound) {
		t.Errorf("Stat of a blob whose Put was killed: %v, want NotFound", err)
	}
}

func TestOpenLeavesPutsOfOthersAlone(t *testing.T) {
	path := t.TempDir()
	w := start(t, path)
	s := opened(t, path)
	fmt.Fprintln(w.in, "go on")
	if err := w.cmd.Wait(); err != nil {
		t.Fatalf("Put of a process while another opens the store: %v", err)
	}
	if got := get(t, s, "a"); got != strings.Repeat("a", 2<<20) {
		t.Errorf("Get of what another process put: %d bytes, want %d", len(got), 2<<20)
	}
}

func TestFailedPutLeavesNoFile(t *testing.T) {
	path := t.TempDir()
	s := opened(t, path)
	if err := s.Put(t.Context(), "a", strings.NewReader("short"), 100); !errors.Is(err, agentbay.Invalid) {
		t.Errorf("Put of too little: %v, want Invalid", err)
	}
	if left := leftovers(t, path); len(left) != 0 {
		t.Errorf("a failed Put left %q", left)
	}
}

func TestErrorOfReaderIsPassedOn(t *testing.T) {
	s := opened(t, t.TempDir())
	r, w := io.Pipe()
	w.CloseWithError(&os.PathError{Op: "read", Path: "a session's file", Err: unix.ENOSPC})
	if err := s.Put(t.Context(), "a", r, 10); errors.Is(err, agentbay.Exhausted) || !errors.Is(err, unix.ENOSPC) {
		t.Errorf("Put of a reader that says ENOSPC: %v, want that and not Exhausted", err)
	}
}

func TestForeignFilesAreNoBlobs(t *testing.T) {
	path := t.TempDir()
	s := opened(t, path)
	put(t, s, "a", "1")
	for _, name := range []string{"README", "+", "a++b", "..+a"} {
		if err := os.WriteFile(filepath.Join(path, "blobs", name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(path, "blobs", "folder"), 0o700); err != nil {
		t.Fatal(err)
	}
	for info, err := range s.List(t.Context(), "") {
		if err != nil || info.Name != "a" {
			t.Errorf("List: %+v, %v, want a alone", info, err)
		}
	}
}

func TestLinksOutOfTheStoreAreNotFollowed(t *testing.T) {
	path, outside := t.TempDir(), filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(outside, []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := opened(t, path)
	if err := os.Symlink(outside, filepath.Join(path, "blobs", "a")); err != nil {
		t.Fatal(err)
	}
	if r, err := s.Get(t.Context(), "a", 0, -1); err == nil {
		r.Close()
		t.Error("Get of a link out of the store opened what it points to")
	}
	put(t, s, "a", "new")
	if b, err := os.ReadFile(outside); string(b) != "secret" {
		t.Errorf("Put over a link changed what it points to: %q, %v", b, err)
	}
}

func TestFullDiskIsExhausted(t *testing.T) {
	s := small(t, 1<<20)
	put(t, s, "old", "what was there")
	for _, size := range []int{1 << 20, 1 << 30} {
		err := s.Put(t.Context(), "old", io.LimitReader(zeros{}, int64(size)), int64(size))
		if !errors.Is(err, agentbay.Exhausted) || !strings.Contains(agentbay.MessageOf(err), "disk is full") {
			t.Errorf("Put of %d bytes on a disk of 1 MiB: %v, want Exhausted and that the disk is full", size, err)
		}
	}
	if got := get(t, s, "old"); got != "what was there" {
		t.Errorf("Get after Puts that found no room: %q, want what was there", got)
	}
	put(t, s, "new", strings.Repeat("a", 500<<10))
}

// small opens a store on a file system of its own, in a mount namespace of its
// own: nothing is left of it when the store is closed.
func small(t *testing.T, size int) *Store {
	t.Helper()
	path := t.TempDir()
	type result struct {
		s   *Store
		err error
	}
	c := make(chan result)
	go func() {
		runtime.LockOSThread() // for good: the thread ends with the goroutine
		s, err := mountAndOpen(path, size)
		c <- result{s, err}
	}()
	r := <-c
	if errors.Is(r.err, unix.EPERM) {
		t.Skip("mounting a small file system needs root")
	}
	if r.err != nil {
		t.Fatal(r.err)
	}
	t.Cleanup(func() { r.s.Close() })
	return r.s
}

func mountAndOpen(path string, size int) (*Store, error) {
	if err := unix.Unshare(unix.CLONE_FS | unix.CLONE_NEWNS); err != nil {
		return nil, err
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return nil, err
	}
	if err := unix.Mount("tmpfs", path, "tmpfs", 0, fmt.Sprintf("size=%d", size)); err != nil {
		return nil, err
	}
	return Open(path)
}

func FuzzNamesStayInTheStore(f *testing.F) {
	for _, name := range blobtest.Hostile {
		f.Add(name)
	}
	f.Add("t-1/packs/0a")
	f.Fuzz(func(t *testing.T, name string) {
		if blob.CheckName(name) != nil {
			return
		}
		file, ok := strings.CutPrefix(path(name), blobs+"/")
		if !ok || strings.Contains(file, "/") || file == "." || file == ".." || len(file) > 255 {
			t.Errorf("blob %q is kept as %q", name, path(name))
		}
		if back := strings.ReplaceAll(file, "+", "/"); back != name {
			t.Errorf("blob %q is listed as %q", name, back)
		}
	})
}

// A writing is a process that is half-way through a Put of the blob a.
type writing struct {
	cmd *exec.Cmd
	in  io.Writer
}

func start(t *testing.T, path string) writing {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), writer+"="+path)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		t.Fatalf("the writing process said %q, %v", line, err)
	}
	return writing{cmd, in}
}

// write is the process.
func write(path string) {
	s, err := Open(path)
	if err == nil {
		half := func() io.Reader { return strings.NewReader(strings.Repeat("a", 1<<20)) }
		err = s.Put(context.Background(), "a", io.MultiReader(half(), asking{}, half()), 2<<20)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// asking is a reader without content that says where it is and waits for a line.
type asking struct{}

func (asking) Read([]byte) (int, error) {
	fmt.Println("half-way")
	if _, err := bufio.NewReader(os.Stdin).ReadString('\n'); err != nil {
		return 0, err
	}
	return 0, io.EOF
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

func opened(t *testing.T, path string) *Store {
	t.Helper()
	s, err := Open(path)
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func put(t *testing.T, s *Store, name, content string) {
	t.Helper()
	if err := s.Put(t.Context(), name, strings.NewReader(content), int64(len(content))); err != nil {
		t.Fatalf("Put of %s: %v", name, err)
	}
}

func get(t *testing.T, s *Store, name string) string {
	t.Helper()
	r, err := s.Get(t.Context(), name, 0, -1)
	if err != nil {
		t.Fatalf("Get of %s: %v", name, err)
	}
	defer r.Close()
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatalf("Get of %s: %v", name, err)
	}
	return string(b)
}

// leftovers is what is in tmp.
func leftovers(t *testing.T, path string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Join(path, "tmp"))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

package agentbay_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/agentbay/agentbay"
	"github.com/agentbay/agentbay/internal/bay/baytest"
	"github.com/agentbay/agentbay/internal/guest"
	"github.com/agentbay/agentbay/internal/guest/files"
	"github.com/agentbay/agentbay/internal/guest/shell"
	"github.com/agentbay/agentbay/internal/runtime/fake"
	"github.com/agentbay/agentbay/tool"
)

// realTools is a guest with the real shell and files, on this host.
func realTools(b *baytest.Bay) {
	b.Host.Guest = func(spec fake.Spec) (http.Handler, error) {
		m := &guest.Mux{Token: spec.Token}
		shell.New("/", os.Environ()).Register(m)
		new(files.Files).Register(m)
		guest.Handle(m, tool.RunCode, runCode)
		guest.HandleStream(m, tool.RunCode, streamCode)
		return m.Handler(), nil
	}
}

func newSession(t *testing.T) *agentbay.Session {
	t.Helper()
	s, err := newBayClient(t).Create(t.Context(), agentbay.SessionSpec{Image: "code_latest", Labels: map[string]string{"a": "b"}})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestCommandHasTheShapeOfExec(t *testing.T) {
	s, ctx := newSession(t), t.Context()
	out, err := s.Command("echo hello").Output(ctx)
	if string(out) != "hello\n" || err != nil {
		t.Errorf("Output: %q, %v", out, err)
	}
	cmd := s.Command(`echo "$A $PWD"; echo trouble >&2; exit 7`)
	cmd.Dir, cmd.Env = "/tmp", []string{`A=it's; "$HOME"`}
	out, err = cmd.CombinedOutput(ctx)
	if want := "it's; \"$HOME\" /tmp\ntrouble\n"; string(out) != want {
		t.Errorf("CombinedOutput: %q, want %q", out, want)
	}
	var exit *agentbay.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 7 || string(exit.Stderr) != "trouble\n" {
		t.Errorf("error of a command that exits with 7: %v", err)
	}
	slow := s.Command("sleep 100")
	slow.Timeout = 50 * time.Millisecond
	if err := slow.Run(ctx); !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, agentbay.Exhausted) {
		t.Errorf("command past its timeout: %v", err)
	}
}

func TestCommandEndsWithItsContext(t *testing.T) {
	s := newSession(t)
	ctx, cancel := context.WithCancel(t.Context())
	started := filepath.Join(t.TempDir(), "started")
	must(t, os.WriteFile(started, nil, 0o600))
	events, err := s.Watch(t.Context(), filepath.Dir(started))
	must(t, err)
	go func() {
		for range events { // the command has begun
			break
		}
		cancel()
	}()
	if err := s.Command("echo yes >" + started + "; sleep 100").Run(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled command: %v", err)
	}
}

func TestMalformedCommandsAreInvalid(t *testing.T) {
	s := newSession(t)
	for name, change := range map[string]func(*agentbay.Cmd){
		"environment without =": func(c *agentbay.Cmd) { c.Env = []string{"A"} },
		"negative timeout":      func(c *agentbay.Cmd) { c.Timeout = -1 },
	} {
		cmd := s.Command("true")
		change(cmd)
		if err := cmd.Run(t.Context()); !errors.Is(err, agentbay.Invalid) {
			t.Errorf("%s: %v, want Invalid", name, err)
		}
	}
}

func TestFilesAreAnFS(t *testing.T) {
	s := newSession(t)
	sub, err := s.FS(t.Context()).Sub(t.TempDir()[1:])
	must(t, err)
	fsys := sub.(*agentbay.FS)
	must(t, fsys.WriteFile("a/b/c.txt", []byte("text")))
	must(t, fsys.WriteFile("a/empty", nil))
	must(t, fsys.WriteFile("bytes", []byte{0, 255, 254, '\n', 0}))
	must(t, fsys.MkdirAll("void/within"))
	if err := fstest.TestFS(fsys, "a/b/c.txt", "a/empty", "bytes", "void/within"); err != nil {
		t.Error(err)
	}
}

func TestFilesAreByteExact(t *testing.T) {
	s := newSession(t)
	dir := t.TempDir()[1:]
	fsys := s.FS(t.Context())
	for _, size := range []int{0, 1, 63 << 10, 4<<20 - 1, 4 << 20, 9<<20 + 1} {
		data := bytes.Repeat([]byte("\x00\xff£€\n"), size/7+1)[:size]
		name := fmt.Sprint(dir, "/f", size)
		must(t, fsys.WriteFile(name, data))
		got, err := fsys.ReadFile(name)
		if err != nil || !bytes.Equal(got, data) {
			t.Errorf("%d bytes: read %d back, %v", size, len(got), err)
		}
	}
}

func TestOpenFilesSeek(t *testing.T) {
	s := newSession(t)
	name := t.TempDir()[1:] + "/f"
	fsys := s.FS(t.Context())
	must(t, fsys.WriteFile(name, []byte("0123456789")))
	f, err := fsys.Open(name)
	must(t, err)
	defer f.Close()
	_, err = f.(io.Seeker).Seek(-3, io.SeekEnd)
	must(t, err)
	rest, err := io.ReadAll(f)
	if string(rest) != "789" || err != nil {
		t.Errorf("the last three bytes: %q, %v", rest, err)
	}
	b := make([]byte, 4)
	if n, err := f.(io.ReaderAt).ReadAt(b, 8); n != 2 || err != io.EOF || string(b[:n]) != "89" {
		t.Errorf("ReadAt past the end: %q, %v", b[:n], err)
	}
}

// What was asked for ahead is not taken for what is read after a Seek.
func TestLongFilesAreReadInAnyOrder(t *testing.T) {
	s := newSession(t)
	name := t.TempDir()[1:] + "/f"
	fsys := s.FS(t.Context())
	const mega = 1 << 20
	data := make([]byte, 18*mega)
	rand.NewChaCha8([32]byte{}).Read(data)
	must(t, fsys.WriteFile(name, data))
	f, err := fsys.Open(name)
	must(t, err)
	defer f.Close()
	for _, part := range []struct{ from, to int }{{0, 9 * mega}, {3, 14 * mega}, {13 * mega, 18 * mega}, {mega, 2 * mega}, {0, 18 * mega}} {
		_, err := f.(io.Seeker).Seek(int64(part.from), io.SeekStart)
		must(t, err)
		got := make([]byte, part.to-part.from)
		if _, err := io.ReadFull(f, got); err != nil || !bytes.Equal(got, data[part.from:part.to]) {
			t.Errorf("bytes %d to %d are not what was written: %v", part.from, part.to, err)
		}
	}
}

func TestAFailedWindowFailsTheFile(t *testing.T) {
	s := newSession(t)
	w, err := s.FS(t.Context()).Create(t.TempDir()[1:]) // a directory
	must(t, err)
	_, err = w.Write(make([]byte, 20<<20))
	for _, err := range []error{err, w.Close()} {
		if pathErr, ok := errors.AsType[*fs.PathError](err); !ok || pathErr.Op != "write" {
			t.Errorf("error %v, want that the write failed", err)
		}
	}
}

func TestFileErrorsAreThoseOfPackageFS(t *testing.T) {
	s := newSession(t)
	fsys, dir := s.FS(t.Context()), t.TempDir()[1:]
	_, open := fsys.Open(dir + "/none")
	_, list := fsys.ReadDir(dir + "/none")
	for name, err := range map[string]error{
		"Open": open, "ReadDir": list, "RemoveAll": fsys.RemoveAll(dir + "/none"), "Rename": fsys.Rename(dir+"/none", dir+"/x"),
	} {
		var path *fs.PathError
		if !errors.Is(err, fs.ErrNotExist) || !errors.As(err, &path) {
			t.Errorf("%s of what is not there: %v, want ErrNotExist", name, err)
		}
	}
	for _, name := range []string{"/abs", "a/../b", "", "a\x00b"} {
		if err := fsys.WriteFile(name, nil); !errors.Is(err, fs.ErrInvalid) {
			t.Errorf("WriteFile(%q): %v, want ErrInvalid", name, err)
		}
	}
	must(t, fsys.WriteFile(dir+"/a", []byte("a")))
	must(t, fsys.Rename(dir+"/a", dir+"/b"))
	must(t, fsys.RemoveAll(dir+"/b"))
}

func TestWatchTellsEveryChangeOnce(t *testing.T) {
	s, dir := newSession(t), t.TempDir()
	events, err := s.Watch(t.Context(), dir)
	must(t, err)
	must(t, s.FS(t.Context()).WriteFile(dir[1:]+"/x", []byte("x")))
	var got []string
	for e, err := range events {
		must(t, err)
		got = append(got, e.EventType+" "+filepath.Base(e.Path))
		if len(got) == 2 {
			break
		}
	}
	if want := "create x,modify x"; strings.Join(got, ",") != want {
		t.Errorf("changes: %q, want %q", got, want)
	}
}

func TestWatchEndsWithItsContext(t *testing.T) {
	s := newSession(t)
	ctx, cancel := context.WithCancel(t.Context())
	events, err := s.Watch(ctx, t.TempDir())
	must(t, err)
	cancel()
	for _, err := range events {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("watch whose context is done: %v", err)
		}
	}
}

// runCode is an interpreter that prints its code; "fail" fails.
func runCode(_ context.Context, in tool.RunCodeIn) (guest.Answer, error) {
	out := tool.RunCodeOut{Stdout: []string{in.Code}, Result: []string{}, Stderr: []string{}, ExecutionCount: 3, ExecutionTime: 0.5}
	if in.Code == "fail" {
		out.ExecutionError, out.ErrorName, out.Traceback = "ValueError: bad", "ValueError", "line 1"
		return guest.JSON(out).AsFailure(), nil
	}
	out.Result = append(out.Result, `{"isMainResult":true,"text/plain":"42","text/html":"<b>42</b>"}`)
	return guest.JSON(out), nil
}

func streamCode(_ context.Context, in tool.RunCodeIn, emit func(any) error) error {
	end := &tool.RunCodeOut{ExecutionCount: 3}
	if in.Code == "fail" {
		end.ExecutionError = "ValueError: bad"
	}
	for _, e := range []tool.CodeEvent{
		{Type: "stdout", Chunk: "one "},
		{Type: "stdout", Chunk: "two"},
		{Type: "result", Result: map[string]any{"isMainResult": true, "text/plain": "42"}},
		{Type: "end", End: end},
	} {
		if err := emit(e); err != nil {
			return err
		}
	}
	return nil
}

func TestCodeGivesValuesOutputAndErrors(t *testing.T) {
	s := newSession(t)
	r, err := s.RunCode(t.Context(), "python", "6 * 7")
	if err != nil || r.Text() != "42" || r.Stdout != "6 * 7" || r.Count != 3 || r.Took != 500*time.Millisecond || r.Results[0].MIME["text/html"] != "<b>42</b>" {
		t.Errorf("RunCode: %+v, %v", r, err)
	}
	var failed *agentbay.CodeError
	r, err = s.RunCode(t.Context(), "python", "fail")
	if !errors.As(err, &failed) || failed.Name != "ValueError" || failed.Traceback != "line 1" || r.Stdout != "fail" {
		t.Errorf("RunCode of code that fails: %+v, %v", r, err)
	}
}

func TestCodeStreams(t *testing.T) {
	s := newSession(t)
	var chunks []string
	r, err := s.RunCode(t.Context(), "python", "x", agentbay.OnCodeEvent(func(e tool.CodeEvent) { chunks = append(chunks, e.Chunk) }))
	if err != nil || len(chunks) != 4 || r.Stdout != "one two" || r.Text() != "42" || r.Count != 3 {
		t.Errorf("streamed RunCode: %+v, %q, %v", r, chunks, err)
	}
	var failed *agentbay.CodeError
	if _, err := s.RunCode(t.Context(), "python", "fail", agentbay.OnCodeEvent(func(tool.CodeEvent) {})); !errors.As(err, &failed) {
		t.Errorf("streamed RunCode of code that fails: %v", err)
	}
}

func TestSessionLivesAndEnds(t *testing.T) {
	s, ctx := newSession(t), t.Context()
	must(t, s.KeepAlive(ctx))
	must(t, s.SetLabels(ctx, map[string]string{"c": "d"}))
	if labels, err := s.Labels(ctx); err != nil || len(labels) != 1 || labels["c"] != "d" {
		t.Errorf("Labels after SetLabels: %v, %v", labels, err)
	}
	if m, err := s.Metrics(ctx); err != nil || m.Timestamp == "" {
		t.Errorf("Metrics: %+v, %v", m, err)
	}
	must(t, s.Delete(ctx))
	info, err := s.Info(ctx)
	if err != nil || !info.State.Ended() || info.EndReason == "" {
		t.Errorf("Info after Delete: %+v, %v", info, err)
	}
	must(t, s.Delete(ctx)) // ended already
	var e *agentbay.Error
	err = s.Command("true").Run(ctx)
	if !errors.As(err, &e) || e.Code != agentbay.NotFound || e.RequestID == "" {
		t.Errorf("command in a session that has ended: %#v, want NotFound with a request ID", err)
	}
}

package baytest

import (
	"context"
	"encoding/base64"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/agentbay/agentbay/internal/guest"
	"github.com/agentbay/agentbay/internal/runtime"
	"github.com/agentbay/agentbay/tool"
)

// Guest is a guest whose files are a map, but for those in mounts, and whose
// shell knows four words, so that tests of the rules need nothing of the host:
//
//	echo WORDS   prints the words
//	exit N       ends with status N
//	sleep        lasts until the caller stops it
//	whoami       prints the session's user
//
// As a stream, run_code emits its code's lines as standard output.
func Guest(spec runtime.Spec, h *Host) http.Handler {
	m := &guest.Mux{Token: spec.Token}
	f := &files{text: map[string]string{}, places: func(path string) []string { return h.places(spec.ID, path) }}
	guest.Handle(m, tool.RunShell, func(ctx context.Context, in tool.ShellIn) (guest.Answer, error) {
		return shell(ctx, spec, in.Command)
	})
	guest.Handle(m, tool.WriteFile, f.write)
	guest.Handle(m, tool.ReadFile, f.read)
	guest.Handle(m, tool.FileInfo, f.info)
	guest.Handle(m, tool.MoveFile, f.move)
	guest.Handle(m, tool.CreateDirectory, func(context.Context, tool.PathIn) (guest.Answer, error) { return guest.Text("made"), nil })
	guest.HandleStream(m, tool.RunCode, runCode)
	return m.Handler()
}

func shell(ctx context.Context, spec runtime.Spec, line string) (guest.Answer, error) {
	word, rest, _ := strings.Cut(line, " ")
	out := tool.ShellOut{TraceID: "trace"}
	switch word {
	case "echo":
		out.Stdout = rest + "\n"
	case "whoami":
		out.Stdout = spec.User.Name + "\n"
	case "sleep":
		<-ctx.Done()
		return guest.Answer{}, ctx.Err()
	case "exit":
		fmt.Sscan(rest, &out.ExitCode)
	default:
		out.ExitCode, out.Stderr = 127, word+": command not found\n"
	}
	if out.ExitCode != 0 {
		return guest.JSON(out).AsFailure(), nil
	}
	return guest.JSON(out), nil
}

// files is a session's files: those in mounts are where the host has them, the
// others in memory.
type files struct {
	places func(path string) []string // see Host.places

	mu   sync.Mutex
	text map[string]string // guarded by mu
}

func (f *files) write(_ context.Context, in tool.WriteFileIn) (guest.Answer, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if in.Format == "binary" {
		b, err := base64.StdEncoding.DecodeString(in.Content)
		if err != nil {
			return guest.Answer{}, err
		}
		in.Content = string(b)
	}
	if in.Mode == "append" {
		old, _ := f.get(in.Path)
		in.Content = old + in.Content
	}
	return guest.Text("Successfully wrote to " + in.Path), f.set(in.Path, in.Content)
}

func (f *files) read(_ context.Context, in tool.ReadFileIn) (guest.Answer, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	text, err := f.get(in.Path)
	if err != nil {
		return guest.Answer{}, err
	}
	if in.Format != "binary" {
		return guest.Text(text), nil
	}
	text = text[min(in.Offset, int64(len(text))):]
	if in.Length > 0 {
		text = text[:min(in.Length, int64(len(text)))]
	}
	return guest.Text(base64.StdEncoding.EncodeToString([]byte(text))), nil
}

func (f *files) info(_ context.Context, in tool.PathIn) (guest.Answer, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	text, err := f.get(in.Path)
	return guest.Text(fmt.Sprintf("size: %d\nisDirectory: false\nisFile: true\npermissions: 644\n", len(text))), err
}

func (f *files) move(_ context.Context, in tool.MoveFileIn) (guest.Answer, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	text, err := f.get(in.Source)
	if err != nil {
		return guest.Answer{}, err
	}
	delete(f.text, in.Source)
	return guest.Text("Moved"), f.set(in.Destination, text)
}

// get returns a file's text from the topmost place that has it.
func (f *files) get(path string) (string, error) {
	places := f.places(path)
	for _, p := range places {
		if b, err := os.ReadFile(p); err == nil {
			return string(b), nil
		}
	}
	text, ok := f.text[path]
	if !ok || len(places) > 0 {
		return "", &fs.PathError{Op: "open", Path: path, Err: fs.ErrNotExist}
	}
	return text, nil
}

func (f *files) set(path, text string) error {
	places := f.places(path)
	if len(places) == 0 {
		f.text[path] = text
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(places[0]), 0o755); err != nil {
		return err
	}
	return os.WriteFile(places[0], []byte(text), 0o644)
}

func runCode(_ context.Context, in tool.RunCodeIn, emit func(any) error) error {
	for line := range strings.Lines(in.Code) {
		if err := emit(tool.CodeEvent{Type: "stdout", Chunk: line}); err != nil {
			return err
		}
	}
	return emit(tool.CodeEvent{Type: "end", End: &tool.RunCodeOut{ExecutionCount: 1}})
}

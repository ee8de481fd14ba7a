package baytest

import (
	"context"
	"encoding/base64"
	"fmt"
	"io/fs"
	"net/http"
	"strings"
	"sync"

	"github.com/agentbay/agentbay/internal/guest"
	"github.com/agentbay/agentbay/internal/runtime"
	"github.com/agentbay/agentbay/tool"
)

// Guest is a guest whose files are a map and whose shell knows four words, so
// that tests of the rules need nothing of the host:
//
//	echo WORDS   prints the words
//	exit N       ends with status N
//	sleep        lasts until the caller stops it
//	whoami       prints the session's user
//
// As a stream, run_code emits its code's lines as standard output.
func Guest(spec runtime.Spec) http.Handler {
	m := &guest.Mux{Token: spec.Token}
	f := &files{text: map[string]string{}}
	guest.Handle(m, tool.RunShell, func(ctx context.Context, in tool.ShellIn) (guest.Answer, error) {
		return shell(ctx, spec, in.Command)
	})
	guest.Handle(m, tool.WriteFile, f.write)
	guest.Handle(m, tool.ReadFile, f.read)
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

// files is a session's files.
type files struct {
	mu   sync.Mutex
	text map[string]string // guarded by mu
}

func (f *files) write(_ context.Context, in tool.WriteFileIn) (guest.Answer, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if in.Mode == "append" {
		in.Content = f.text[in.Path] + in.Content
	}
	f.text[in.Path] = in.Content
	return guest.Text("Successfully wrote to " + in.Path), nil
}

func (f *files) read(_ context.Context, in tool.ReadFileIn) (guest.Answer, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	text, ok := f.text[in.Path]
	switch {
	case !ok:
		return guest.Answer{}, &fs.PathError{Op: "open", Path: in.Path, Err: fs.ErrNotExist}
	case in.Format == "binary":
		return guest.Text(base64.StdEncoding.EncodeToString([]byte(text))), nil
	}
	return guest.Text(text), nil
}

func runCode(_ context.Context, in tool.RunCodeIn, emit func(any) error) error {
	for line := range strings.Lines(in.Code) {
		if err := emit(tool.CodeEvent{Type: "stdout", Chunk: line}); err != nil {
			return err
		}
	}
	return emit(tool.CodeEvent{Type: "end", End: &tool.RunCodeOut{ExecutionCount: 1}})
}

package main

import (
	"context"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/agentbay/agentbay/internal/bay"
	"github.com/agentbay/agentbay/internal/bay/baytest"
	"github.com/agentbay/agentbay/internal/guest"
	"github.com/agentbay/agentbay/internal/guest/files"
	"github.com/agentbay/agentbay/internal/guest/shell"
	"github.com/agentbay/agentbay/internal/runtime"
	"github.com/agentbay/agentbay/internal/runtime/fake"
	"github.com/agentbay/agentbay/tool"
)

// In a transcript, agentbay is this program with machines that are none: their
// tools run in the server's process.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"agentbay": func() {
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
		defer stop()
		os.Exit(run(ctx, env{args: os.Args[1:], in: os.Stdin, out: os.Stdout, errOut: os.Stderr, change: noMachines}))
	}})
}

func noMachines(b *bay.Bay) {
	b.Images = baytest.Images()
	b.Runtimes = map[string]runtime.Runtime{"runsc": &fake.Runtime{Guest: realTools}}
}

func realTools(s fake.Spec) (http.Handler, error) {
	m := &guest.Mux{Token: s.Token}
	shell.New("/", os.Environ()).Register(m)
	new(files.Files).Register(m)
	guest.Handle(m, tool.RunCode, func(context.Context, tool.RunCodeIn) (guest.Answer, error) {
		return guest.JSON(tool.RunCodeOut{Stdout: []string{"Hello from CodeSpace!\n"}}), nil
	})
	return m.Handler(), nil
}

// The command line behaves as in the transcripts.
func TestTranscripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata",
		Setup: func(e *testscript.Env) error {
			e.Setenv("AGENTBAY_DATA", e.WorkDir+"/data")
			e.Setenv("AGENTBAY_LISTEN", "127.0.0.1:0")
			e.Setenv("AGENTBAY_CONFIG", e.WorkDir+"/agentbay.conf")
			return os.WriteFile(e.WorkDir+"/agentbay.conf", []byte("# nothing\n"), 0o600)
		},
	})
}

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/agentbay/agentbay"
	"github.com/agentbay/agentbay/internal/gate"
	"github.com/agentbay/agentbay/internal/store"
)

func (a *app) upCommand() *cobra.Command {
	o := &serveOptions{}
	c := &cobra.Command{
		Use:   "up",
		Short: "Bring a bay up on this machine and show that it works",
		Long: `Bring a bay up on this machine: build the images that are missing or out of date,
make a first API key if there is none, start the server in the background if none
is running, run a first piece of code in a session, and print what to paste into a
shell. Run again, it is quick and changes nothing; after an upgrade it replaces the
server, and sessions go on.

The flags are those of "agentbay serve", for the server that is started.`,
		Example: `  agentbay up
  agentbay up --listen :8443 --tls-name bay.example.com`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.up(cmd.Context(), o, cmd.Flags()) },
	}
	o.flags(c.Flags())
	return c
}

func (a *app) up(ctx context.Context, o *serveOptions, flags *pflag.FlagSet) error {
	began := time.Now()
	if err := errors.Join(o.check(), a.mayServe()); err != nil {
		return err
	}
	steps := []func() error{
		func() error { return a.buildImages(ctx, nil) },
		func() error { return a.ensureKey(ctx) },
		func() error { return a.ensureServer(ctx, changed(flags)) },
		func() error { return a.demonstrate(ctx) },
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return err
		}
	}
	a.sayf("\nThe bay is up, after %s. To use it, paste into a shell:\n", brief(time.Since(began)))
	vars, err := a.variables("")
	if err != nil {
		return err
	}
	return a.print(a.environment(vars), func(w *tabwriter.Writer) { printVariables(w, vars) })
}

// mayServe says early what would fail late.
func (a *app) mayServe() error {
	if a.change == nil && os.Geteuid() != 0 {
		return agentbay.Errorf(agentbay.Denied, "sessions are made of namespaces, mounts and cgroups, which needs root; try: sudo agentbay up")
	}
	return nil
}

// changed is the flags that were set, as arguments for the server. The
// environment and the configuration file reach the server by themselves, but
// may change before it is started again.
func changed(flags *pflag.FlagSet) (args []string) {
	flags.Visit(func(f *pflag.Flag) {
		if f.Name == "output" {
			return
		}
		if list, ok := f.Value.(pflag.SliceValue); ok {
			for _, value := range list.GetSlice() {
				args = append(args, "--"+f.Name+"="+value)
			}
			return
		}
		value := f.Value.String()
		if strings.HasPrefix(f.Value.Type(), "stringTo") { // a map is shown in brackets
			value = strings.TrimSuffix(strings.TrimPrefix(value, "["), "]")
		}
		args = append(args, "--"+f.Name+"="+value)
	})
	return args
}

// ensureKey makes the first API key, unless it is there and still good.
func (a *app) ensureKey(ctx context.Context) error {
	return a.withStore(ctx, func(s *store.Store) error {
		if secret, err := a.readFirstKey(); err == nil {
			if k, err := s.KeyByHash(ctx, gate.Hash(secret)); err == nil && !k.Disabled {
				a.sayf("API key    %s (%s) in %s", k.Visible, k.Name, a.firstKeyFile())
				return nil
			}
		}
		secret, k, err := newKey(ctx, s, "first", store.Key{})
		if errors.Is(err, agentbay.Conflict) {
			secret, k, err = newKey(ctx, s, "first-"+time.Now().UTC().Format("20060102-150405"), store.Key{})
		}
		if err != nil {
			return err
		}
		a.sayf("API key    %s made, kept in %s", k.Visible, a.firstKeyFile())
		return writeFile(a.firstKeyFile(), []byte(secret+"\n"))
	})
}

// ensureServer starts a server, unless one of this program runs already. One of
// another build is replaced.
func (a *app) ensureServer(ctx context.Context, args []string) error {
	running, err := a.isRunning(ctx)
	if err != nil {
		return err
	}
	s, err := a.readServer()
	if running && err == nil && s.Program == programID() {
		a.sayf("server     %s, running with process ID %d", s.Endpoint, s.PID)
		return nil
	}
	if running {
		a.sayf("server     replacing the one of an earlier build; sessions go on")
		if err := a.stopServer(ctx); err != nil {
			return err
		}
	}
	if err := a.startServer(ctx, args); err != nil {
		return err
	}
	if s, err = a.readServer(); err != nil {
		return err
	}
	a.sayf("server     %s, started with process ID %d; log in %s", s.Endpoint, s.PID, a.logFile())
	return nil
}

// demonstrate runs the first example of the Core Concepts in a session.
func (a *app) demonstrate(ctx context.Context) error {
	const code = "print('Hello from CodeSpace!')"
	bay, err := a.client()
	if err != nil {
		return err
	}
	began := time.Now()
	session, err := bay.Create(ctx, agentbay.SessionSpec{Image: "code_latest", SDK: "agentbay up"})
	if err != nil {
		return err
	}
	defer session.Delete(context.WithoutCancel(ctx))
	booted := time.Since(began)
	began = time.Now()
	result, err := session.RunCode(ctx, "python", code)
	if err != nil {
		return fmt.Errorf("the first code in a session: %w", err)
	}
	a.sayf("session    %s, up in %s", session.ID, brief(booted))
	a.sayf("           >>> %s\n           %s", code, strings.TrimSpace(result.Text()))
	a.sayf("           %s, and the session is released", brief(time.Since(began)))
	return nil
}

// brief is a duration as people want to read it.
func brief(d time.Duration) string {
	if d < time.Second {
		return d.Round(time.Millisecond).String()
	}
	return d.Round(100 * time.Millisecond).String()
}

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/agentbay/agentbay"
)

// An app is one command line being performed.
type app struct {
	env
	started bool // the command line was understood

	// Flags that every command has.
	data     string
	images   string
	config   string
	output   string
	endpoint string
	key      string
}

const rootHelp = `AgentBay gives agents isolated sessions on a machine of your own.

"agentbay up" brings a bay up on this machine: images, a first key, the server.
"agentbay env" prints what to set so that any AgentBay SDK uses it.

Every flag can also be given as an environment variable: --max-sessions is
AGENTBAY_MAX_SESSIONS. A flag wins over its variable, and that over the
configuration file, in which a line is "max-sessions = 100".`

func (a *app) rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:               "agentbay",
		Short:             "Sessions for AI agents, on your own machine",
		Long:              rootHelp + "\n\n" + exitHelp,
		SilenceErrors:     true,
		SilenceUsage:      true,
		PersistentPreRunE: a.begin,
	}
	f := root.PersistentFlags()
	f.StringVar(&a.data, "data", "/var/lib/agentbay", "directory of the bay's database, keys, certificates and logs")
	f.StringVar(&a.images, "images", "", "directory of built images, which bays may share (default DATA/images)")
	f.StringVar(&a.config, "config", "", "configuration file (default /etc/agentbay/agentbay.conf, if it is there)")
	f.StringVarP(&a.output, "output", "o", "text", "how answers are printed: text or json")
	root.AddCommand(
		a.serveCommand(), a.upCommand(), a.downCommand(), a.envCommand(), a.doctorCommand(), a.logsCommand(), a.versionCommand(),
		a.sessionCommand(), a.contextCommand(), a.imageCommand(), a.keyCommand(),
	)
	return root
}

// begin runs before every command, once its arguments are understood.
func (a *app) begin(cmd *cobra.Command, _ []string) error {
	a.started = true
	if err := a.configure(cmd); err != nil {
		return err
	}
	if a.output != "text" && a.output != "json" {
		return agentbay.Errorf(agentbay.Invalid, "no output format %q; there is text and json", a.output)
	}
	return a.resolve()
}

// resolve makes the directories absolute, as what is printed of them is used elsewhere.
func (a *app) resolve() (err error) {
	if a.data, err = filepath.Abs(a.data); err != nil {
		return err
	}
	if a.images == "" {
		a.images = a.path("images")
	}
	a.images, err = filepath.Abs(a.images)
	return err
}

// group makes a command that only holds others.
func group(use, short string, children ...*cobra.Command) *cobra.Command {
	c := &cobra.Command{Use: use, Short: short, Args: cobra.NoArgs, RunE: func(cmd *cobra.Command, _ []string) error {
		return cmd.Help()
	}}
	c.AddCommand(children...)
	return c
}

// withContext makes a RunE of a function that wants a context and arguments.
func withContext(f func(ctx context.Context, args []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error { return f(cmd.Context(), args) }
}

// printJSON prints one value.
func (a *app) printJSON(v any) error {
	enc := json.NewEncoder(a.out)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

// print prints v as JSON if that was asked for, else what text writes to a table.
func (a *app) print(v any, text func(w *tabwriter.Writer)) error {
	if a.output == "json" {
		return a.printJSON(v)
	}
	w := tabwriter.NewWriter(a.out, 0, 8, 2, ' ', 0)
	text(w)
	return w.Flush()
}

// sayf prints a line for people: nothing if JSON was asked for.
func (a *app) sayf(format string, args ...any) {
	if a.output != "json" {
		fmt.Fprintf(a.out, format+"\n", args...)
	}
}

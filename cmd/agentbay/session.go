package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/agentbay/agentbay"
)

func (a *app) sessionCommand() *cobra.Command {
	c := group("session", "Make, use and release sessions",
		a.sessionCreate(), a.sessionList(), a.sessionGet(), a.sessionExec(), a.sessionView(), a.sessionControl(), a.sessionRecord(), a.sessionRecordings(), a.sessionRemove())
	a.clientFlags(c.PersistentFlags())
	return c
}

func (a *app) sessionCreate() *cobra.Command {
	var spec agentbay.SessionSpec
	var mounts []string
	var record, replay bool
	c := &cobra.Command{
		Use:   "create",
		Short: "Boot a session and print its ID",
		Example: `  agentbay session create --image code_latest
  agentbay session create --label team=blue --idle-timeout 1h
  agentbay session create --context my-project:/tmp/data`,
		Args: cobra.NoArgs,
		RunE: a.withBay(func(ctx context.Context, bay *agentbay.Client, _ []string) (err error) {
			spec.SDK = "agentbay command line"
			if record {
				spec.Record = &agentbay.RecordingSpec{}
			}
			if replay {
				spec.Replay = &replay
			}
			if spec.Contexts, err = findMounts(ctx, bay, mounts); err != nil {
				return err
			}
			info, err := boot(ctx, bay, spec)
			if err != nil {
				return err
			}
			return a.print(viewOf(*info), func(w *tabwriter.Writer) { fmt.Fprintln(w, info.ID) })
		}),
	}
	c.Flags().StringVar(&spec.Image, "image", agentbay.DefaultImage, "what the session boots from; \"agentbay image ls\" shows what there is")
	c.Flags().StringToStringVar(&spec.Labels, "label", nil, "labels, key=value; may be repeated")
	c.Flags().DurationVar(&spec.IdleTimeout, "idle-timeout", agentbay.DefaultIdleTimeout, "release the session after this long without a call")
	c.Flags().BoolVar(&record, "record", false, "record the screen from the start; see \"agentbay session recordings\"")
	c.Flags().BoolVar(&replay, "replay", false, "record what the browser's pages show; see \"agentbay session recordings\"")
	c.Flags().StringArrayVar(&mounts, "context", nil, "show a context's files at a path and save what is written there, CONTEXT:PATH; may be repeated")
	return c
}

// findMounts reads arguments CONTEXT:PATH as mounts.
func findMounts(ctx context.Context, bay agentbay.ContextService, args []string) (mounts []agentbay.ContextMount, err error) {
	for _, arg := range args {
		at, err := findPlace(ctx, bay, arg)
		if err != nil {
			return nil, err
		}
		mounts = append(mounts, agentbay.ContextMount{Context: at.context.ID, Path: at.path, Policy: agentbay.DefaultSyncPolicy})
	}
	return mounts, nil
}

// boot makes a session, and waits for the files of its contexts.
func boot(ctx context.Context, bay *agentbay.Client, spec agentbay.SessionSpec) (*agentbay.SessionInfo, error) {
	if len(spec.Contexts) == 0 {
		return bay.CreateSession(ctx, spec)
	}
	s, err := bay.Create(ctx, spec)
	if err != nil {
		return nil, err
	}
	return s.Info(ctx)
}

// A sessionView is a session as it is printed.
type sessionView struct {
	ID          agentbay.SessionID `json:"id"`
	State       agentbay.State     `json:"state"`
	Image       string             `json:"image,omitempty"`
	ImageDigest string             `json:"image_digest,omitempty"`
	Isolation   string             `json:"isolation,omitempty"`
	Labels      map[string]string  `json:"labels,omitempty"`
	IdleTimeout string             `json:"idle_timeout,omitempty"`
	CreatedAt   time.Time          `json:"created_at,omitzero"`
	EndedAt     time.Time          `json:"ended_at,omitzero"`
	EndReason   string             `json:"end_reason,omitempty"`
	ResourceURL string             `json:"resource_url,omitempty"`
}

func viewOf(s agentbay.SessionInfo) sessionView {
	v := sessionView{
		ID: s.ID, State: s.State, Image: s.Image, ImageDigest: s.ImageDigest, Isolation: s.Isolation,
		Labels: s.Labels, CreatedAt: s.CreatedAt, EndedAt: s.EndedAt, EndReason: s.EndReason, ResourceURL: s.ResourceURL,
	}
	if s.IdleTimeout > 0 {
		v.IdleTimeout = s.IdleTimeout.String()
	}
	return v
}

func (a *app) sessionList() *cobra.Command {
	var q agentbay.SessionQuery
	var state string
	c := &cobra.Command{
		Use:     "ls",
		Aliases: []string{"list"},
		Short:   "List sessions, newest first",
		Example: `  agentbay session ls --label team=blue
  agentbay session ls -o json | jq -r '.[].id'`,
		Args: cobra.NoArgs,
		RunE: withContext(func(ctx context.Context, _ []string) error {
			bay, err := a.client()
			if err != nil {
				return err
			}
			q.State = agentbay.State(strings.ToUpper(state))
			views, err := list(ctx, bay, q)
			if err != nil {
				return err
			}
			return a.print(views, func(w *tabwriter.Writer) {
				fmt.Fprintln(w, "SESSION\tSTATE")
				for _, v := range views {
					fmt.Fprintf(w, "%s\t%s\n", v.ID, v.State)
				}
			})
		}),
	}
	c.Flags().StringToStringVar(&q.Labels, "label", nil, "only sessions with these labels, key=value; may be repeated")
	c.Flags().StringVar(&state, "state", "", "only sessions in this state, such as RUNNING or FINISH (default all that have not ended)")
	c.Flags().IntVar(&q.Limit, "limit", 100, "at most this many")
	return c
}

// list reads pages until there are q.Limit sessions or no more.
func list(ctx context.Context, bay agentbay.Service, q agentbay.SessionQuery) ([]sessionView, error) {
	views, left := []sessionView{}, q.Limit
	for {
		q.Limit = min(left, 100)
		page, err := bay.Sessions(ctx, q)
		if err != nil {
			return nil, err
		}
		for _, s := range page.Sessions {
			views = append(views, viewOf(s))
		}
		left -= len(page.Sessions)
		if page.Next == "" || left <= 0 || len(page.Sessions) == 0 {
			return views, nil
		}
		q.Token = page.Next
	}
}

func (a *app) sessionGet() *cobra.Command {
	return &cobra.Command{
		Use:     "get ID",
		Short:   "Describe a session, also one that has ended a short while ago",
		Example: `  agentbay session get session-04bdwfj9q2k1mzt7x5r8c3vn6h`,
		Args:    cobra.ExactArgs(1),
		RunE: withContext(func(ctx context.Context, args []string) error {
			bay, err := a.client()
			if err != nil {
				return err
			}
			info, err := bay.Session(ctx, agentbay.SessionID(args[0]))
			if err != nil {
				return err
			}
			return a.print(viewOf(*info), func(w *tabwriter.Writer) { printSession(w, *info) })
		}),
	}
}

func printSession(w *tabwriter.Writer, s agentbay.SessionInfo) {
	row := func(name, value string) {
		if value != "" {
			fmt.Fprintf(w, "%s\t%s\n", name, value)
		}
	}
	v := viewOf(s)
	row("id", string(v.ID))
	row("state", string(v.State))
	row("image", v.Image)
	row("digest", v.ImageDigest)
	row("isolation", v.Isolation)
	row("labels", labelText(v.Labels))
	row("idle timeout", v.IdleTimeout)
	row("created", timeText(v.CreatedAt))
	row("ended", timeText(v.EndedAt))
	row("because", v.EndReason)
}

func labelText(labels map[string]string) string {
	var pairs []string
	for _, k := range sortedKeys(labels) {
		pairs = append(pairs, k+"="+labels[k])
	}
	return strings.Join(pairs, " ")
}

func timeText(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.Local().Format(time.DateTime)
}

func (a *app) sessionExec() *cobra.Command {
	var dir string
	var env []string
	var timeout time.Duration
	c := &cobra.Command{
		Use:   "exec ID -- COMMAND [ARG...]",
		Short: "Run a command in a session",
		Long: `Run a command in a session and exit with its status; 125 means that it could not
be run. One argument is a command line for bash; several are a command and its
arguments, passed on as they are.`,
		Example: `  agentbay session exec $id -- uname -a
  agentbay session exec $id -- 'for i in 1 2 3; do echo $i; done | tac'
  agentbay session exec $id --dir /tmp --env A=1 -- sh -c 'echo $A $PWD'`,
		Args: cobra.MinimumNArgs(2),
		RunE: withContext(func(ctx context.Context, args []string) error {
			bay, err := a.client()
			if err != nil {
				return err
			}
			cmd := agentbay.Use(bay, agentbay.SessionID(args[0])).Command(commandLine(args[1:]))
			cmd.Dir, cmd.Env, cmd.Timeout, cmd.Stdout, cmd.Stderr = dir, env, timeout, a.out, a.errOut
			return a.execStatus(cmd.Run(ctx))
		}),
	}
	c.Flags().StringVar(&dir, "dir", "", "directory to run in (default the session's working directory)")
	c.Flags().StringArrayVar(&env, "env", nil, "environment variable, KEY=value; may be repeated")
	c.Flags().DurationVar(&timeout, "timeout", 0, "kill the command after this long (default never)")
	return c
}

const notRun = 125

// execStatus turns what became of a command into this command's exit status.
func (a *app) execStatus(err error) error {
	var exit *agentbay.ExitError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &exit):
		return quiet(exit.Code)
	case errors.Is(err, context.Canceled):
		return err
	}
	hint := hintFor(agentbay.CodeOf(err), "agentbay session exec")
	if errors.Is(err, context.DeadlineExceeded) {
		hint = "--timeout gives it longer"
	}
	fmt.Fprintln(a.errOut, "agentbay:", err)
	fmt.Fprintln(a.errOut, "hint:", hint)
	return quiet(notRun)
}

// commandLine is one argument as it is, or several as words for bash.
func commandLine(args []string) string {
	if len(args) == 1 {
		return args[0]
	}
	words := make([]string, len(args))
	for i, arg := range args {
		words[i] = quote(arg)
	}
	return strings.Join(words, " ")
}

func (a *app) sessionRemove() *cobra.Command {
	return &cobra.Command{
		Use:     "rm ID...",
		Aliases: []string{"delete"},
		Short:   "Release sessions and wait until they are gone",
		Example: `  agentbay session rm $id
  agentbay session rm $(agentbay session ls -o json | jq -r '.[].id')`,
		Args: cobra.MinimumNArgs(1),
		RunE: withContext(func(ctx context.Context, args []string) error {
			bay, err := a.client()
			if err != nil {
				return err
			}
			for _, id := range args {
				if err := remove(ctx, bay, agentbay.SessionID(id)); err != nil {
					return err
				}
				a.sayf("%s released", id)
			}
			return nil
		}),
	}
}

// remove releases a session. Unlike [agentbay.Session.Delete] it minds if there
// is none, so that a mistyped ID is noticed.
func remove(ctx context.Context, bay agentbay.Service, id agentbay.SessionID) error {
	info, err := bay.Session(ctx, id)
	if err != nil || info.State.Ended() {
		return err
	}
	return agentbay.Use(bay, id).Delete(ctx)
}

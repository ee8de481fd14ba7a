package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/agentbay/agentbay"
)

const contextHelp = `A context keeps files that outlive sessions. Sessions show it at a path and save what
they wrote there when they are released ("agentbay session create --context NAME:PATH").

CONTEXT is a context's name or ID. A file of it is CONTEXT:PATH, such as
my-project:/tmp/data/a.txt; a name that has a colon in it is given by its ID there.`

func (a *app) contextCommand() *cobra.Command {
	c := group("context", "Keep files beyond sessions",
		a.contextList(), a.contextGet(), a.contextCreate(), a.contextRename(), a.contextRemove(), a.contextClear(),
		a.contextFiles(), a.contextPut(), a.contextCat(), a.contextHistory(), a.contextRestore(), a.contextMounts())
	c.Long = contextHelp
	a.clientFlags(c.PersistentFlags())
	return c
}

// withBay makes a RunE of a function that wants a client.
func (a *app) withBay(f func(ctx context.Context, bay *agentbay.Client, args []string) error) func(*cobra.Command, []string) error {
	return withContext(func(ctx context.Context, args []string) error {
		bay, err := a.client()
		if err != nil {
			return err
		}
		return f(ctx, bay, args)
	})
}

// findContext looks a context up by its ID or its name.
func findContext(ctx context.Context, bay agentbay.ContextService, nameOrID string) (info *agentbay.ContextInfo, err error) {
	if strings.HasPrefix(nameOrID, "SdkCtx-") {
		info, err = bay.Context(ctx, agentbay.ContextID(nameOrID))
	}
	if info == nil && (err == nil || errors.Is(err, agentbay.NotFound)) {
		info, err = bay.ContextNamed(ctx, nameOrID, false)
	}
	if errors.Is(err, agentbay.NotFound) {
		return nil, hinted{err, "`agentbay context ls` shows what there is; `agentbay context create NAME` makes one"}
	}
	return info, err
}

// A place is a path of a context.
type place struct {
	context *agentbay.ContextInfo
	path    string
}

// isPlace reports whether an argument is CONTEXT:PATH.
func isPlace(arg string) bool { return strings.Contains(arg, ":") }

// findPlace looks up the context of CONTEXT:PATH.
func findPlace(ctx context.Context, bay agentbay.ContextService, arg string) (place, error) {
	name, path, ok := strings.Cut(arg, ":")
	if !ok || name == "" {
		return place{}, agentbay.Errorf(agentbay.Invalid, "%q is not CONTEXT:PATH, such as my-project:/tmp/data", arg)
	}
	if path == "" {
		path = "/"
	}
	info, err := findContext(ctx, bay, name)
	return place{info, path}, err
}

// A contextView is a context as it is printed.
type contextView struct {
	ID        agentbay.ContextID    `json:"id"`
	Name      string                `json:"name"`
	State     agentbay.ContextState `json:"state"`
	Files     int64                 `json:"files"`
	Bytes     int64                 `json:"bytes"`
	CreatedAt time.Time             `json:"created_at,omitzero"`
	UsedAt    time.Time             `json:"used_at,omitzero"`
}

func contextViewOf(c agentbay.ContextInfo) contextView {
	return contextView{c.ID, c.Name, c.State, c.Files, c.Bytes, c.CreatedAt, c.UsedAt}
}

func (a *app) contextList() *cobra.Command {
	var q agentbay.ContextQuery
	var session string
	c := &cobra.Command{
		Use:     "ls",
		Aliases: []string{"list"},
		Short:   "List contexts, newest first",
		Example: `  agentbay context ls
  agentbay context ls --session $id -o json | jq -r '.[].name'`,
		Args: cobra.NoArgs,
		RunE: a.withBay(func(ctx context.Context, bay *agentbay.Client, _ []string) error {
			q.Session = agentbay.SessionID(session)
			views, err := listContexts(ctx, bay, q)
			if err != nil {
				return err
			}
			return a.print(views, func(w *tabwriter.Writer) {
				fmt.Fprintln(w, "CONTEXT\tNAME\tFILES\tSIZE\tUSED")
				for _, v := range views {
					fmt.Fprintf(w, "%s\t%s\t%d\t%s\t%s\n", v.ID, plainText(v.Name), v.Files, sizeText(v.Bytes), timeText(v.UsedAt))
				}
			})
		}),
	}
	c.Flags().StringVar(&session, "session", "", "only contexts that this session mounts")
	c.Flags().IntVar(&q.Limit, "limit", 100, "at most this many")
	return c
}

// listContexts reads pages until there are q.Limit contexts or no more.
func listContexts(ctx context.Context, bay agentbay.ContextService, q agentbay.ContextQuery) ([]contextView, error) {
	views, left := []contextView{}, q.Limit
	for {
		q.Limit = min(left, 100)
		page, err := bay.Contexts(ctx, q)
		if err != nil {
			return nil, err
		}
		for _, c := range page.Contexts {
			views = append(views, contextViewOf(c))
		}
		left -= len(page.Contexts)
		if page.Next == "" || left <= 0 || len(page.Contexts) == 0 {
			return views, nil
		}
		q.Token = page.Next
	}
}

func (a *app) contextCreate() *cobra.Command {
	return &cobra.Command{
		Use:     "create NAME",
		Short:   "Make an empty context and print its ID",
		Example: `  agentbay context create my-project`,
		Args:    cobra.ExactArgs(1),
		RunE: a.withBay(func(ctx context.Context, bay *agentbay.Client, args []string) error {
			info, err := bay.CreateContext(ctx, args[0])
			if err != nil {
				return err
			}
			return a.print(contextViewOf(*info), func(w *tabwriter.Writer) { fmt.Fprintln(w, info.ID) })
		}),
	}
}

// describe prints what is known of a context.
func (a *app) describe(ctx context.Context, bay agentbay.ContextService, nameOrID string) error {
	info, err := findContext(ctx, bay, nameOrID)
	if err != nil {
		return err
	}
	return a.print(contextViewOf(*info), func(w *tabwriter.Writer) {
		fmt.Fprintf(w, "id\t%s\nname\t%s\nstate\t%s\n", info.ID, plainText(info.Name), info.State)
		fmt.Fprintf(w, "files\t%d\nsize\t%s\n", info.Files, sizeText(info.Bytes))
		fmt.Fprintf(w, "created\t%s\nused\t%s\n", timeText(info.CreatedAt), timeText(info.UsedAt))
	})
}

func (a *app) contextRename() *cobra.Command {
	return &cobra.Command{
		Use:     "rename CONTEXT NAME",
		Short:   "Give a context another name; its ID stays",
		Example: `  agentbay context rename my-project our-project`,
		Args:    cobra.ExactArgs(2),
		RunE: a.withBay(func(ctx context.Context, bay *agentbay.Client, args []string) error {
			info, err := findContext(ctx, bay, args[0])
			if err != nil {
				return err
			}
			if err := bay.RenameContext(ctx, info.ID, args[1]); err != nil {
				return err
			}
			a.sayf("%s is now %s", info.ID, plainText(args[1]))
			return nil
		}),
	}
}

func (a *app) contextRemove() *cobra.Command {
	return &cobra.Command{
		Use:     "rm CONTEXT[:PATH]...",
		Aliases: []string{"delete"},
		Short:   "Delete contexts with their history, or files and directories of them",
		Long: `Delete contexts, their files and their history; there is no way back. With a path only
that file or directory goes, and "agentbay context restore" brings it back.`,
		Example: `  agentbay context rm my-project
  agentbay context rm my-project:/tmp/data/old my-project:/tmp/data/a.txt`,
		Args: cobra.MinimumNArgs(1),
		RunE: a.withBay(func(ctx context.Context, bay *agentbay.Client, args []string) error {
			for _, arg := range args {
				if err := removeFrom(ctx, bay, arg); err != nil {
					return err
				}
				a.sayf("%s deleted", plainText(arg))
			}
			return nil
		}),
	}
}

// removeFrom deletes a context, or what is at a place.
func removeFrom(ctx context.Context, bay agentbay.ContextService, arg string) error {
	if !isPlace(arg) {
		info, err := findContext(ctx, bay, arg)
		if err != nil {
			return err
		}
		return bay.DeleteContext(ctx, info.ID)
	}
	at, err := findPlace(ctx, bay, arg)
	if err != nil {
		return err
	}
	if strings.Trim(at.path, "/") == "" {
		return agentbay.Errorf(agentbay.Invalid, "%q is all files of the context; `agentbay context clear` deletes them", arg)
	}
	return filesHint(bay.DeleteContextFile(ctx, at.context.ID, at.path))
}

// filesHint gives an error about a file a hint.
func filesHint(err error) error {
	if errors.Is(err, agentbay.NotFound) {
		return hinted{err, "`agentbay context files CONTEXT:PATH` shows what there is"}
	}
	return err
}

func (a *app) contextClear() *cobra.Command {
	return &cobra.Command{
		Use:     "clear CONTEXT...",
		Short:   "Delete all files of contexts and wait until they are gone",
		Long:    `Delete all files of contexts. Their history keeps them: "agentbay context restore" brings them back.`,
		Example: `  agentbay context clear my-project`,
		Args:    cobra.MinimumNArgs(1),
		RunE: a.withBay(func(ctx context.Context, bay *agentbay.Client, args []string) error {
			for _, arg := range args {
				if err := clearContext(ctx, bay, arg); err != nil {
					return err
				}
				a.sayf("%s cleared", plainText(arg))
			}
			return nil
		}),
	}
}

func clearContext(ctx context.Context, bay agentbay.ContextService, nameOrID string) error {
	info, err := findContext(ctx, bay, nameOrID)
	if err != nil {
		return err
	}
	if err := bay.ClearContext(ctx, info.ID); err != nil {
		return err
	}
	for wait := 20 * time.Millisecond; ; wait = min(2*wait, time.Second) {
		now, err := bay.Context(ctx, info.ID)
		if err != nil || now.State != agentbay.ContextClearing {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(wait):
		}
	}
}

// A snapshotView is a snapshot as it is printed.
type snapshotView struct {
	ID      string             `json:"id"`
	At      time.Time          `json:"at"`
	Reason  string             `json:"reason"`
	Session agentbay.SessionID `json:"session,omitempty"`
	Files   int64              `json:"files"`
	Bytes   int64              `json:"bytes"`
	Current bool               `json:"current,omitempty"`
}

func (a *app) contextHistory() *cobra.Command {
	return &cobra.Command{
		Use:   "history CONTEXT",
		Short: "List the states that a context had, newest first",
		Example: `  agentbay context history my-project
  agentbay context history my-project -o json | jq -r '.[1].id'`,
		Args: cobra.ExactArgs(1),
		RunE: a.withBay(func(ctx context.Context, bay *agentbay.Client, args []string) error {
			info, err := findContext(ctx, bay, args[0])
			if err != nil {
				return err
			}
			list, err := bay.Snapshots(ctx, info.ID)
			if err != nil {
				return err
			}
			views := []snapshotView{}
			for _, s := range list {
				views = append(views, snapshotView(s))
			}
			return a.print(views, func(w *tabwriter.Writer) { printHistory(w, views) })
		}),
	}
}

func printHistory(w *tabwriter.Writer, snapshots []snapshotView) {
	fmt.Fprintln(w, "SNAPSHOT\tAT\tFILES\tSIZE\tMADE BY")
	for _, s := range snapshots {
		by := s.Reason
		if s.Session != "" {
			by = string(s.Session)
		}
		if s.Current {
			by += " (current)"
		}
		fmt.Fprintf(w, "%s\t%s\t%d\t%s\t%s\n", s.ID, timeText(s.At), s.Files, sizeText(s.Bytes), by)
	}
}

func (a *app) contextRestore() *cobra.Command {
	return &cobra.Command{
		Use:   "restore CONTEXT SNAPSHOT",
		Short: "Make a context's files what they were in a snapshot",
		Long: `Make a context's files what they were in a snapshot. What they are now becomes a
snapshot as well. Running sessions go on seeing what they see.`,
		Example: `  agentbay context restore my-project $(agentbay context history my-project -o json | jq -r '.[1].id')`,
		Args:    cobra.ExactArgs(2),
		RunE: a.withBay(func(ctx context.Context, bay *agentbay.Client, args []string) error {
			info, err := findContext(ctx, bay, args[0])
			if err != nil {
				return err
			}
			err = bay.RestoreContext(ctx, info.ID, args[1])
			if errors.Is(err, agentbay.NotFound) {
				return hinted{err, "`agentbay context history CONTEXT` shows which snapshots it has"}
			}
			if err != nil {
				return err
			}
			a.sayf("%s restored", plainText(args[0]))
			return nil
		}),
	}
}

// A mountView is a mount as it is printed.
type mountView struct {
	Path    string             `json:"path"`
	Context agentbay.ContextID `json:"context"`
	Name    string             `json:"name,omitempty"`
	BoundAt time.Time          `json:"bound_at,omitzero"`
}

func (a *app) contextMounts() *cobra.Command {
	return &cobra.Command{
		Use:     "mounts SESSION",
		Short:   "List which contexts a session shows, and where",
		Example: `  agentbay context mounts $id`,
		Args:    cobra.ExactArgs(1),
		RunE: a.withBay(func(ctx context.Context, bay *agentbay.Client, args []string) error {
			mounts, err := bay.ContextMounts(ctx, agentbay.SessionID(args[0]))
			if err != nil {
				return err
			}
			views := []mountView{}
			for _, m := range mounts {
				views = append(views, mountView{m.Path, m.Context, m.Name, m.BoundAt})
			}
			return a.print(views, func(w *tabwriter.Writer) {
				fmt.Fprintln(w, "PATH\tCONTEXT\tNAME")
				for _, v := range views {
					fmt.Fprintf(w, "%s\t%s\t%s\n", plainText(v.Path), v.Context, plainText(v.Name))
				}
			})
		}),
	}
}

// plainText is s as a terminal can be shown it: names come from sessions, and
// may hold anything.
func plainText(s string) string {
	if quoted := strconv.Quote(s); strings.ContainsRune(quoted, '\\') {
		return quoted
	}
	return s
}

// sizeText is a number of bytes as people read it.
func sizeText(n int64) string {
	const units = "KMGTPE"
	if n < 1024 {
		return fmt.Sprintf("%d B", n)
	}
	size, unit := float64(n)/1024, 0
	for size >= 1023.95 && unit < len(units)-1 {
		size, unit = size/1024, unit+1
	}
	return fmt.Sprintf("%.1f %ciB", size, units[unit])
}

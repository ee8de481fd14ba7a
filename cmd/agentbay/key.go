package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/agentbay/agentbay"
	"github.com/agentbay/agentbay/internal/gate"
	"github.com/agentbay/agentbay/internal/store"
)

func (a *app) keyCommand() *cobra.Command {
	return group("apikey", "Make and manage API keys",
		a.keyCreate(), a.keyList(), a.keyModel(), a.keyUsage(), a.keySwitch("enable", "Let API keys in again", false),
		a.keySwitch("disable", "Turn API keys away, at once", true), a.keyRemove())
}

// withStore opens the store of the data directory for f. The server may be
// running on it.
func (a *app) withStore(ctx context.Context, f func(*store.Store) error) error {
	s, err := store.Open(ctx, a.data)
	if err != nil {
		return err
	}
	defer s.Close()
	return f(s)
}

// A keyView is an API key as it is printed.
type keyView struct {
	ID          string    `json:"id"`
	Name        string    `json:"name"`
	Key         string    `json:"key"` // all of it when it is made, else its beginning
	Disabled    bool      `json:"disabled"`
	MaxSessions int       `json:"max_sessions,omitempty"`
	MaxStorage  int64     `json:"max_storage,omitempty"`
	MaxTokens   int64     `json:"max_tokens,omitempty"`
	CreatedAt   time.Time `json:"created_at"`
	UsedAt      time.Time `json:"used_at,omitzero"`
}

func keyViewOf(k store.Key) keyView {
	return keyView{k.ID, k.Name, k.Visible, k.Disabled, k.MaxSessions, k.MaxStorage, k.MaxTokens, k.CreatedAt, k.UsedAt}
}

func (a *app) keyCreate() *cobra.Command {
	var quota store.Key
	c := &cobra.Command{
		Use:   "create NAME",
		Short: "Make an API key and print it; it cannot be shown again",
		Example: `  agentbay apikey create research
  export AGENTBAY_API_KEY=$(agentbay apikey create ci --session-quota 5 --max-storage 10GB)`,
		Args: cobra.ExactArgs(1),
		RunE: withContext(func(ctx context.Context, args []string) error {
			return a.withStore(ctx, func(s *store.Store) error {
				secret, k, err := newKey(ctx, s, args[0], quota)
				if err != nil {
					return err
				}
				v := keyViewOf(k)
				v.Key = secret
				return a.print(v, func(w *tabwriter.Writer) { fmt.Fprintln(w, secret) })
			})
		}),
	}
	c.Flags().IntVar(&quota.MaxSessions, "session-quota", 0, "how many sessions it may have at once (default what the server allows)")
	c.Flags().Var((*byteSize)(&quota.MaxStorage), "max-storage", "how much its contexts may hold, such as 10GB (default what the server allows)")
	c.Flags().Int64Var(&quota.MaxTokens, "max-tokens", 0, "how many tokens of the bay's model it may use a day, both ways (default what the server allows)")
	return c
}

// newKey makes a key with the limits of quota and returns its secret, which is
// kept nowhere.
func newKey(ctx context.Context, s *store.Store, name string, quota store.Key) (secret string, k store.Key, err error) {
	if strings.TrimSpace(name) == "" || len(name) > 128 || quota.MaxSessions < 0 || quota.MaxTokens < 0 {
		return "", k, agentbay.Errorf(agentbay.Invalid, "a key has a name of 1 to 128 bytes and a quota of at least 0")
	}
	secret = gate.NewKey()
	k = store.Key{
		ID: gate.NewKeyID(), Name: name, Hash: gate.Hash(secret), Visible: gate.Visible(secret),
		MaxSessions: quota.MaxSessions, MaxStorage: quota.MaxStorage, MaxTokens: quota.MaxTokens, CreatedAt: time.Now(),
	}
	return secret, k, s.AddKey(ctx, k)
}

func (a *app) keyList() *cobra.Command {
	return &cobra.Command{
		Use:     "ls",
		Aliases: []string{"list"},
		Short:   "List API keys, oldest first",
		Args:    cobra.NoArgs,
		RunE: withContext(func(ctx context.Context, _ []string) error {
			return a.withStore(ctx, func(s *store.Store) error {
				keys, err := s.Keys(ctx)
				if err != nil {
					return err
				}
				views := []keyView{}
				for _, k := range keys {
					views = append(views, keyViewOf(k))
				}
				return a.print(views, func(w *tabwriter.Writer) { printKeys(w, views) })
			})
		}),
	}
}

func printKeys(w *tabwriter.Writer, keys []keyView) {
	fmt.Fprintln(w, "ID\tNAME\tKEY\tSTATUS\tCREATED\tUSED")
	for _, k := range keys {
		status := "enabled"
		if k.Disabled {
			status = "disabled"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", k.ID, k.Name, k.Key, status, timeText(k.CreatedAt), timeText(k.UsedAt))
	}
}

func (a *app) keySwitch(verb, short string, disabled bool) *cobra.Command {
	return &cobra.Command{
		Use:     verb + " ID|NAME...",
		Short:   short,
		Example: "  agentbay apikey " + verb + " research",
		Args:    cobra.MinimumNArgs(1),
		RunE: withContext(func(ctx context.Context, args []string) error {
			return a.eachKey(ctx, args, verb+"d", func(s *store.Store, k store.Key) error {
				return s.DisableKey(ctx, k.ID, disabled)
			})
		}),
	}
}

func (a *app) keyRemove() *cobra.Command {
	var withContexts bool
	c := &cobra.Command{
		Use:     "rm ID|NAME...",
		Aliases: []string{"delete"},
		Short:   "Delete API keys; sessions they made stay until they are idle",
		Example: "  agentbay apikey rm research",
		Args:    cobra.MinimumNArgs(1),
		RunE: withContext(func(ctx context.Context, args []string) error {
			return a.eachKey(ctx, args, "deleted", func(s *store.Store, k store.Key) error {
				return removeKey(ctx, s, k, withContexts)
			})
		}),
	}
	c.Flags().BoolVar(&withContexts, "contexts", false, "delete what they keep in contexts as well")
	return c
}

// removeKey deletes a key, and its contexts only if that is meant: nobody else
// can reach them.
func removeKey(ctx context.Context, s *store.Store, k store.Key, withContexts bool) error {
	page, err := s.Contexts(ctx, k.ID, agentbay.ContextQuery{Limit: 1})
	if err != nil {
		return err
	}
	if page.Total > 0 && !withContexts {
		err := agentbay.Errorf(agentbay.Conflict, "API key %q keeps files in %d contexts, which nobody else can reach", k.Name, page.Total)
		return hinted{err, "--contexts deletes them with it; `agentbay apikey disable` turns the key away and keeps them"}
	}
	return s.DeleteKey(ctx, k.ID)
}

// eachKey does one thing to every key named.
func (a *app) eachKey(ctx context.Context, names []string, done string, do func(*store.Store, store.Key) error) error {
	return a.withStore(ctx, func(s *store.Store) error {
		for _, name := range names {
			k, err := s.Key(ctx, name)
			if err != nil {
				return err
			}
			if err := do(s, k); err != nil {
				return err
			}
			a.sayf("%s (%s) %s", k.ID, k.Name, done)
		}
		return nil
	})
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

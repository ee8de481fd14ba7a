package main

import (
	"context"
	"fmt"
	"os"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/agentbay/agentbay"
	"github.com/agentbay/agentbay/internal/store"
)

// A modelView is the model of an API key as it is printed.
type modelView struct {
	URL   string `json:"url,omitempty"` // empty if it is the bay's
	Model string `json:"model,omitempty"`
}

func (a *app) keyModel() *cobra.Command {
	var m store.KeyModel
	var bays bool
	c := &cobra.Command{
		Use:   "model ID|NAME",
		Short: "Give an API key a model of its own to work on pages, or show it",
		Long: "Give an API key a model of its own to work on pages, in place of the bay's. The key of the model's API is taken from " + llmKey +
			", and is kept in the bay's database. Without flags, show which model it is. A change is heeded by the next task.",
		Example: `  ` + llmKey + `=… agentbay apikey model research --llm-url https://api.openai.com/v1 --llm-model gpt-5-mini
  agentbay apikey model research --bay`,
		Args: cobra.ExactArgs(1),
		RunE: withContext(func(ctx context.Context, args []string) error {
			return a.withStore(ctx, func(s *store.Store) error {
				k, err := s.Key(ctx, args[0])
				switch {
				case err != nil:
					return err
				case !bays && m == store.KeyModel{}:
					return a.showModel(ctx, s, k)
				case bays && m != store.KeyModel{}:
					return agentbay.Errorf(agentbay.Invalid, "--bay takes the key's own model back, and goes without --llm-url and --llm-model")
				case bays:
					err = s.SetKeyModel(ctx, k.ID, m)
				default:
					err = setModel(ctx, s, k, m)
				}
				if err == nil {
					a.sayf("%s (%s) has its model", k.ID, k.Name)
				}
				return err
			})
		}),
	}
	c.Flags().StringVar(&m.URL, "llm-url", "", "base URL of an OpenAI-compatible API")
	c.Flags().StringVar(&m.Name, "llm-model", "", "name of the model there")
	c.Flags().BoolVar(&bays, "bay", false, "have the bay's model again")
	return c
}

func setModel(ctx context.Context, s *store.Store, k store.Key, m store.KeyModel) error {
	if err := checkModel(m.URL, m.Name); err != nil {
		return err
	}
	m.Secret = os.Getenv(llmKey)
	return s.SetKeyModel(ctx, k.ID, m)
}

func (a *app) showModel(ctx context.Context, s *store.Store, k store.Key) error {
	m, err := s.KeyModel(ctx, k.ID)
	if err != nil {
		return err
	}
	v := modelView{m.URL, m.Name}
	return a.print(v, func(w *tabwriter.Writer) {
		if v.URL == "" {
			fmt.Fprintln(w, "the bay's")
			return
		}
		fmt.Fprintf(w, "%s\t%s\n", v.Model, v.URL)
	})
}

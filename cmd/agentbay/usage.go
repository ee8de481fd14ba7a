package main

import (
	"context"
	"fmt"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/agentbay/agentbay"
	"github.com/agentbay/agentbay/internal/store"
)

// A usageView is use of the model as it is printed.
type usageView struct {
	Day       string             `json:"day"`
	Session   agentbay.SessionID `json:"session"`
	Requests  int64              `json:"requests"`
	TokensIn  int64              `json:"tokens_in"`
	TokensOut int64              `json:"tokens_out"`
}

func (a *app) keyUsage() *cobra.Command {
	return &cobra.Command{
		Use:     "usage ID|NAME",
		Short:   "Show what a key had the bay's model do, by day and session",
		Example: "  agentbay apikey usage research",
		Args:    cobra.ExactArgs(1),
		RunE: withContext(func(ctx context.Context, args []string) error {
			return a.withStore(ctx, func(s *store.Store) error {
				k, err := s.Key(ctx, args[0])
				if err != nil {
					return err
				}
				all, err := s.Usage(ctx, k.ID)
				if err != nil {
					return err
				}
				views := []usageView{}
				for _, u := range all {
					views = append(views, usageView{u.Day, u.Session, u.Requests, u.TokensIn, u.TokensOut})
				}
				return a.print(views, func(w *tabwriter.Writer) { printUsage(w, views) })
			})
		}),
	}
}

func printUsage(w *tabwriter.Writer, all []usageView) {
	var sum usageView
	fmt.Fprintln(w, "DAY\tSESSION\tREQUESTS\tTOKENS IN\tTOKENS OUT")
	for _, u := range all {
		fmt.Fprintf(w, "%s\t%s\t%d\t%d\t%d\n", u.Day, u.Session, u.Requests, u.TokensIn, u.TokensOut)
		sum.Requests, sum.TokensIn, sum.TokensOut = sum.Requests+u.Requests, sum.TokensIn+u.TokensIn, sum.TokensOut+u.TokensOut
	}
	fmt.Fprintf(w, "all\t\t%d\t%d\t%d\n", sum.Requests, sum.TokensIn, sum.TokensOut)
}

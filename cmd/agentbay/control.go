package main

import (
	"context"
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/agentbay/agentbay"
)

func (a *app) sessionView() *cobra.Command {
	var watchOnly, revoke bool
	c := &cobra.Command{
		Use:   "view ID",
		Short: "Print the address of a page that shows a session's screen",
		Long: `Print the address of a page that shows a session's screen, to be opened in any
browser. Whoever has the address can see the screen and use mouse and keyboard,
and take control, until the session ends; with --watch-only they can only see it.`,
		Example: `  agentbay session view session-04bdwfj9q2k1mzt7x5r8c3vn6h
  agentbay session view --watch-only session-04bdwfj9q2k1mzt7x5r8c3vn6h
  agentbay session view --revoke session-04bdwfj9q2k1mzt7x5r8c3vn6h`,
		Args: cobra.ExactArgs(1),
		RunE: a.withBay(func(ctx context.Context, bay *agentbay.Client, args []string) error {
			id := agentbay.SessionID(args[0])
			if revoke {
				if err := bay.RevokeViews(ctx, id); err != nil {
					return err
				}
			}
			url, err := bay.ViewLink(ctx, id, watchOnly)
			if err != nil {
				return err
			}
			return a.print(map[string]string{"url": url}, func(w *tabwriter.Writer) { fmt.Fprintln(w, url) })
		}),
	}
	c.Flags().BoolVar(&watchOnly, "watch-only", false, "the page only shows the screen")
	c.Flags().BoolVar(&revoke, "revoke", false, "make all earlier addresses useless before")
	return c
}

// A controlView is who is at a session's screen, as it is printed.
type controlView struct {
	Viewers int                     `json:"viewers"`
	Held    bool                    `json:"held"`
	Since   time.Time               `json:"since,omitzero"`
	Help    []agentbay.Help         `json:"help"`
	History []agentbay.ControlEvent `json:"history"`
}

func (a *app) sessionControl() *cobra.Command {
	return &cobra.Command{
		Use:     "control ID",
		Short:   "Show who is at a session's screen, and who had control of it",
		Example: "  agentbay session control session-04bdwfj9q2k1mzt7x5r8c3vn6h",
		Args:    cobra.ExactArgs(1),
		RunE: a.withBay(func(ctx context.Context, bay *agentbay.Client, args []string) error {
			c, err := bay.Control(ctx, agentbay.SessionID(args[0]))
			if err != nil {
				return err
			}
			return a.print(controlView(*c), func(w *tabwriter.Writer) { printControl(w, c) })
		}),
	}
}

func printControl(w *tabwriter.Writer, c *agentbay.Control) {
	who := "nobody"
	if c.Held {
		who = "a person, since " + c.Since.Local().Format(time.DateTime)
	}
	fmt.Fprintf(w, "in control\t%s\nviewers\t%d\n", who, c.Viewers)
	for _, h := range c.Help {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", h.ID, h.State, h.Message, h.Note)
	}
	for _, e := range c.History {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", e.At.Local().Format(time.DateTime), e.Kind, e.Address, e.Held.Round(time.Second), e.Note)
	}
}

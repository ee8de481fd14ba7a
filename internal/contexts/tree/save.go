package tree

import (
	"context"
	"iter"

	"github.com/agentbay/agentbay/internal/contexts"
)

// Save stores what a session wrote since the last time, and returns what that
// changes. Commit it like this:
//
//	changes, err := tree.Save(ctx, w, repo, t, p)
//	...
//	defer changes.Close()
//	root, totals, err := repo.Apply(ctx, w, head, changes.All())
//	... switch the head to root; if it has moved, apply to the new one
//	err = changes.Settled()
//
// A context's file becomes what the last finished save of it says. With
// Archive, that goes for all of it at once.
//
// Conflict: a file is being written to all the time; the message names it.
func Save(ctx context.Context, w *contexts.Writer, repo *contexts.Repo, t Tree, p *Progress) (*Changes, error) {
	return nil, errSoon
}

// Changes are what a session changed.
type Changes struct{}

// Len returns how many changes there are.
func (c *Changes) Len() int { return 0 }

// All yields the changes, as [contexts.Repo.Apply] takes them, as often as asked.
func (c *Changes) All() iter.Seq2[contexts.Change, error] { return nil }

// Settled remembers that the changes are committed: the next Save starts from
// here. If it is not called, the next Save finds them again.
func (c *Changes) Settled() error { return errSoon }

// Close removes what All and Settled need.
func (c *Changes) Close() error { return errSoon }

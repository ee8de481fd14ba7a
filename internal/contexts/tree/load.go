package tree

import (
	"context"

	"github.com/agentbay/agentbay"
	"github.com/agentbay/agentbay/internal/contexts"
)

var errSoon = agentbay.Errorf(agentbay.Unavailable, "not there yet")

// Load shows a session what is in root: at rel and below it, "" being all of
// the mount. Files that differ are replaced, each at once; what is not in root
// stays. The next [Save] does not take what was loaded for the session's.
//
// NotFound: there is nothing at rel.
func Load(ctx context.Context, repo *contexts.Repo, root contexts.Root, t Tree, rel string, p *Progress) error {
	return errSoon
}

package tree

import (
	"context"

	"github.com/agentbay/agentbay/internal/contexts"
)

// unpack unpacks archives in a layer. It returns how many bytes of the disk
// that took.
func (l layer) unpack(ctx context.Context, dir string, all []contexts.Entry) (int64, error) {
	return 0, errSoon
}

package mem

import (
	"testing"

	"github.com/agentbay/agentbay/internal/blob"
	"github.com/agentbay/agentbay/internal/blob/blobtest"
)

func TestStore(t *testing.T) {
	blobtest.Run(t, func(*testing.T) blob.Store { return new(Store) })
}

package contextstest_test

import (
	"testing"

	"github.com/agentbay/agentbay/internal/contexts"
	"github.com/agentbay/agentbay/internal/contexts/contextstest"
)

func TestIndex(t *testing.T) {
	contextstest.RunIndex(t, func(*testing.T) contexts.Index { return contextstest.NewIndex() })
}

package bay_test

import (
	"testing"

	"github.com/agentbay/agentbay"
	"github.com/agentbay/agentbay/internal/bay/baytest"
	"github.com/agentbay/agentbay/internal/bay/servicetest"
)

func TestBayIsService(t *testing.T) {
	servicetest.Run(t, func(t *testing.T) (mine, other agentbay.Service) {
		b := baytest.New(t)
		return b.Service(t, "mine"), b.Service(t, "other")
	})
}

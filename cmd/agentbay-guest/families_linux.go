package main

import (
	"github.com/agentbay/agentbay/internal/guest/code"
	"github.com/agentbay/agentbay/tool"
)

// addSystemFamilies adds the families of tools that only Linux has.
func addSystemFamilies(all map[tool.Family]family, c config) {
	kernels := code.New(code.Config{Dir: c.dir})
	all[tool.Code] = family{kernels.Register, func() { kernels.Warm(c.warm...) }}
}

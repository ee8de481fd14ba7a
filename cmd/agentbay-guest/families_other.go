//go:build !linux

package main

import "github.com/agentbay/agentbay/tool"

// addSystemFamilies adds nothing: code runs on Linux only.
func addSystemFamilies(map[tool.Family]family, config) {}

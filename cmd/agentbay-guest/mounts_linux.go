package main

import (
	"os"

	"github.com/agentbay/agentbay/internal/guest/mountpoint"
)

// runMounts shows mounts and ends the program, if that is what it was started for.
func runMounts(args []string) {
	if len(args) > 0 && args[0] == mountpoint.Command {
		os.Exit(mountpoint.Main(args[1:], os.Stdout))
	}
}

//go:build !linux

package guest

import "context"

// Reap does nothing: only Linux hands orphans to the session's first process.
func Reap(context.Context) {}

// tame does nothing: such limits are Linux's.
func tame(int, uint64) {}

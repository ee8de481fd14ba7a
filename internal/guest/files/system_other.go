//go:build !linux

package files

import (
	"context"
	"io/fs"
	"strings"
	"syscall"
)

// nonblock is nothing where named pipes are not files.
const nonblock = 0

// fold makes names equal that differ only in case, as they are here.
func fold(name string) string { return strings.ToLower(name) }

func detailsOf(_ string, info fs.FileInfo) details {
	return details{created: info.ModTime(), accessed: info.ModTime()}
}

// moveAcross is not done here.
func moveAcross(context.Context, string, string) error { return syscall.EXDEV }

// fileID is not known here.
func fileID(fs.FileInfo) uint64 { return 0 }

package oci

import (
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// mountRoot mounts the root file system where only the calling thread's mount
// namespace sees it. gVisor writes elsewhere, so it gets it read-only.
func (l *launch) mountRoot() error {
	layers := append([]string{l.path(topDir)}, l.spec.Layers...)
	if !l.rt.opt.Profile.kernel {
		return overlay(l.path(rootDir), layers, "", unix.MS_RDONLY)
	}
	if err := l.mountDisk(); err != nil {
		return err
	}
	upper, work := l.path(diskDir)+"/upper", l.path(diskDir)+"/work"
	for _, dir := range []string{upper, work} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			return err
		}
	}
	return overlay(l.path(rootDir), layers, ",upperdir="+escape(upper)+",workdir="+escape(work), 0)
}

// overlay mounts layers, topmost first, on one another.
func overlay(target string, layers []string, more string, flags uintptr) error {
	escaped := make([]string, len(layers))
	for i, l := range layers {
		escaped[i] = escape(l)
	}
	options := "lowerdir=" + strings.Join(escaped, ":") + more
	if len(options) >= os.Getpagesize() {
		return fmt.Errorf("%d layers have more path than a mount takes", len(layers))
	}
	return unix.Mount("overlay", target, "overlay", flags, options)
}

// escape writes a path as overlayfs reads it.
func escape(path string) string {
	return strings.NewReplacer(`\`, `\\`, ":", `\:`, ",", `\,`).Replace(path)
}

package oci

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// A stage is where a machine's mounts are made. On the host it is an empty
// directory; in each machine's mount namespace a tmpfs lies on it, so that all
// machines use the same paths and none sees another's. A session's root, who is
// nobody on the host, can get there whoever may enter the state directory.
const (
	stage       = "/run/agentbay"
	stageRoot   = stage + "/root"   // the root file system
	stageSys    = stage + "/sys"    // the machine's /sys
	stageGuest  = stage + "/guest"  // the guest's program
	stageLayers = stage + "/layers" // layers, with the machine's users
	stageHub    = stage + "/hub"    // where mounts reach a sandbox
)

// mountRoot mounts the root file system where only the calling thread's mount
// namespace sees it. gVisor writes elsewhere, so it gets it read-only.
func (l *launch) mountRoot() error {
	if err := l.setStage(); err != nil {
		return err
	}
	layers := append([]string{l.path(topDir)}, l.spec.Layers...)
	if !l.rt.opt.Profile.kernel {
		return errors.Join(l.mountHub(), overlay(stageRoot, layers, "", unix.MS_RDONLY))
	}
	layers, err := l.shift(layers)
	if err != nil {
		return err
	}
	if err := l.mountDisk(); err != nil {
		return err
	}
	upper, work := l.path(diskDir)+"/upper", l.path(diskDir)+"/work"
	for _, dir := range []string{upper, work} {
		if err := errors.Join(os.Mkdir(dir, 0o755), os.Chown(dir, l.hostRoot(), l.hostRoot())); err != nil {
			return err
		}
	}
	if err := overlay(stageRoot, layers, ",upperdir="+escape(upper)+",workdir="+escape(work), 0); err != nil {
		return err
	}
	return l.mountSys()
}

// setStage makes the places for the other mounts.
func (l *launch) setStage() error {
	if err := os.MkdirAll(stage, 0o755); err != nil {
		return err
	}
	if err := unix.Mount("tmpfs", stage, "tmpfs", 0, "mode=0755,size=64k"); err != nil {
		return err
	}
	for _, dir := range []string{stageRoot, stageSys, stageLayers, stageHub} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			return err
		}
	}
	if err := os.WriteFile(stageGuest, nil, 0o755); err != nil {
		return err
	}
	return unix.Mount(l.spec.Guest[0], stageGuest, "", unix.MS_BIND, "")
}

// mountHub mounts the directory in which the sandbox will find its mounts, where
// only the host can make anything.
func (l *launch) mountHub() error {
	if err := unix.Mount(l.path(hubDir), stageHub, "", unix.MS_BIND, ""); err != nil {
		return err
	}
	return unix.Mount("", stageHub, "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY|unix.MS_NOSUID|unix.MS_NODEV, "")
}

// hostRoot is who the machine's root is on the host.
func (l *launch) hostRoot() int {
	if l.slot.users == nil {
		return 0
	}
	return int(l.slot.users.base)
}

// shift mounts the layers with the machine's users, and returns where.
func (l *launch) shift(layers []string) ([]string, error) {
	if l.slot.users == nil {
		return layers, nil
	}
	shifted := make([]string, len(layers))
	for i, layer := range layers {
		shifted[i] = filepath.Join(stageLayers, strconv.Itoa(i))
		if err := os.Mkdir(shifted[i], 0o700); err != nil {
			return nil, err
		}
		if err := l.slot.users.idmap(layer, shifted[i]); err != nil {
			return nil, err
		}
	}
	return shifted, nil
}

// mountSys mounts a /sys that shows the machine's network, which its own root
// may not mount because the network namespace is the host's.
func (l *launch) mountSys() error {
	if err := unix.Setns(int(l.slot.netns.Fd()), unix.CLONE_NEWNET); err != nil {
		return err
	}
	return unix.Mount("sysfs", stageSys, "sysfs", unix.MS_RDONLY|unix.MS_NOSUID|unix.MS_NOEXEC|unix.MS_NODEV, "")
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

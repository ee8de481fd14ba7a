package oci

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/agentbay/agentbay"
	"github.com/agentbay/agentbay/internal/guest/mountpoint"
	"github.com/agentbay/agentbay/internal/runtime"
)

// How a mount gets into a machine that runs. The host stacks the layers and the
// machine's own directory with overlayfs, in contextsDir (see written.go). A
// clone of that mount is put into the mount namespace of whoever opens files for
// the machine. For a container that is the container, and the clone goes on its
// target at once. For gVisor it is the gofer: the clone appears below the hub, a
// directory that every machine has and nobody can write to, and a short command
// inside the sandbox binds it to its target.

// goodMount is what may become a directory's name.
var goodMount = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9-]{0,99}$`)

func checkMounts(mounts []runtime.Mount) error {
	var names []string
	for _, m := range mounts {
		if !goodMount.MatchString(m.Name) || slices.Contains(names, m.Name) {
			return agentbay.Errorf(agentbay.Invalid, "%q cannot be the name of a mount, or is one twice", m.Name)
		}
		names = append(names, m.Name)
		if err := mountpoint.Check(m.Target); err != nil {
			return err
		}
	}
	return nil
}

// Mount implements [runtime.Runtime].
func (r *Runtime) Mount(ctx context.Context, id agentbay.SessionID, mounts ...runtime.Mount) error {
	if err := checkMounts(mounts); err != nil {
		return err
	}
	m := r.find(id)
	if m == nil {
		return agentbay.Errorf(agentbay.NotFound, "machine %s is not running", id)
	}
	ctx, cancel := m.whileAlive(ctx)
	defer cancel()
	m.mountMu.Lock()
	defer m.mountMu.Unlock()
	err := m.mount(ctx, mounts)
	if !m.alive() {
		return agentbay.Errorf(agentbay.NotFound, "machine %s is not running", id)
	}
	return full(err, "the directories could not be mounted")
}

// whileAlive is ctx until the machine has ended.
func (m *machine) whileAlive(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		select {
		case <-m.done:
			cancel()
		case <-ctx.Done():
		}
	}()
	return ctx, cancel
}

// mount shows mounts in the machine, all or none. The order matters: a mount is
// on the ledger before it exists, and said to be shown when it is.
func (m *machine) mount(ctx context.Context, mounts []runtime.Mount) error {
	if !m.alive() || len(mounts) == 0 {
		return nil
	}
	view, err := m.openView()
	if err != nil {
		return err
	}
	defer view.close()
	stacks, err := m.begin(mounts, view)
	if err != nil {
		return err
	}
	if err := m.keepWritten(); err != nil {
		return err
	}
	for i, s := range stacks {
		if err := m.build(s, view); err != nil {
			return errors.Join(err, m.drop(stacks[:i+1]))
		}
	}
	if taken, err := m.rt.opt.Profile.show(ctx, m, view, stacks); err != nil {
		if !taken {
			err = errors.Join(err, m.drop(stacks))
		}
		return err
	}
	for _, s := range stacks {
		s.Shown = true
		if err := m.recordStack(s); err != nil {
			return err
		}
	}
	return nil
}

// tellLeft tells the operator of what a mount hides and does not have.
func (m *machine) tellLeft(left map[string]int) {
	for target, n := range left {
		m.rt.opt.Log.Warn("what the session's user may not read was not copied to a mount", "session", m.id, "target", target, "names", n)
	}
}

// begin puts mounts on the ledger. Those that were begun by a server that was
// killed are gone on with.
func (m *machine) begin(mounts []runtime.Mount, v *view) (stacks []*stack, err error) {
	for _, want := range mounts {
		was, err := m.stackOf(want.Name)
		if err != nil {
			return nil, err
		}
		if was != nil && was.Shown {
			return nil, agentbay.Errorf(agentbay.Conflict, "machine %s has a mount %q", m.id, want.Name)
		}
		if was != nil && (was.Target != want.Target || !slices.Equal(was.Layers, want.Layers)) {
			return nil, agentbay.Errorf(agentbay.Conflict, "machine %s has a mount %q that was begun with other layers or at %q", m.id, want.Name, was.Target)
		}
		stacks = append(stacks, &stack{
			Name: want.Name, Target: want.Target, Layers: want.Layers, Base: v.base(), dir: filepath.Join(m.contexts(), want.Name),
		})
	}
	for _, s := range stacks {
		if err := m.recordStack(s); err != nil {
			return nil, err
		}
	}
	return stacks, nil
}

// drop removes stacks that the machine does not show.
func (m *machine) drop(stacks []*stack) error {
	var errs []error
	for _, s := range stacks {
		if err := unmountAll(s.path(mergedDir)); err != nil {
			errs = append(errs, err)
			continue
		}
		errs = append(errs, os.RemoveAll(s.dir), m.forgetStack(s))
	}
	return errors.Join(errs...)
}

// build stacks the layers. What a killed server had built stays: the machine may
// have seen it.
func (m *machine) build(s *stack, v *view) error {
	if isMount(s.path(mergedDir)) {
		return nil
	}
	if err := os.RemoveAll(s.dir); err != nil {
		return err
	}
	for _, dir := range []string{s.dir, s.path(upperDir), s.path(workDir), s.path(mergedDir), s.path(emptyDir)} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			return err
		}
	}
	if err := m.dress(s); err != nil {
		return err
	}
	mount, err := overlayOf(s, v)
	if err != nil {
		return err
	}
	defer unix.Close(mount)
	return unix.MoveMount(mount, "", unix.AT_FDCWD, s.path(mergedDir), unix.MOVE_MOUNT_F_EMPTY_PATH)
}

// dress makes the mount's root the user's, with the mode it has in the layers.
func (m *machine) dress(s *stack) error {
	mode := os.FileMode(0o755)
	if len(s.Layers) > 0 {
		info, err := os.Stat(s.Layers[0])
		if err != nil {
			return err
		}
		mode = info.Mode()
	}
	upper := s.path(upperDir)
	return errors.Join(os.Chown(upper, int(m.rec.User.UID), int(m.rec.User.GID)), os.Chmod(upper, mode))
}

// overlayOptions let directories of the layers be renamed, as redirects, and
// make all else that is written plain to read: no file lacks its content.
// Nothing is synced to a disk that is not trusted after a power failure anyway.
const overlayOptions = ",redirect_dir=on,metacopy=off,index=off,volatile"

// overlayOf mounts a stack without a place. Layers, and what is written, are
// seen with the machine's users on a thread that alone has these mounts.
func overlayOf(s *stack, v *view) (mount int, err error) {
	err = onThread(func() error {
		if err := privateMounts(); err != nil {
			return err
		}
		if err := setLayerStage(); err != nil {
			return err
		}
		layers, err := stageAll(append([]string{s.dir}, s.Layers...), v.users)
		if err != nil {
			return err
		}
		own, lower := layers[0], layers[1:]
		if len(lower) == 0 {
			lower = []string{filepath.Join(own, emptyDir)}
		}
		more := ",upperdir=" + filepath.Join(own, upperDir) + ",workdir=" + filepath.Join(own, workDir) + overlayOptions
		// What overlayfs itself makes must be somebody's that the machine has.
		if err := actAs(v.base()); err != nil {
			return err
		}
		if err := overlay(stageRoot, lower, more, unix.MS_NOSUID|unix.MS_NODEV); err != nil {
			return fmt.Errorf("overlay: %w", err)
		}
		if err := writable(stageRoot); err != nil {
			return err
		}
		mount, err = cloneMount(stageRoot)
		return err
	})
	return mount, err
}

// writable is an error if an overlay is none that can be written to, which
// overlayfs does not call a failure.
func writable(path string) error {
	var st unix.Statfs_t
	if err := unix.Statfs(path, &st); err != nil {
		return err
	}
	if st.Flags&unix.ST_RDONLY != 0 {
		return errors.New("the kernel cannot write to the overlay; its log says why")
	}
	return nil
}

// setLayerStage makes the places for layers and the overlay above them.
func setLayerStage() error {
	if err := os.MkdirAll(stage, 0o755); err != nil {
		return err
	}
	if err := unix.Mount("tmpfs", stage, "tmpfs", 0, "mode=0755,size=64k"); err != nil {
		return err
	}
	return errors.Join(os.Mkdir(stageRoot, 0o755), os.Mkdir(stageLayers, 0o755))
}

// stageAll mounts directories below stageLayers, where their paths are short,
// and returns where.
func stageAll(dirs []string, users *userNS) (staged []string, err error) {
	for i, dir := range dirs {
		place := filepath.Join(stageLayers, strconv.Itoa(i))
		if err := os.Mkdir(place, 0o755); err != nil {
			return nil, err
		}
		if users == nil {
			err = unix.Mount(dir, place, "", unix.MS_BIND, "")
		} else {
			err = users.idmap(dir, place)
		}
		if err != nil {
			return nil, fmt.Errorf("layer %s: %w", dir, err)
		}
		staged = append(staged, place)
	}
	return staged, nil
}

// cloneMount returns a mount of what is mounted at path, without a place.
func cloneMount(path string) (int, error) {
	return unix.OpenTree(unix.AT_FDCWD, path, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)
}

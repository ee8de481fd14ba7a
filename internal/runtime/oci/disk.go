package oci

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Under a runtime that leaves files to the host's kernel, what a session writes
// goes to a file system of its own in a sparse file, so that it fills up at its
// limit and takes no room before. The file is attached to a loop device that
// the kernel frees with the last mount. A host that has no loop device to give
// lends its own file system instead, without a limit; Probe says so.

// A disk is an empty file system that is mounted nowhere yet. It is gone with
// the last who has it open or mounted, but for its file.
type disk struct {
	mount int    // what move_mount takes
	path  string // the file
	size  int64
}

// newDisk makes a disk in a file of its own.
func (r *Runtime) newDisk(path string, size int64) (*disk, error) {
	if err := r.copyTemplate(path, size); err != nil {
		return nil, err
	}
	device, err := attachLoop(path)
	if err != nil {
		return nil, fmt.Errorf("loop device: %w", err)
	}
	defer device.Close()
	mount, err := detachedMount(device.Name())
	if err != nil {
		return nil, fmt.Errorf("mount %s: %w", path, err)
	}
	return &disk{mount, path, size}, nil
}

// detachedMount mounts an ext4 file system without a place.
func detachedMount(device string) (int, error) {
	fs, err := unix.Fsopen("ext4", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return -1, err
	}
	defer unix.Close(fs)
	if err := unix.FsconfigSetString(fs, "source", device); err != nil {
		return -1, err
	}
	if err := unix.FsconfigSetFlag(fs, "discard"); err != nil {
		return -1, err
	}
	if err := unix.FsconfigCreate(fs); err != nil {
		return -1, err
	}
	return unix.Fsmount(fs, unix.FSMOUNT_CLOEXEC, unix.MOUNT_ATTR_NOATIME|unix.MOUNT_ATTR_NODEV)
}

// spareDisk makes a disk of the usual size before a machine needs it. Its file
// is on no ledger: Open removes those that nobody came for.
func (r *Runtime) spareDisk() (*disk, error) {
	return r.newDisk(filepath.Join(r.opt.StateDir, sparesDir, strconv.FormatInt(r.spares.Add(1), 10)), r.opt.Limits.Disk)
}

// ownDisk gives the machine a disk of its size: the one that was made with its
// slot, if it fits.
func (l *launch) ownDisk() error {
	if !l.rt.loops {
		return nil
	}
	path, spare := l.path(diskFile), l.slot.disk
	if spare != nil && spare.size == l.spec.Limits.Disk {
		return os.Rename(spare.path, path)
	}
	d, err := l.rt.newDisk(path, l.spec.Limits.Disk)
	if err != nil {
		return err
	}
	if spare != nil {
		unix.Close(spare.mount)
		os.Remove(spare.path)
	}
	l.slot.disk = d
	return nil
}

// mountDisk mounts what the machine writes to at diskDir.
func (l *launch) mountDisk() error {
	if !l.rt.loops {
		return nil
	}
	return unix.MoveMount(l.slot.disk.mount, "", unix.AT_FDCWD, l.path(diskDir), unix.MOVE_MOUNT_F_EMPTY_PATH)
}

// copyTemplate makes an empty file system of that size, by copying one that was
// made before.
func (r *Runtime) copyTemplate(path string, size int64) error {
	template, err := r.template(size)
	if err != nil {
		return err
	}
	from, err := os.Open(template)
	if err != nil {
		return err
	}
	defer from.Close()
	to, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	return errors.Join(copySparse(to, from), to.Close())
}

// template returns the path of an empty file system. It is made under another
// name first, so that one of the right name is whole.
func (r *Runtime) template(size int64) (string, error) {
	r.templateMu.Lock()
	defer r.templateMu.Unlock()
	path := filepath.Join(r.opt.StateDir, fmt.Sprintf("empty-%d.ext4", size))
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	fresh := path + ".new"
	if err := os.WriteFile(fresh, nil, 0o600); err != nil {
		return "", err
	}
	if err := os.Truncate(fresh, size); err != nil {
		return "", err
	}
	// No journal: nobody reads the file after a crash.
	out, err := exec.Command("mkfs.ext4", "-q", "-F", "-m", "0", "-O", "^has_journal,^resize_inode", "-E", "lazy_itable_init=1,nodiscard", fresh).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("mkfs.ext4: %w: %s", err, strings.TrimSpace(string(out)))
	}
	return path, os.Rename(fresh, path)
}

// copySparse copies what from holds, and leaves its holes holes.
func copySparse(to, from *os.File) error {
	info, err := from.Stat()
	if err != nil {
		return err
	}
	for at := int64(0); ; {
		data, err := from.Seek(at, unix.SEEK_DATA)
		if errors.Is(err, unix.ENXIO) {
			return to.Truncate(info.Size())
		}
		if err != nil {
			return err
		}
		end, err := from.Seek(data, unix.SEEK_HOLE)
		if err != nil {
			return err
		}
		if _, err := io.Copy(io.NewOffsetWriter(to, data), io.NewSectionReader(from, data, end-data)); err != nil {
			return err
		}
		at = end
	}
}

// attachLoop attaches a file to a loop device that is freed when the file
// returned is closed and nothing is mounted from it.
func attachLoop(path string) (*os.File, error) {
	image, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	defer image.Close()
	control, err := os.OpenFile("/dev/loop-control", os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	defer control.Close()
	for range 100 { // others may take the device that was free
		n, err := unix.IoctlRetInt(int(control.Fd()), unix.LOOP_CTL_GET_FREE)
		if err != nil {
			return nil, err
		}
		device, err := configureLoop(n, image)
		if !errors.Is(err, unix.EBUSY) {
			return device, err
		}
	}
	return nil, unix.EBUSY
}

// loopMajor is the kernel's number of loop devices.
const loopMajor = 7

func configureLoop(n int, image *os.File) (*os.File, error) {
	path := fmt.Sprintf("/dev/loop%d", n)
	device, err := os.OpenFile(path, os.O_RDWR, 0)
	if errors.Is(err, os.ErrNotExist) {
		// A host whose /dev the kernel does not fill.
		_ = unix.Mknod(path, unix.S_IFBLK|0o660, int(unix.Mkdev(loopMajor, uint32(n))))
		device, err = os.OpenFile(path, os.O_RDWR, 0)
	}
	if err != nil {
		return nil, err
	}
	config := unix.LoopConfig{Fd: uint32(image.Fd()), Info: unix.LoopInfo64{Flags: unix.LO_FLAGS_AUTOCLEAR}}
	if err := unix.IoctlLoopConfigure(int(device.Fd()), &config); err != nil {
		return nil, errors.Join(err, device.Close())
	}
	return device, nil
}

// hasLoops reports whether the host lends loop devices.
func hasLoops() bool {
	f, err := os.OpenFile("/dev/loop-control", os.O_RDWR, 0)
	if err != nil {
		return false
	}
	f.Close()
	_, err = exec.LookPath("mkfs.ext4")
	return err == nil
}

// diskUsed is what the machine has written, as its host stores it: in gVisor's
// unlinked file, which the sandbox holds open, or in the machine's file system.
func (m *machine) diskUsed() int64 {
	return m.rootUsed() + m.mountsUsed()
}

// rootUsed is what it has written to its root file system.
func (m *machine) rootUsed() int64 {
	if m.rt.opt.Profile.kernel {
		return m.written()
	}
	files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", m.rec.Pid))
	for _, f := range files {
		if target, err := os.Readlink(f); err == nil && strings.Contains(target, "runsc-filestore-") {
			return allocated(f)
		}
	}
	return 0
}

// written is what the machine's own file system holds, or, if it has none, the
// directory that stands in for it.
func (m *machine) written() int64 {
	if _, err := os.Stat(m.path(diskFile)); err == nil {
		var st unix.Statfs_t
		if unix.Statfs(fmt.Sprintf("/proc/%d/root", m.rec.Pid), &st) != nil {
			return 0
		}
		return int64(st.Blocks-st.Bfree) * st.Bsize
	}
	return allocatedBelow(m.path(diskDir))
}

// allocatedBelow is the room that a directory and all in it take, zero if it is
// not there.
func allocatedBelow(dir string) (sum int64) {
	filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
		var st unix.Stat_t
		if err == nil && unix.Lstat(path, &st) == nil {
			sum += st.Blocks * 512
		}
		return nil
	})
	return sum
}

// allocated is the room a file takes, zero if it is not there.
func allocated(path string) int64 {
	var st unix.Stat_t
	if unix.Stat(path, &st) != nil {
		return 0
	}
	return st.Blocks * 512
}

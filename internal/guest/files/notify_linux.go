package files

import (
	"bytes"
	"encoding/binary"
	"os"

	"golang.org/x/sys/unix"
)

// A notifier is told by the kernel (inotify) what happens in directories. Its
// methods are called by one goroutine at a time.
type notifier struct {
	fd      int
	file    *os.File
	dirs    map[int32]string // by watch descriptor
	watches map[string]int32
	root    int32
	buf     [64 << 10]byte
}

// interesting is what is asked of the kernel.
const interesting = unix.IN_CREATE | unix.IN_MOVED_TO | unix.IN_DELETE | unix.IN_MOVED_FROM | unix.IN_MODIFY |
	unix.IN_CLOSE_WRITE | unix.IN_DELETE_SELF | unix.IN_MOVE_SELF | unix.IN_ONLYDIR

// newNotifier calls wake, from a goroutine of its own, when there is something
// to read with each.
func newNotifier(wake func()) (*notifier, error) {
	fd, err := unix.InotifyInit1(unix.IN_NONBLOCK | unix.IN_CLOEXEC)
	if err != nil {
		return nil, err
	}
	n := &notifier{fd: fd, file: os.NewFile(uintptr(fd), "inotify"), dirs: map[int32]string{}, watches: map[string]int32{}}
	conn, err := n.file.SyscallConn()
	if err != nil {
		n.file.Close()
		return nil, err
	}
	go conn.Read(func(uintptr) bool { // until the file is closed
		wake()
		return false
	})
	return n, nil
}

// watch asks for what happens in a directory, which may be watched already.
func (n *notifier) watch(dir string, isRoot bool) error {
	mask := uint32(interesting)
	if !isRoot {
		mask |= unix.IN_DONT_FOLLOW
	}
	wd, err := unix.InotifyAddWatch(n.fd, dir, mask)
	if err != nil {
		return err
	}
	n.dirs[int32(wd)], n.watches[dir] = dir, int32(wd)
	if isRoot {
		n.root = int32(wd)
	}
	return nil
}

// unwatch forgets a directory. Its watch may go on under another name.
func (n *notifier) unwatch(dir string) {
	wd, ok := n.watches[dir]
	if !ok {
		return
	}
	delete(n.watches, dir)
	if n.dirs[wd] == dir {
		delete(n.dirs, wd)
		unix.InotifyRmWatch(n.fd, uint32(wd)) // fails if the directory is gone
	}
}

// each calls happened for everything the kernel has told since the last time.
// It reports whether that is all that happened.
func (n *notifier) each(happened func(happening)) (all bool) {
	all = true
	for n.fd >= 0 {
		size, err := unix.Read(n.fd, n.buf[:])
		if err == unix.EINTR {
			continue
		}
		if err != nil || size <= 0 {
			return all
		}
		for _, e := range parse(n.buf[:size]) {
			all = n.tell(e, happened) && all
		}
	}
	return all
}

// An inEvent is one inotify_event.
type inEvent struct {
	wd   int32
	mask uint32
	name string
}

// parse reads what the kernel wrote.
func parse(b []byte) (events []inEvent) {
	for len(b) >= unix.SizeofInotifyEvent {
		e := inEvent{wd: int32(binary.NativeEndian.Uint32(b)), mask: binary.NativeEndian.Uint32(b[4:])}
		size := int(binary.NativeEndian.Uint32(b[12:]))
		b = b[unix.SizeofInotifyEvent:]
		if size < 0 || size > len(b) {
			return events
		}
		name, _, _ := bytes.Cut(b[:size], []byte{0})
		e.name = string(name)
		b = b[size:]
		events = append(events, e)
	}
	return events
}

// kinds is what each event of the kernel means here.
var kinds = []struct {
	mask uint32
	what happeningKind
}{
	{unix.IN_CREATE | unix.IN_MOVED_TO, appeared},
	{unix.IN_DELETE | unix.IN_MOVED_FROM, disappeared},
	{unix.IN_MODIFY, written},
	{unix.IN_CLOSE_WRITE, closed},
}

// tell passes one event on; it reports false if the kernel lost some.
func (n *notifier) tell(e inEvent, happened func(happening)) (all bool) {
	if e.mask&unix.IN_Q_OVERFLOW != 0 {
		return false
	}
	dir, ok := n.dirs[e.wd]
	switch {
	case !ok:
		return true // of a directory that was moved away
	case e.mask&unix.IN_IGNORED != 0:
		delete(n.dirs, e.wd)
		return true
	case e.mask&(unix.IN_DELETE_SELF|unix.IN_MOVE_SELF) != 0:
		if e.wd == n.root {
			happened(happening{what: rootGone, dir: dir})
		}
		return true
	case e.name == "":
		return true
	}
	for _, k := range kinds {
		if e.mask&k.mask != 0 {
			happened(happening{k.what, dir, e.name, e.mask&unix.IN_ISDIR != 0})
		}
	}
	return true
}

// close ends the notifier. It does not wait for a wake that may be under way,
// and may wait for who closes.
func (n *notifier) close() {
	n.fd = -1
	go n.file.Close()
}

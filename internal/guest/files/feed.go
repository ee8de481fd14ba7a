package files

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/agentbay/agentbay/internal/guest"
	"github.com/agentbay/agentbay/tool"
)

// maxWatched is how many files and directories one feed may know.
const maxWatched = 500_000

// settled is how long a file that was written to, and is still open, must have
// been left alone to count as changed.
const settled = 200 * time.Millisecond

// overdue is how long a file can go on being written to before that is reported.
const overdue = 5 * time.Second

// scanEvery is how often to look where the system does not tell of changes.
const scanEvery = 500 * time.Millisecond

// A feed is what happens below one directory. Each event goes to every
// subscriber there is, or else waits for the next take.
//
// The kernel tells of changes through a notifier. What a feed knows of the
// directory besides lets it find out by itself, by looking, when the kernel had
// too much to tell or cannot tell at all.
type feed struct {
	root string

	mu      sync.Mutex
	notify  *notifier        // nil if the kernel does not tell; guarded by mu
	known   map[string]stamp // what is there; guarded by mu
	inside  map[string]int   // of how much that is known a directory is the parent; guarded by mu
	unsure  map[string]span  // files written to and not yet reported; guarded by mu
	waiting queue            // for the next take; guarded by mu
	subs    []*subscriber    // guarded by mu
	asked   time.Time        // last use; guarded by mu
	timer   *time.Timer      // looks again at what is unsure, or at everything; guarded by mu
	err     error            // why the feed has ended; guarded by mu
}

// A stamp tells whether a file is still as it was.
type stamp struct {
	isDir    bool
	size     int64
	modified int64 // nanoseconds
	id       uint64
}

// A span is when a file was first and last written to.
type span struct{ first, last time.Time }

// A subscriber is sent events as they happen.
type subscriber struct {
	queue           // guarded by the feed's mu
	some  chan bool // filled when queue is not empty
}

// newFeed begins a feed; what there is now is its mark.
func newFeed(root string) (*feed, error) {
	info, err := os.Stat(root)
	if err == nil && !info.IsDir() {
		err = syscall.ENOTDIR
	}
	if err != nil {
		return nil, failed("watch", root, err)
	}
	d := &feed{root: root, known: map[string]stamp{}, inside: map[string]int{}, unsure: map[string]span{}, asked: time.Now()}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.timer = time.AfterFunc(time.Hour, d.tick)
	d.timer.Stop()
	if d.notify, err = newNotifier(d.wake); err != nil {
		d.notify = nil
	}
	d.lookLocked(root, func(string, stamp) {})
	if d.err != nil {
		d.closeLocked()
		return nil, d.err
	}
	d.setTimerLocked()
	return d, nil
}

// lookLocked takes note of all that is in a directory and below it and is not
// known, and of its changes from now on.
func (d *feed) lookLocked(dir string, found func(path string, s stamp)) {
	d.watchLocked(dir) // before looking, so that nothing falls between
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		if _, ok := d.known[path]; !ok {
			d.noteLocked(path, found)
		}
	}
}

// noteLocked takes note of one path that is not known, and all below it.
func (d *feed) noteLocked(path string, found func(string, stamp)) {
	info, err := os.Lstat(path)
	if err != nil {
		return // it is gone again
	}
	s := stampOf(info)
	if !d.addLocked(path, s) {
		return
	}
	found(path, s)
	if s.isDir {
		d.lookLocked(path, found)
	}
}

// addLocked makes a path known, unless there are too many.
func (d *feed) addLocked(path string, s stamp) bool {
	if d.err == nil && len(d.known) >= maxWatched {
		d.err = guest.Failf(guest.Unsuccessful, "more than %d files are below %s; watch a directory with fewer", maxWatched, d.root)
	}
	if d.err != nil {
		return false
	}
	d.known[path] = s
	d.inside[filepath.Dir(path)]++
	return true
}

func stampOf(info fs.FileInfo) stamp {
	return stamp{info.IsDir(), info.Size(), info.ModTime().UnixNano(), fileID(info)}
}

// watchLocked asks the kernel for the changes in one directory. If it has no
// room for more, the feed looks by itself from now on.
func (d *feed) watchLocked(dir string) {
	if d.notify == nil {
		return
	}
	err := d.notify.watch(dir, dir == d.root)
	if err == nil || errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) || errors.Is(err, fs.ErrPermission) {
		return
	}
	d.stopNotifyLocked()
	d.setTimerLocked()
}

// wake is called when the kernel has something to tell.
func (d *feed) wake() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.catchUpLocked()
}

// tick is called when it is time to look.
func (d *feed) tick() { d.wake() }

// catchUpLocked brings the feed up to now.
func (d *feed) catchUpLocked() {
	if d.err != nil {
		return
	}
	if d.notify == nil {
		d.rescanLocked()
	} else if !d.notify.each(d.happenedLocked) {
		d.rescanLocked()
	}
	d.settleLocked(time.Now())
	d.setTimerLocked()
}

// A happening is one thing that the kernel told.
type happening struct {
	what  happeningKind
	dir   string // where
	name  string // of what; empty for dir itself
	isDir bool   // what it is
}

type happeningKind int

const (
	appeared    happeningKind = iota // made, or moved here
	disappeared                      // deleted, or moved away
	written                          // and perhaps still being written
	closed                           // by who could write
	rootGone
)

// happenedLocked takes note of what the kernel told.
func (d *feed) happenedLocked(h happening) {
	path := filepath.Join(h.dir, h.name)
	switch h.what {
	case appeared:
		d.appearedLocked(path, h.isDir)
	case disappeared:
		d.disappearedLocked(path)
	case written:
		if _, ok := d.known[path]; ok {
			d.writtenLocked(path)
		}
	case closed:
		if _, ok := d.unsure[path]; ok {
			d.modifiedLocked(path)
		}
	case rootGone: // only by looking can it be seen to come back
		d.stopNotifyLocked()
		d.rescanLocked()
	}
}

// writtenLocked takes note that a file was written to.
func (d *feed) writtenLocked(path string) {
	now := time.Now()
	s, ok := d.unsure[path]
	if !ok {
		s.first = now
	}
	s.last = now
	d.unsure[path] = s
}

// appearedLocked reports what is new. A file that takes the place of another
// is a change of that file.
func (d *feed) appearedLocked(path string, isDir bool) {
	old, known := d.known[path]
	info, err := os.Lstat(path)
	switch {
	case known && err == nil && !old.isDir && stampOf(info) != old:
		d.modifiedLocked(path)
	case !known && err == nil:
		d.noteLocked(path, func(p string, s stamp) { d.foundLocked(p, s, p != path) })
	case !known && d.addLocked(path, stamp{isDir: isDir}): // that it is gone again will be told
		d.foundLocked(path, stamp{isDir: isDir}, false)
	}
}

// foundLocked reports a path that is new. What a file holds that was found by
// looking was written unseen; of others the kernel tells.
func (d *feed) foundLocked(path string, s stamp, byLooking bool) {
	d.emitLocked(created, path, s.isDir)
	if byLooking && !s.isDir && s.size > 0 {
		d.writtenLocked(path)
	}
}

// disappearedLocked reports what is gone, the innermost first.
func (d *feed) disappearedLocked(path string) {
	s, ok := d.known[path]
	if !ok {
		return
	}
	if d.inside[path] > 0 {
		d.disappearedBelowLocked(path)
	}
	d.goneLocked(path, s)
}

// goneLocked reports that a path with nothing below it is gone.
func (d *feed) goneLocked(path string, s stamp) {
	if s.isDir && d.notify != nil {
		d.notify.unwatch(path)
	}
	delete(d.known, path)
	delete(d.unsure, path)
	if dir := filepath.Dir(path); d.inside[dir] > 1 {
		d.inside[dir]--
	} else {
		delete(d.inside, dir)
	}
	d.emitLocked(deleted, path, s.isDir)
}

func (d *feed) disappearedBelowLocked(dir string) {
	var below []string
	for path := range d.known {
		if strings.HasPrefix(path, dir+string(filepath.Separator)) {
			below = append(below, path)
		}
	}
	slices.Sort(below)
	for _, path := range slices.Backward(below) {
		d.goneLocked(path, d.known[path])
	}
}

// modifiedLocked reports that a file was written to.
func (d *feed) modifiedLocked(path string) {
	delete(d.unsure, path)
	if info, err := os.Lstat(path); err == nil {
		d.known[path] = stampOf(info)
	}
	d.emitLocked(modified, path, false)
}

// settleLocked reports files that were written to and then left alone.
func (d *feed) settleLocked(now time.Time) {
	for path, s := range d.unsure {
		if now.Sub(s.last) >= settled || now.Sub(s.first) >= overdue {
			d.modifiedLocked(path)
		}
	}
}

// rescanLocked finds out by looking what changed.
func (d *feed) rescanLocked() {
	for _, path := range d.knownInOrder() {
		old, ok := d.known[path]
		if !ok {
			continue // it went with its directory
		}
		info, err := os.Lstat(path)
		if err != nil || info.IsDir() != old.isDir {
			d.disappearedLocked(path)
			continue
		}
		if now := stampOf(info); !old.isDir && now != old {
			d.modifiedLocked(path)
		}
	}
	found := func(path string, s stamp) { d.foundLocked(path, s, true) }
	for _, dir := range append([]string{d.root}, d.knownInOrder()...) {
		if dir == d.root || d.known[dir].isDir {
			d.lookLocked(dir, found)
		}
	}
}

func (d *feed) knownInOrder() []string {
	paths := make([]string, 0, len(d.known))
	for path := range d.known {
		paths = append(paths, path)
	}
	slices.Sort(paths)
	return paths
}

// setTimerLocked sets when to look next without being told to.
func (d *feed) setTimerLocked() {
	switch {
	case d.err != nil:
	case len(d.unsure) > 0:
		d.timer.Reset(settled)
	case d.notify == nil && len(d.subs) > 0:
		d.timer.Reset(scanEvery)
	}
}

// emitLocked passes an event on.
func (d *feed) emitLocked(what, path string, isDir bool) {
	e := event(what, path, isDir)
	if len(d.subs) == 0 {
		d.waiting.add(e)
		return
	}
	for _, s := range d.subs {
		s.add(e)
		s.signal()
	}
}

func (s *subscriber) signal() {
	select {
	case s.some <- true:
	default:
	}
}

// take returns what happened since the last take and was not pushed.
func (d *feed) take() ([]tool.FileEvent, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.catchUpLocked()
	events := d.waiting.takeAll()
	if len(events) == 0 && d.err != nil {
		return nil, d.err
	}
	if events == nil {
		events = []tool.FileEvent{}
	}
	return events, nil
}

// putBack keeps events that did not reach who took them.
func (d *feed) putBack(events []tool.FileEvent) {
	d.mu.Lock()
	defer d.mu.Unlock()
	later := d.waiting.takeAll()
	d.waiting.add(events...)
	d.waiting.add(later...)
}

// subscribe sends a subscriber what happens from now on.
func (d *feed) subscribe() *subscriber {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.catchUpLocked()
	s := &subscriber{some: make(chan bool, 1)}
	if d.err != nil {
		s.signal() // push says why
	}
	d.subs = append(d.subs, s)
	d.setTimerLocked()
	return s
}

// unsubscribe ends a subscription. What nobody was sent waits for the next take.
func (d *feed) unsubscribe(s *subscriber) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.asked = time.Now()
	d.subs = slices.DeleteFunc(d.subs, func(other *subscriber) bool { return other == s })
	if len(d.subs) == 0 {
		d.waiting.add(s.takeAll()...)
	}
}

// push sends a subscriber what has gathered for it.
func (d *feed) push(s *subscriber, emit func(any) error) error {
	for {
		batch, err := d.batch(s)
		if len(batch) == 0 {
			return err
		}
		if err := emit(batch); err != nil {
			d.unsend(s, batch)
			return err
		}
	}
}

func (d *feed) batch(s *subscriber) ([]tool.FileEvent, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return s.takeSome(), d.err
}

// unsend gives a subscriber back what could not be sent.
func (d *feed) unsend(s *subscriber, batch []tool.FileEvent) {
	d.mu.Lock()
	defer d.mu.Unlock()
	later := s.takeAll()
	s.add(batch...)
	s.add(later...)
}

func (d *feed) touch() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.asked = time.Now()
}

// idle is how long nobody has asked for the feed.
func (d *feed) idle() time.Duration {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.subs) > 0 {
		return 0
	}
	return time.Since(d.asked)
}

func (d *feed) close() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.err == nil {
		d.err = guest.Failf(guest.Unsuccessful, "%s is not watched any more", brief(d.root))
	}
	d.closeLocked()
	for _, s := range d.subs {
		s.signal()
	}
}

func (d *feed) closeLocked() {
	d.timer.Stop()
	d.stopNotifyLocked()
}

// stopNotifyLocked makes the feed look by itself.
func (d *feed) stopNotifyLocked() {
	if d.notify != nil {
		d.notify.close()
		d.notify = nil
	}
}

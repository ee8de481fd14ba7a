package files

import (
	"context"
	"io"
	"time"

	"github.com/agentbay/agentbay/internal/guest"
	"github.com/agentbay/agentbay/tool"
)

// maxFeeds is how many directories a session can watch at once.
const maxFeeds = 64

// abandoned is how long a feed that nobody asks is kept when there is no room
// for another.
const abandoned = 10 * time.Minute

// maxBatch is how many bytes of events are pushed at a time: a message that
// every client takes.
const maxBatch = 512 << 10

// changes answers with what happened since the last call.
func (f *Files) changes(_ context.Context, in tool.PathIn) (guest.Answer, error) {
	d, err := f.feed(in.Path)
	if err != nil {
		return guest.Answer{}, err
	}
	events, err := d.take()
	if err != nil {
		f.forget(d)
		return guest.Answer{}, err
	}
	return guest.Stream(func(w io.Writer) error {
		err := guest.SendJSON(w, events)
		if err != nil {
			d.putBack(events)
		}
		return err
	}), nil
}

// pushChanges emits what happens from now on, after an empty batch that says
// that it will. What happened before is for the next call.
func (f *Files) pushChanges(ctx context.Context, in tool.PathIn, emit func(any) error) error {
	d, err := f.feed(in.Path)
	if err != nil {
		return err
	}
	s := d.subscribe()
	defer d.unsubscribe(s)
	if err := emit([]tool.FileEvent{}); err != nil {
		return err
	}
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-s.some:
		}
		if err := d.push(s, emit); err != nil {
			return err
		}
	}
}

// feed is the feed of a directory. The first to ask for it sets its mark.
func (f *Files) feed(path string) (d *feed, err error) {
	root, err := absolute(path)
	if err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if d, ok := f.feeds[root]; ok {
		d.touch()
		return d, nil
	}
	if err := f.makeRoomLocked(); err != nil {
		return nil, err
	}
	d, err = newFeed(root)
	if err != nil {
		return nil, err
	}
	if f.feeds == nil {
		f.feeds = map[string]*feed{}
	}
	f.feeds[root] = d
	return d, nil
}

// makeRoomLocked ends the feed that was not asked for the longest, if there is
// no room for another.
func (f *Files) makeRoomLocked() error {
	if len(f.feeds) < maxFeeds {
		return nil
	}
	var oldest *feed
	for _, d := range f.feeds {
		if oldest == nil || d.idle() > oldest.idle() {
			oldest = d
		}
	}
	if oldest.idle() < abandoned {
		return guest.Failf(guest.Unsuccessful, "%d directories are watched already; watch one above them", maxFeeds)
	}
	delete(f.feeds, oldest.root)
	oldest.close()
	return nil
}

// forget ends a feed; the next call begins a new one.
func (f *Files) forget(d *feed) {
	f.mu.Lock()
	if f.feeds[d.root] == d {
		delete(f.feeds, d.root)
	}
	f.mu.Unlock()
	d.close()
}

// Close ends all feeds.
func (f *Files) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, d := range f.feeds {
		d.close()
	}
	f.feeds = nil
	return nil
}

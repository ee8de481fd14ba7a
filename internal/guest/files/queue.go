package files

import (
	"slices"

	"github.com/agentbay/agentbay/tool"
)

// A queue is events in the order in which they happened. It grows with the
// number of files that changed, not with the number of changes: when it gets
// long, what happened to each path is summed up.
type queue struct {
	events []tool.FileEvent
	limit  int // length at which to sum up; 0 means longQueue
}

// longQueue is a number of events that clients still take as they are.
const longQueue = 20_000

func (q *queue) add(events ...tool.FileEvent) {
	q.events = append(q.events, events...)
	if len(q.events) > max(q.limit, longQueue) {
		q.events = sumUp(q.events)
		q.limit = 2 * len(q.events)
	}
}

// takeSome removes events from the front, about maxBatch bytes of JSON.
func (q *queue) takeSome() []tool.FileEvent {
	size, n := 0, 0
	for n < len(q.events) && (n == 0 || size < maxBatch) {
		size += 100 + 2*len(q.events[n].Path)
		n++
	}
	some := slices.Clone(q.events[:n])
	q.events = slices.Delete(q.events, 0, n)
	return some
}

// takeAll removes all events.
func (q *queue) takeAll() []tool.FileEvent {
	all := q.events
	*q = queue{}
	return all
}

// A sum is what happened to a path in all.
type sum struct {
	first, last   tool.FileEvent
	deleted       bool // at any time
	modifiedSince bool // after it was made, or at all
}

// sumUp leaves of the events of each path what leads to the same end.
func sumUp(events []tool.FileEvent) []tool.FileEvent {
	sums := map[string]*sum{}
	var order []string
	for _, e := range events {
		s, ok := sums[e.Path]
		if !ok {
			s = &sum{first: e}
			sums[e.Path] = s
			order = append(order, e.Path)
		}
		s.add(e)
	}
	var short []tool.FileEvent
	for _, path := range order {
		short = append(short, sums[path].events()...)
	}
	return short
}

func (s *sum) add(e tool.FileEvent) {
	s.last = e
	s.deleted = s.deleted || e.EventType == deleted
	s.modifiedSince = e.EventType == modified || s.modifiedSince && e.EventType != created
}

func (s *sum) events() (list []tool.FileEvent) {
	had, has := s.first.EventType != created, s.last.EventType != deleted
	as := func(what string) { list = append(list, event(what, s.last.Path, s.last.PathType == directory)) }
	if had && (s.deleted || !has) {
		list = append(list, event(deleted, s.first.Path, s.first.PathType == directory))
	}
	if has && (!had || s.deleted) {
		as(created)
	}
	if has && s.modifiedSince {
		as(modified)
	}
	return list
}

// The words of events.
const (
	created   = "create"
	modified  = "modify"
	deleted   = "delete"
	directory = "directory"
	file      = "file"
)

func event(what, path string, isDir bool) tool.FileEvent {
	kind := file
	if isDir {
		kind = directory
	}
	return tool.FileEvent{EventType: what, Path: path, PathType: kind}
}

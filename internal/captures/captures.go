// Package captures keeps what was taken of the screens of sessions: pictures and
// recordings. They outlive their sessions for a while, and are bounded: the
// oldest of a session give way to new ones.
//
// A capture is a file DIR/SESSION/NAME. A picture appears by one rename, so there
// is no half of one after a crash; a recording is there from its first second on.
package captures

import (
	"cmp"
	"crypto/rand"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/agentbay/agentbay"
)

// A Store is a directory of captures. Its fields are set before it is used.
type Store struct {
	Dir  string
	Keep time.Duration // how long a capture is kept; 0 means 24 h
	Max  int64         // bytes of one session's captures; 0 means 1 GiB

	mu sync.Mutex // held while captures are removed
}

// Lifetime is how long a capture is kept.
func (s *Store) Lifetime() time.Duration { return cmp.Or(s.Keep, 24*time.Hour) }

// Most is how many bytes of captures are kept of one session.
func (s *Store) Most() int64 { return cmp.Or(s.Max, 1<<30) }

var (
	sessionForm = regexp.MustCompile(`^session-[a-z0-9]{1,64}$`)
	nameForm    = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]{0,99}$`)
)

// named reports whether a session and a file of it can have these names.
func named(session, name string) bool {
	return sessionForm.MatchString(session) && nameForm.MatchString(name)
}

// halfMade is how files begin that are being written.
const halfMade = ".new-"

// Put keeps what r has as a capture of a session, and returns its name, which
// ends in the suffix.
//
// Exhausted: it is larger than all captures of a session may be.
func (s *Store) Put(session, kind, suffix string, r io.Reader) (name string, err error) {
	dir, name, err := s.place(session, kind, suffix)
	if err != nil {
		return "", err
	}
	f, err := os.CreateTemp(dir, halfMade+"*")
	if err != nil {
		return "", kept(err)
	}
	defer os.Remove(f.Name())
	defer f.Close()
	most := s.Most()
	n, err := io.Copy(f, io.LimitReader(r, most+1))
	if err != nil {
		return "", kept(err)
	}
	if n > most {
		return "", agentbay.Errorf(agentbay.Exhausted, "the capture is larger than %d bytes, which is all that is kept of a session", most)
	}
	if err := f.Close(); err != nil {
		return "", kept(err)
	}
	if err := os.Rename(f.Name(), filepath.Join(dir, name)); err != nil {
		return "", kept(err)
	}
	return name, s.Bound(session)
}

// Create makes a capture that can be had while it is written, and after a crash
// is what was written until then. Who has written it calls Bound.
func (s *Store) Create(session, kind, suffix string) (*os.File, error) {
	dir, name, err := s.place(session, kind, suffix)
	if err != nil {
		return nil, err
	}
	f, err := os.OpenFile(filepath.Join(dir, name), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, kept(err)
	}
	return f, nil
}

// Append opens a capture that Create made, to be written further.
func (s *Store) Append(session, name string) (*os.File, error) {
	if !named(session, name) {
		return nil, agentbay.Errorf(agentbay.Invalid, "%q is no name of a capture", session+"/"+name)
	}
	f, err := os.OpenFile(filepath.Join(s.Dir, session, name), os.O_RDWR, 0)
	if err != nil {
		return nil, kept(err)
	}
	return f, nil
}

// place makes a name for a capture, and the directory where it belongs.
func (s *Store) place(session, kind, suffix string) (dir, name string, err error) {
	name = kind + "-" + time.Now().UTC().Format("20060102-150405") + "-" + strings.ToLower(rand.Text()[:8]) + suffix
	if !named(session, name) {
		return "", "", agentbay.Errorf(agentbay.Invalid, "%q is no name of a capture", session+"/"+name)
	}
	dir = filepath.Join(s.Dir, session)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", "", kept(err)
	}
	return dir, name, nil
}

func kept(err error) error {
	return agentbay.Wrap(err, agentbay.Unavailable, "the capture could not be kept; try again")
}

// Open opens a capture.
//
// NotFound: there is none of that name, or it was not kept so long.
func (s *Store) Open(session, name string) (*os.File, error) {
	gone := agentbay.Errorf(agentbay.NotFound, "there is no capture %s of session %s any more; captures are kept for %s", name, session, s.Lifetime())
	if !named(session, name) {
		return nil, gone
	}
	f, err := os.Open(filepath.Join(s.Dir, session, name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, gone
	}
	if err != nil {
		return nil, agentbay.Wrap(err, agentbay.Unavailable, "capture %s could not be read", name)
	}
	return f, nil
}

// Stat describes a capture, and fails like Open.
func (s *Store) Stat(session, name string) (fs.FileInfo, error) {
	f, err := s.Open(session, name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return f.Stat()
}

// A capture is a file of a session's directory.
type capture struct {
	name string
	size int64
	at   time.Time
}

// list is the captures in a directory, the newest first.
func list(dir string) (all []capture, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		if info, err := e.Info(); err == nil { // else it was removed just now
			all = append(all, capture{e.Name(), info.Size(), info.ModTime()})
		}
	}
	slices.SortFunc(all, func(a, b capture) int { return b.at.Compare(a.at) })
	return all, nil
}

// Bound removes the oldest captures of a session that has more than it may.
func (s *Store) Bound(session string) error {
	dir, most := filepath.Join(s.Dir, session), s.Most()
	s.mu.Lock()
	defer s.mu.Unlock()
	all, err := list(dir)
	if err != nil {
		return kept(err)
	}
	for _, c := range all {
		if most -= c.size; most < 0 && !strings.HasPrefix(c.name, halfMade) {
			os.Remove(filepath.Join(dir, c.name)) // what stays is found by the next Put
		}
	}
	return nil
}

// Sweep removes what has been kept long enough, and what killed servers left.
func (s *Store) Sweep(now time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	sessions, err := os.ReadDir(s.Dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	var failed []error
	for _, session := range sessions {
		dir := filepath.Join(s.Dir, session.Name())
		all, err := list(dir)
		failed = append(failed, err)
		for _, c := range all {
			if now.Sub(c.at) > s.Lifetime() {
				failed = append(failed, os.Remove(filepath.Join(dir, c.name)))
			}
		}
		os.Remove(dir) // if it is empty
	}
	return errors.Join(failed...)
}

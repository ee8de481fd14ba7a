// Package captures keeps what was taken of the screens of sessions: pictures and
// recordings. They outlive their sessions for a while, and are bounded: the
// oldest of a session give way to new ones.
//
// A capture is a file DIR/SESSION/NAME; it appears by one rename, so there is no
// half of one after a crash.
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

var (
	sessionForm = regexp.MustCompile(`^session-[a-z0-9]{1,64}$`)
	nameForm    = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]{0,99}$`)
)

// halfMade is how files begin that are being written.
const halfMade = ".new-"

// Put keeps what r has as a capture of a session, and returns its name, which
// ends in the suffix.
//
// Exhausted: it is larger than all captures of a session may be.
func (s *Store) Put(session, kind, suffix string, r io.Reader) (name string, err error) {
	name = kind + "-" + time.Now().UTC().Format("20060102-150405") + "-" + strings.ToLower(rand.Text()[:8]) + suffix
	if !sessionForm.MatchString(session) || !nameForm.MatchString(name) {
		return "", agentbay.Errorf(agentbay.Invalid, "%q is no name of a capture", session+"/"+name)
	}
	dir := filepath.Join(s.Dir, session)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", kept(err)
	}
	f, err := os.CreateTemp(dir, halfMade+"*")
	if err != nil {
		return "", kept(err)
	}
	defer os.Remove(f.Name())
	defer f.Close()
	most := cmp.Or(s.Max, 1<<30)
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
	return name, s.bound(dir, most)
}

func kept(err error) error {
	return agentbay.Wrap(err, agentbay.Unavailable, "the capture could not be kept; try again")
}

// Open opens a capture.
//
// NotFound: there is none of that name, or it was not kept so long.
func (s *Store) Open(session, name string) (*os.File, error) {
	gone := agentbay.Errorf(agentbay.NotFound, "there is no capture %s of session %s any more; captures are kept for %s", name, session, s.Lifetime())
	if !sessionForm.MatchString(session) || !nameForm.MatchString(name) {
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

// bound removes the oldest captures of a directory that holds more than it may.
func (s *Store) bound(dir string, most int64) error {
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

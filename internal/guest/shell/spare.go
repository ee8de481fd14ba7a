package shell

import (
	"os"
	"regexp"
	"sync"
)

// spares are bashes started before they are needed, one at most, because to
// load bash takes longer than most commands.
type spares struct {
	mu      sync.Mutex
	pending int           // spares that are or will be in ready and belong to nobody; guarded by mu
	closed  bool          // guarded by mu
	ready   chan *process // nil: it did not start
}

// traces finds commands that let bash tell what it does: there it shows that a
// spare runs the command with eval.
var traces = regexp.MustCompile(`\bset\s+-\w*[xv]|xtrace|verbose|\bBASH_|\bcaller\b`)

// Warm starts a spare in the background unless there is one.
func (s *Shell) Warm() {
	s.spares.mu.Lock()
	defer s.spares.mu.Unlock()
	if s.spares.closed || s.spares.pending > 0 {
		return
	}
	s.spares.pending++
	go func() {
		p, err := s.prepare(s.dir, s.env)
		if err != nil {
			p = nil // a command that needs it will find out why
		}
		s.spares.ready <- p
	}()
}

// Close ends the spare. What commands left running goes on.
func (s *Shell) Close() error {
	s.spares.mu.Lock()
	s.spares.closed = true
	s.spares.mu.Unlock()
	if p := s.spares.take(); p != nil {
		p.discard()
	}
	return nil
}

// take returns a spare, even one that is still starting, or nil.
func (s *spares) take() *process {
	s.mu.Lock()
	if s.pending == 0 {
		s.mu.Unlock()
		return nil
	}
	s.pending--
	s.mu.Unlock()
	return <-s.ready
}

// spare runs a command in the spare, if there is one and it makes no difference.
func (s *Shell) spare(command, dir string, otherEnv bool) *process {
	if otherEnv || dir != s.dir || traces.MatchString(command) {
		return nil
	}
	p := s.spares.take()
	if p == nil {
		return nil
	}
	now, err := os.Stat(dir)
	if err == nil && os.SameFile(now, p.place) && p.alive() && p.begin(command) == nil {
		return p
	}
	p.discard()
	return nil
}

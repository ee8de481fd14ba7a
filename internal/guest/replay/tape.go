package replay

import (
	"bufio"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/agentbay/agentbay/internal/guest/recording"
)

// A tape is a file of lines that grows, and is read while it does.
type tape struct {
	file *os.File
	max  int64 // bytes that the file may have

	mu    sync.Mutex
	size  int64            // guarded by mu
	spent map[string]int64 // bytes of lines by their kind; guarded by mu
	lost  map[string]bool  // kinds of which there are no more lines; guarded by mu
	full  bool             // nothing more is written; guarded by mu
	grown chan struct{}    // closed, and replaced, when size or full changes; guarded by mu
}

// newTape makes the file of a tape in dir.
func newTape(dir string, max int64) (*tape, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	name := "replay-" + time.Now().UTC().Format("20060102-150405") + ".jsonl"
	file, err := os.OpenFile(filepath.Join(dir, name), os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return nil, err
	}
	return &tape{file: file, max: max, spent: map[string]int64{}, lost: map[string]bool{}, grown: make(chan struct{})}, nil
}

// shares is what part of a tape lines of a kind may take, as what it is divided by.
// Of what is not here there may be as much as there is room for.
var shares = map[string]int64{consoleLine: 8, networkLine: 8, assetLine: 2}

// endRoom is kept free for what is written when the tape is full.
const endRoom = 4 << 10

// add writes a line of a kind. What does not fit in the kind's share is lost, and
// that is written down once.
func (t *tape) add(kind string, line any) {
	b, err := json.Marshal(line)
	if err != nil {
		return // of an event that is no JSON
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	n := int64(len(b)) + 1
	share := shares[kind]
	switch {
	case t.full || t.lost[kind]:
		return
	case share > 0 && t.spent[kind]+n > t.max/share:
		t.lost[kind] = true
		b, _ = json.Marshal(lost{lostLine, now(), kind})
	case t.size+n > t.max-endRoom:
		t.full = true
		b, _ = json.Marshal(lost{lostLine, now(), ""})
	}
	if _, err := t.file.WriteAt(append(b, '\n'), t.size); err != nil {
		t.full = true // of the disk, most likely; a line that is not whole is not counted
	} else {
		t.size += int64(len(b)) + 1
		t.spent[kind] += n
	}
	close(t.grown)
	t.grown = make(chan struct{})
}

// has reports whether there may be more lines of a kind.
func (t *tape) has(kind string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return !t.full && !t.lost[kind]
}

func (t *tape) state() (size int64, full bool, grown <-chan struct{}) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.size, t.full, t.grown
}

// play sends the tape from a place on, and what is written to it, until it is full
// or enough is closed.
func (t *tape) play(w io.Writer, from int64, enough <-chan struct{}) (recording.Outcome, error) {
	out := bufio.NewWriterSize(w, 64<<10)
	buf := make([]byte, 64<<10)
	for stopped := false; ; {
		size, full, grown := t.state()
		if from > size {
			return recording.Outcome{}, errors.New("the host has more of the replay than the session")
		}
		for from < size {
			n, err := t.file.ReadAt(buf[:min(int64(len(buf)), size-from)], from)
			if err != nil {
				return recording.Outcome{}, err
			}
			if err := recording.Send(out, from, buf[:n]); err != nil {
				return recording.Outcome{}, err
			}
			from += int64(n)
		}
		if err := out.Flush(); err != nil {
			return recording.Outcome{}, err
		}
		switch {
		case full:
			return recording.Outcome{Reason: recording.Full}, nil
		case stopped:
			return recording.Outcome{Reason: recording.Stopped}, nil
		}
		select {
		case <-grown:
		case <-enough:
			stopped = true // what there is now still goes
		}
	}
}

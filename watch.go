package agentbay

import (
	"context"
	"encoding/json"
	"errors"
	"iter"

	"github.com/agentbay/agentbay/tool"
)

// errStop ends a stream whose reader has seen enough.
var errStop = errors.New("stop")

// Watch reports what changes below a directory of the session after Watch has
// returned. Ranging over the changes lasts until the loop is left or ctx is
// done; an error is the last thing it yields, and the end of ctx is one.
//
// A session has one mark a directory: a change is told once, to whoever asks first.
func (s *Session) Watch(ctx context.Context, dir string) (iter.Seq2[tool.FileEvent, error], error) {
	first, err := s.do(ctx, tool.FileChange.Name, tool.PathIn{Path: dir}) // sets the mark
	if err != nil {
		return nil, err
	}
	return func(yield func(tool.FileEvent, error) bool) {
		err := s.watch(ctx, dir, first, func(e tool.FileEvent) bool { return yield(e, nil) })
		if !errors.Is(err, errStop) {
			yield(tool.FileEvent{}, err)
		}
	}, nil
}

// watch yields the changes that came with the mark, then those up to the moment
// the stream began, which its first batch tells, and then those of the stream.
// Its error is never nil.
func (s *Session) watch(ctx context.Context, dir, first string, yield func(tool.FileEvent) bool) error {
	if err := yieldBatch([]byte(first), yield); err != nil {
		return err
	}
	call, err := tool.FileChange.Call(tool.PathIn{Path: dir})
	if err != nil {
		return Wrap(err, Invalid, "the path %q is no text", dir)
	}
	begun := false
	err = s.service.StreamTool(ctx, s.ID, call, func(b []byte) error {
		if !begun {
			begun = true
			if err := s.catchUp(ctx, dir, yield); err != nil {
				return err
			}
		}
		return yieldBatch(b, yield)
	})
	if err == nil {
		err = Errorf(Unavailable, "the watch of %s ended; the directory or the session may be gone", dir)
	}
	return err
}

func (s *Session) catchUp(ctx context.Context, dir string, yield func(tool.FileEvent) bool) error {
	text, err := s.do(ctx, tool.FileChange.Name, tool.PathIn{Path: dir})
	if err != nil {
		return err
	}
	return yieldBatch([]byte(text), yield)
}

func yieldBatch(b []byte, yield func(tool.FileEvent) bool) error {
	var events []tool.FileEvent
	if err := json.Unmarshal(b, &events); err != nil {
		return Wrap(err, Internal, "the answer of get_file_change has another shape than expected")
	}
	for _, e := range events {
		if !yield(e) {
			return errStop
		}
	}
	return nil
}

package code

import (
	"context"
	"fmt"
	"time"

	"github.com/agentbay/agentbay/tool"
)

// A stop is why a run was ended before it was done.
type stop int

const (
	stopNone    stop = iota
	stopTimeout      // its time was up
	stopGone         // its caller was gone
)

// A run is one piece of code at work. What its process says comes in through
// output and hear, in order and one at a time; it leaves through emit, or is
// kept for the answer.
type run struct {
	timeout  time.Duration
	emit     func(tool.CodeEvent) error // nil means that events are kept
	events   chan tool.CodeEvent
	ended    chan struct{} // closed by the message that it has ended
	stopping chan struct{} // closed when it is being ended: nothing waits for the consumer then

	ctx            context.Context // ends when nobody wants the answer any more
	stop           stop            // set before stopping is closed
	died           string          // how the process ended, if it did during the run
	failure        *failure        // set before ended is closed
	stdout, stderr decoder         // used by who calls output, and when nobody can any more
	kept           transcript      // used by who consumes
}

func newRun(timeout time.Duration, emit func(tool.CodeEvent) error) *run {
	return &run{
		timeout:  timeout,
		emit:     emit,
		events:   make(chan tool.CodeEvent, 16),
		ended:    make(chan struct{}),
		stopping: make(chan struct{}),
	}
}

// perform runs code in a process and takes in what it says, until the run has
// ended or the process is dead.
func (r *run) perform(ctx context.Context, k *kernel, code string) {
	var giveUp context.CancelCauseFunc
	r.ctx, giveUp = context.WithCancelCause(ctx)
	defer giveUp(nil)
	p := k.process
	done := make(chan struct{}, 2)
	go func() { p.begin(r, code); done <- struct{}{} }()
	go func() { k.watch(r); done <- struct{}{} }()
	r.consume(p, giveUp)
	p.forget()
	p.stopWriting()
	<-done
	<-done
	p.resumeWriting()
}

// output takes in bytes of an output stream.
func (r *run) output(kind string, b []byte) {
	d := &r.stdout
	if kind == "stderr" {
		d = &r.stderr
	}
	if text := d.decode(b); text != "" {
		r.put(tool.CodeEvent{Type: kind, Chunk: text})
	}
}

// hear takes in a message.
func (r *run) hear(m message) {
	switch {
	case m.Error != nil:
		r.failure = m.Error
	case m.End:
		r.flush(r.put)
		close(r.ended)
	default:
		b := bundleOf(m.Result)
		if r.emit != nil {
			b.shrink(MaxEventResult)
		}
		if len(b) > 0 {
			r.put(tool.CodeEvent{Type: "result", Result: b.flat(m.Main)})
		}
	}
}

// put hands an event to the consumer, and waits for it unless the run is being
// ended.
func (r *run) put(e tool.CodeEvent) {
	select {
	case r.events <- e:
		return
	default:
	}
	select {
	case r.events <- e:
	case <-r.stopping:
	}
}

// flush hands over what looked like the beginning of a character and was not.
func (r *run) flush(put func(tool.CodeEvent)) {
	if text := r.stdout.rest(); text != "" {
		put(tool.CodeEvent{Type: "stdout", Chunk: text})
	}
	if text := r.stderr.rest(); text != "" {
		put(tool.CodeEvent{Type: "stderr", Chunk: text})
	}
}

// consume delivers events until the last one. When a delivery fails it gives
// the run up, and goes on until that has ended it.
func (r *run) consume(p *process, giveUp context.CancelCauseFunc) {
	deliver := func(e tool.CodeEvent) {
		if err := r.deliver(e); err != nil {
			giveUp(err)
		}
	}
	for {
		select {
		case e := <-r.events:
			deliver(e)
		case <-r.ended:
			r.deliverWaiting(deliver)
			return
		case <-p.dead:
			r.deliverWaiting(deliver)
			if !r.hasEnded() {
				r.died = p.status
				r.flush(deliver)
			}
			return
		}
	}
}

func (r *run) deliver(e tool.CodeEvent) error {
	if r.ctx.Err() != nil {
		return nil
	}
	if r.emit == nil {
		r.kept.add(e)
		return nil
	}
	return r.emit(e)
}

// deliverWaiting delivers what came before the end.
func (r *run) deliverWaiting(deliver func(tool.CodeEvent)) {
	for {
		select {
		case e := <-r.events:
			deliver(e)
		default:
			return
		}
	}
}

func (r *run) hasEnded() bool { return isClosed(r.ended) }

// endsWithin waits for the run to end, or its process.
func (r *run) endsWithin(d time.Duration, p *process) bool {
	clock := time.NewTimer(d)
	defer clock.Stop()
	select {
	case <-r.ended:
		return true
	case <-p.dead:
		return true
	case <-clock.C:
		return false
	}
}

// outcome is what went wrong, or nil.
func (r *run) outcome(language string) *failure {
	switch {
	case r.stop == stopTimeout:
		return r.timedOut()
	case r.died != "":
		return &failure{
			Name: "KernelDied",
			Message: fmt.Sprintf("the %s interpreter ended (%s); its variables are lost, and the next run has a new one",
				language, r.died),
		}
	}
	return r.failure
}

func (r *run) timedOut() *failure {
	f := &failure{Name: "TimeoutError"}
	if r.failure != nil {
		f.Traceback = r.failure.Traceback
	}
	if r.died == "" {
		f.Message = fmt.Sprintf("timed out after %v and was interrupted; variables are kept", r.timeout)
		return f
	}
	f.Message = fmt.Sprintf("timed out after %v and did not stop when interrupted, so its interpreter was ended; "+
		"variables are lost, and the next run has a new one", r.timeout)
	return f
}

// answer is what the run leaves to say at its end.
func (r *run) answer(language string) tool.RunCodeOut {
	out := r.kept.answer()
	out.TraceID = newTraceID()
	if f := r.outcome(language); f != nil {
		out.ExecutionError, out.ErrorName, out.Traceback = f.String(), f.Name, f.Traceback
	}
	return out
}

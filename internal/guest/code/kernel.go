package code

import (
	"context"
	"encoding/json"
	"os"
	"time"

	"github.com/agentbay/agentbay"
	"github.com/agentbay/agentbay/tool"
)

// A kernel is one language's interpreter: a process, and another when that has
// died.
type kernel struct {
	lang   language
	config Config
	turn   chan struct{} // holds one token, which who uses the kernel has

	// The rest belongs to whoever has the token.
	process *process // nil before the first start
	count   int      // runs of this process
	closed  bool
}

func newKernel(l language, c Config) *kernel {
	k := &kernel{lang: l, config: c, turn: make(chan struct{}, 1)}
	k.turn <- struct{}{}
	return k
}

// take waits for the kernel's turn.
func (k *kernel) take(ctx context.Context) error {
	select {
	case <-k.turn:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (k *kernel) give() { k.turn <- struct{}{} }

// warm starts the process if there is none.
func (k *kernel) warm() {
	ctx := context.Background()
	if k.take(ctx) != nil {
		return
	}
	defer k.give()
	k.ensure(ctx) // if it fails, the next run says why
}

func (k *kernel) close() {
	<-k.turn
	defer k.give()
	k.closed = true
	k.drop()
}

// drop ends the process, and returns when it has.
func (k *kernel) drop() {
	if k.process == nil {
		return
	}
	k.process.kill()
	<-k.process.dead
	k.process = nil
}

// ensure makes sure that there is a process that takes requests.
func (k *kernel) ensure(ctx context.Context) error {
	if k.closed {
		return agentbay.Errorf(agentbay.Unavailable, "the session is ending")
	}
	if k.process != nil && !k.process.isDead() {
		if !k.process.isCovered(k.config.Dir) {
			return nil
		}
		if k.count > 0 {
			k.follow(ctx)
			return nil
		}
		k.drop() // nothing is lost with it
	}
	p, err := start(k.lang, k.config)
	if err != nil {
		return k.unavailable(err)
	}
	k.process, k.count = p, 0
	ctx, cancel := context.WithTimeout(ctx, k.config.StartTimeout)
	defer cancel()
	if err := p.waitReady(ctx); err != nil {
		k.drop()
		return k.unavailable(err)
	}
	return nil
}

// follow takes a process with variables to what is mounted now on the directory
// it works in: what it would write in the one below, nobody would find. Java
// cannot change its directory, and stays.
func (k *kernel) follow(ctx context.Context) {
	if k.lang.chdir == nil {
		return
	}
	r := newRun(k.config.Grace, func(tool.CodeEvent) error { return nil })
	r.perform(ctx, k, k.lang.chdir(quote(k.config.Dir)))
	k.process.place, _ = os.Stat(k.config.Dir) // also if it did not work: then it never will
}

// quote writes a path as every language with chdir reads it.
func quote(path string) string {
	b, _ := json.Marshal(path) // a string always can be
	return string(b)
}

func (k *kernel) unavailable(cause error) error {
	return agentbay.Wrap(cause, agentbay.Unavailable, "%s does not start; is it installed in this image?", k.lang.name)
}

// run runs a piece of code when it is its turn.
func (k *kernel) run(ctx context.Context, code string, timeout time.Duration, emit func(tool.CodeEvent) error) (tool.RunCodeOut, error) {
	if err := k.take(ctx); err != nil {
		return tool.RunCodeOut{}, err
	}
	defer k.give()
	if err := k.ensure(ctx); err != nil {
		return tool.RunCodeOut{}, err
	}
	k.count++
	began := time.Now()
	r := newRun(timeout, emit)
	r.perform(ctx, k, code)
	if r.died != "" {
		go k.warm() // so that the next run need not wait for a new one
	}
	if r.stop == stopGone {
		return tool.RunCodeOut{}, context.Cause(r.ctx)
	}
	out := r.answer(k.lang.name)
	out.ExecutionTime, out.ExecutionCount = time.Since(began).Seconds(), k.count
	return out, nil
}

// watch ends a run whose time is up or whose caller is gone: gently at first,
// then with the process.
func (k *kernel) watch(r *run) {
	clock := time.NewTimer(r.timeout)
	defer clock.Stop()
	select {
	case <-r.ended:
		return
	case <-k.process.dead:
		return
	case <-r.ctx.Done():
		r.stop = stopGone
	case <-clock.C:
		r.stop = stopTimeout
	}
	close(r.stopping)
	p := k.process
	p.interrupt(k.lang.signal, k.config.Grace/2)
	if r.endsWithin(k.config.Grace/2, p) {
		return
	}
	p.interruptGroup()
	if r.endsWithin(k.config.Grace/2, p) {
		return
	}
	p.kill()
}

package blobtest

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"iter"
	"sync"
	"testing"

	"github.com/agentbay/agentbay"
	"github.com/agentbay/agentbay/internal/blob"
)

// An Op is a method of a Store.
type Op string

// The operations. Any stands for all of them.
const (
	Any    Op = ""
	Put    Op = "put"
	Get    Op = "get"
	Stat   Op = "stat"
	Delete Op = "delete"
	List   Op = "list"
)

// A Fault is what goes wrong, once or from then on. The zero Fault is a good
// day. [Fail], [Kill], [Full], [Flip] and [Cut] make the usual ones.
type Fault struct {
	Op      Op    // what it strikes
	At      int   // the how-many-th Op it strikes, counted from 1 since [Faulty.Set]; 0 means none
	Lasting bool  // and every Op after that, until the next Set
	After   bool  // the first one that is struck takes effect all the same
	Err     error // what is returned; nil if what was read is damaged instead

	damage func([]byte) io.Reader // of what a Get reads
}

// Fail makes the n-th operation fail with Unavailable: before it has an effect.
func Fail(op Op, n int) Fault {
	return Fault{Op: op, At: n, Err: agentbay.Errorf(agentbay.Unavailable, "the store failed; this is a test")}
}

// Kill makes the n-th operation fail, and all that come later: to what is
// stored, that is what kill -9 of the server does. What was killed must not get
// the chance to go on with the same Faulty; look at its Store instead.
func Kill(n int) Fault {
	return Fault{At: n, Lasting: true, Err: agentbay.Errorf(agentbay.Unavailable, "the server was killed; this is a test")}
}

// Full makes the n-th Put fail with Exhausted, and all Puts that come later, as
// a full disk does.
func Full(n int) Fault {
	return Fault{Op: Put, At: n, Lasting: true, Err: agentbay.Errorf(agentbay.Exhausted, "the disk is full; this is a test")}
}

// Flip makes the n-th Get read one bit wrong, in the middle, without an error.
func Flip(n int) Fault { return Fault{Op: Get, At: n, damage: flip} }

// Cut makes the n-th Get fail with Unavailable after half of its bytes.
func Cut(n int) Fault { return Fault{Op: Get, At: n, damage: cut} }

// ButDone is f, except that the operation takes effect before it fails: its
// answer is lost.
func (f Fault) ButDone() Fault {
	f.After = true
	return f
}

// A Faulty is a Store that goes wrong when it is told to, and counts. Methods
// may be called concurrently.
type Faulty struct {
	Store blob.Store // must not be nil

	mu     sync.Mutex
	fault  Fault      // guarded by mu
	seen   int        // operations that fault may strike, since Set; guarded by mu
	struck bool       // guarded by mu
	counts map[Op]int // guarded by mu
}

var _ blob.Store = (*Faulty)(nil)

// Set changes what goes wrong from now on, and starts counting anew.
func (f *Faulty) Set(fault Fault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fault, f.seen, f.struck, f.counts = fault, 0, false, nil
}

// Count returns how many operations there were since Set.
func (f *Faulty) Count(op Op) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.counts[op]
}

// Struck reports whether the fault that was Set has happened.
func (f *Faulty) Struck() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.struck
}

// strike counts an operation, and returns the fault that it has: the zero Fault
// if it has none.
func (f *Faulty) strike(op Op) Fault {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.counts == nil {
		f.counts = map[Op]int{}
	}
	f.counts[op]++
	f.counts[Any]++
	fault := f.fault
	if fault.At == 0 || fault.Op != Any && fault.Op != op {
		return Fault{}
	}
	f.seen++
	if f.seen < fault.At || f.seen > fault.At && !fault.Lasting {
		return Fault{}
	}
	f.struck = true
	fault.After = fault.After && f.seen == fault.At
	return fault
}

// Put has the Store read half of the blob before it fails, so that the Store has
// something to clean up.
func (f *Faulty) Put(ctx context.Context, name string, r io.Reader, size int64) error {
	fault := f.strike(Put)
	if fault.Err != nil && !fault.After {
		r = io.MultiReader(io.LimitReader(r, size/2), failing{fault.Err})
	}
	if err := f.Store.Put(ctx, name, r, size); err != nil && fault.Err == nil {
		return err
	}
	return fault.Err
}

// Get implements blob.Store.
func (f *Faulty) Get(ctx context.Context, name string, offset, n int64) (io.ReadCloser, error) {
	fault := f.strike(Get)
	if fault.Err != nil {
		return nil, fault.Err
	}
	r, err := f.Store.Get(ctx, name, offset, n)
	if err != nil || fault.damage == nil {
		return r, err
	}
	defer r.Close()
	b, err := io.ReadAll(r)
	return io.NopCloser(fault.damage(b)), err
}

// Stat implements blob.Store.
func (f *Faulty) Stat(ctx context.Context, name string) (blob.Info, error) {
	if fault := f.strike(Stat); fault.Err != nil {
		return blob.Info{}, fault.Err
	}
	return f.Store.Stat(ctx, name)
}

// Delete implements blob.Store.
func (f *Faulty) Delete(ctx context.Context, name string) error {
	fault := f.strike(Delete)
	if fault.Err != nil && !fault.After {
		return fault.Err
	}
	if err := f.Store.Delete(ctx, name); err != nil {
		return err
	}
	return fault.Err
}

// List yields half of the blobs before it fails, or all of them if it was to
// take effect.
func (f *Faulty) List(ctx context.Context, prefix string) iter.Seq2[blob.Info, error] {
	return func(yield func(blob.Info, error) bool) {
		fault := f.strike(List)
		if fault.Err == nil {
			f.Store.List(ctx, prefix)(yield)
			return
		}
		if f.listSome(ctx, prefix, fault.After, yield) {
			yield(blob.Info{}, fault.Err)
		}
	}
}

// listSome yields every second blob, or every one. It reports whether more are
// wanted.
func (f *Faulty) listSome(ctx context.Context, prefix string, all bool, yield func(blob.Info, error) bool) bool {
	skip := false
	for info, err := range f.Store.List(ctx, prefix) {
		if (all || !skip) && !yield(info, err) {
			return false
		}
		skip = !skip
	}
	return true
}

// Sweep runs a test again and again: with every way to fail or be killed, at
// every operation that it makes, until it makes no more. Each run has a new
// Store, and is a subtest with the name of its fault.
func Sweep(t *testing.T, open func(*testing.T) blob.Store, run func(*testing.T, *Faulty)) {
	ways := []struct {
		name  string
		fault func(n int) Fault
	}{
		{"fails", func(n int) Fault { return Fail(Any, n) }},
		{"fails but is done", func(n int) Fault { return Fail(Any, n).ButDone() }},
		{"is killed", Kill},
		{"is killed but is done", func(n int) Fault { return Kill(n).ButDone() }},
		{"finds the disk full", Full},
	}
	for _, way := range ways {
		for n, struck := 1, true; struck && !t.Failed(); n++ {
			t.Run(fmt.Sprintf("%s at %d", way.name, n), func(t *testing.T) {
				f := &Faulty{Store: open(t)}
				f.Set(way.fault(n))
				defer func() { struck = f.Struck() }()
				run(t, f)
			})
		}
	}
}

// flip returns a reader of b with a wrong bit in the middle.
func flip(b []byte) io.Reader {
	if len(b) > 0 {
		b[len(b)/2] ^= 0x10
	}
	return bytes.NewReader(b)
}

// cut returns a reader of half of b.
func cut(b []byte) io.Reader {
	err := agentbay.Errorf(agentbay.Unavailable, "the blob ended early; this is a test")
	return io.MultiReader(bytes.NewReader(b[:len(b)/2]), failing{err})
}

// failing is a reader that fails.
type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

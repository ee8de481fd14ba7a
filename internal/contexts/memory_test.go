package contexts_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"

	"github.com/agentbay/agentbay/internal/blob"
	"github.com/agentbay/agentbay/internal/blob/dir"
	"github.com/agentbay/agentbay/internal/contexts"
)

// A weighed store drops what it is given, if Store is nil, and looks at how much
// memory is in use at each Put and Get.
type weighed struct {
	blob.Store
	mu   sync.Mutex
	most uint64 // guarded by mu
}

func (w *weighed) weigh() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.most = max(w.most, inUse())
}

func inUse() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

func (w *weighed) Put(ctx context.Context, name string, r io.Reader, size int64) error {
	w.weigh()
	if w.Store == nil {
		_, err := io.Copy(io.Discard, r)
		return err
	}
	return w.Store.Put(ctx, name, r, size)
}

func (w *weighed) Get(ctx context.Context, name string, offset, n int64) (io.ReadCloser, error) {
	w.weigh()
	return w.Store.Get(ctx, name, offset, n)
}

const mb = 1 << 20

func TestSavingTakesBoundedMemory(t *testing.T) {
	for name, save := range map[string]func(*contexts.Writer) error{
		"one large file": func(w *contexts.Writer) error {
			_, _, err := w.File(t.Context(), io.LimitReader(rand.NewChaCha8([32]byte{}), 400*mb), -1)
			return err
		},
		"many small files": func(w *contexts.Writer) error {
			for i := range 60_000 {
				content := fmt.Appendf(nil, "%04000d", i)
				if _, _, err := w.File(t.Context(), bytes.NewReader(content), int64(len(content))); err != nil {
					return err
				}
			}
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			store := new(weighed)
			w := worldOf(store)
			before := inUse()
			writer := w.writer(t)
			defer writer.Close()
			must(t, save(writer))
			must(t, writer.Flush(t.Context()))
			if store.most > before+120*mb {
				t.Errorf("saving took %d MB", (store.most-before)/mb)
			}
			t.Logf("%d MB", (int64(store.most)-int64(before))/mb)
		})
	}
}

func TestReadingTakesBoundedMemory(t *testing.T) {
	blobs, err := dir.Open(t.TempDir())
	must(t, err)
	store := &weighed{Store: blobs}
	w := worldOf(store)
	writer := w.writer(t)
	extents, n, err := writer.File(t.Context(), io.LimitReader(rand.NewChaCha8([32]byte{}), 160*mb), -1)
	must(t, err)
	must(t, writer.Flush(t.Context()))
	must(t, writer.Close())
	store.most = 0
	before := inUse()
	f, err := w.Open(t.Context(), contexts.Entry{Path: "f", Kind: contexts.File, Size: n, Extents: extents})
	must(t, err)
	defer f.Close()
	_, err = io.Copy(io.Discard, f)
	must(t, err)
	if store.most > before+60*mb {
		t.Errorf("reading took %d MB", (store.most-before)/mb)
	}
	t.Logf("%d MB", (int64(store.most)-int64(before))/mb)
}

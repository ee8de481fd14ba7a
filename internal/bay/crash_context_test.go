package bay_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/agentbay/agentbay"
	"github.com/agentbay/agentbay/internal/bay"
	"github.com/agentbay/agentbay/internal/bay/baytest"
	"github.com/agentbay/agentbay/internal/blob"
	"github.com/agentbay/agentbay/internal/blob/blobtest"
	"github.com/agentbay/agentbay/internal/blob/dir"
	"github.com/agentbay/agentbay/internal/contexts/index"
	"github.com/agentbay/agentbay/internal/contexts/tree"
	"github.com/agentbay/agentbay/internal/runtime"
	"github.com/agentbay/agentbay/internal/runtime/fake"
	"github.com/agentbay/agentbay/internal/store"
)

// files lists what is below a directory, but for directories.
func files(t testing.TB, dir string) (all []string) {
	t.Helper()
	must(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) { // it is being removed
			return nil
		}
		if err == nil && !d.IsDir() {
			all = append(all, path)
		}
		return err
	}))
	return all
}

func TestSessionLeavesNothingOfAKilledSave(t *testing.T) {
	b := baytest.New(t)
	s := b.Service(t, "mine")
	id := create(t, s, agentbay.SessionSpec{Contexts: []agentbay.ContextMount{at(newContext(t, s), "/tmp/work")}})
	write(t, s, id, "/tmp/work/result", "text")
	must(t, s.Sync(t.Context(), agentbay.SyncRequest{Session: id}))
	lastTask(t, s, agentbay.SyncQuery{Session: id, Mode: agentbay.Upload})
	made := files(t, b.Data.Dir)
	if len(made) != 1 {
		t.Fatalf("after a sync there are %q, want what is remembered of it", made)
	}
	must(t, os.WriteFile(made[0]+".new-123", []byte("half"), 0o600))
	must(t, s.DeleteSession(t.Context(), id))
	ended(t, s, id)
	if left := files(t, b.Data.Dir); len(left) > 0 {
		t.Errorf("left: %q", left)
	}
}

func TestReasonOfAnEndSaysThatFilesAreUnsavedOnlyUntilTheyAre(t *testing.T) {
	var blobs blobtest.Faulty
	b := baytest.New(t, withBlobs(&blobs))
	s := b.Service(t, "mine")
	id := create(t, s, agentbay.SessionSpec{Contexts: []agentbay.ContextMount{at(newContext(t, s), "/tmp/a"), at(newContext(t, s), "/tmp/b")}})
	write(t, s, id, "/tmp/a/result", "precious")
	blobs.Set(down)
	must(t, s.DeleteSession(t.Context(), id))
	unsaved(t, s, id)
	blobs.Set(blobtest.Fault{})
	must(t, b.Sweep(t.Context()))
	ended(t, s, id)
	if _, why := state(t, s, id); why != "deleted" {
		t.Errorf("the session ended because it was %q, want deleted", why)
	}
}

func TestWhatCouldNotBeSavedIsTriedAgainWhenThereIsRoom(t *testing.T) {
	var blobs blobtest.Faulty
	b := baytest.New(t, withBlobs(&blobs))
	s := b.Service(t, "mine")
	x, other := newContext(t, s), newContext(t, s)
	put(t, b.Bay, other, "/a", "large, let us say")
	id := create(t, s, agentbay.SessionSpec{Contexts: []agentbay.ContextMount{at(x, "/tmp/work")}})
	write(t, s, id, "/tmp/work/result", "precious")
	blobs.Set(down)
	must(t, s.DeleteSession(t.Context(), id))
	unsaved(t, s, id)
	blobs.Set(blobtest.Fault{})
	must(t, s.DeleteContext(t.Context(), other))
	ended(t, s, id)
	if got := content(t, b.Bay, x, "/tmp/work/result"); got != "precious" {
		t.Errorf("saved: %q", got)
	}
}

func TestFilesOfADeletedContextLeaveTheHost(t *testing.T) {
	trees := t.TempDir()
	b := baytest.New(t, func(b *baytest.Bay) {
		var err error
		b.Data.Trees, err = tree.OpenCache(trees, 0)
		must(t, err)
	})
	s := b.Service(t, "mine")
	gone, kept := newContext(t, s), newContext(t, s)
	put(t, b.Bay, gone, "/tmp/gone/file", "secret")
	put(t, b.Bay, kept, "/tmp/kept/file", "text")
	id := create(t, s, agentbay.SessionSpec{Contexts: []agentbay.ContextMount{at(gone, "/tmp/gone"), at(kept, "/tmp/kept")}})
	must(t, s.DeleteContext(t.Context(), gone))
	must(t, b.Collect(t.Context()))
	if left := files(t, filepath.Join(trees, "layers")); len(left) != 2 {
		t.Errorf("while a session has them: %q, want two files", left)
	}
	must(t, s.DeleteSession(t.Context(), id))
	ended(t, s, id)
	must(t, b.Collect(t.Context()))
	if left := files(t, filepath.Join(trees, "layers")); len(left) != 1 {
		t.Errorf("when it has ended: %q, want the file of the other context", left)
	}
}

// A machine may have begun with a mount when the server was killed. The next one
// asks for the same again, and does not mind if it is there.
func TestNextServerGoesOnWithMountsAsTheyWereBegun(t *testing.T) {
	b := baytest.New(t)
	s := b.Service(t, "mine")
	x := newContext(t, s)
	put(t, b.Bay, x, "/tmp/work/old", "old")
	id := create(t, s, agentbay.SessionSpec{Contexts: []agentbay.ContextMount{at(x, "/tmp/work")}})
	put(t, b.Bay, x, "/tmp/work/new", "new")
	was := b.Host.Mounts(id)
	must(t, b.Shutdown(t.Context()))
	asked := make(chan runtime.Mount, 10)
	b.Host.SetFaults(fake.Faults{Mount: func(m runtime.Mount) error {
		asked <- m
		return nil
	}})
	next := &bay.Bay{Store: b.Store, Images: b.Images, Runtimes: b.Runtimes, Data: b.Data, Secret: b.Secret, Log: b.Log}
	must(t, next.Start(t.Context()))
	defer next.Shutdown(context.WithoutCancel(t.Context()))
	if again := <-asked; len(again.Layers) == 0 || !slices.Equal(again.Layers, was[0].Layers) {
		t.Errorf("the next server mounts %+v, want %+v again", again, was[0])
	}
	key, err := b.Store.Key(t.Context(), "mine")
	must(t, err)
	s = next.As(key)
	if mounts, err := s.ContextMounts(t.Context(), id); err != nil || len(mounts) != 1 {
		t.Errorf("mounts: %+v, %v", mounts, err)
	}
}

// A mortal store dies with its server, at the operation that a fault strikes:
// from then on the server can do nothing.
type mortal struct {
	*blobtest.Faulty
	die func()
}

func (m mortal) check() {
	if m.Struck() {
		m.die()
	}
}

func (m mortal) Put(ctx context.Context, name string, r io.Reader, size int64) error {
	defer m.check()
	return m.Faulty.Put(ctx, name, r, size)
}

func (m mortal) Get(ctx context.Context, name string, offset, n int64) (io.ReadCloser, error) {
	defer m.check()
	return m.Faulty.Get(ctx, name, offset, n)
}

func (m mortal) Stat(ctx context.Context, name string) (blob.Info, error) {
	defer m.check()
	return m.Faulty.Stat(ctx, name)
}

func (m mortal) Delete(ctx context.Context, name string) error {
	defer m.check()
	return m.Faulty.Delete(ctx, name)
}

func (m mortal) List(ctx context.Context, prefix string) iter.Seq2[blob.Info, error] {
	return func(yield func(blob.Info, error) bool) {
		defer m.check()
		m.Faulty.List(ctx, prefix)(yield)
	}
}

// A mortalHost has its server die before or after one of the things it does
// there. From then on that can do nothing.
type mortalHost struct {
	*baytest.Host
	die func()

	mu   sync.Mutex
	left int // steps until then, and 0 for never; guarded by mu
}

func (h *mortalHost) step() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch h.left {
	case 0:
		return nil
	case 1:
		h.die()
		return errKilled
	}
	h.left--
	return nil
}

// around dies before or after f.
func (h *mortalHost) around(f func() error) error {
	if err := h.step(); err != nil {
		return err
	}
	err := f()
	return errors.Join(err, h.step())
}

func (h *mortalHost) Start(ctx context.Context, spec runtime.Spec) error {
	return h.around(func() error { return h.Host.Start(ctx, spec) })
}

func (h *mortalHost) Mount(ctx context.Context, id agentbay.SessionID, mounts ...runtime.Mount) error {
	return h.around(func() error { return h.Host.Mount(ctx, id, mounts...) })
}

func (h *mortalHost) Written(ctx context.Context, id agentbay.SessionID, name string) (w runtime.Written, err error) {
	if err := h.step(); err != nil {
		return w, err
	}
	return h.Host.Written(ctx, id, name)
}

func (h *mortalHost) Halt(ctx context.Context, id agentbay.SessionID) error {
	return h.around(func() error { return h.Host.Halt(ctx, id) })
}

func (h *mortalHost) Stop(ctx context.Context, id agentbay.SessionID) error {
	return h.around(func() error { return h.Host.Stop(ctx, id) })
}

// A doom is what becomes of a server: the zero doom is a long life.
type doom struct {
	blobs bool // it dies when its blobs fail
	steps int  // it dies when it has done so much to the host; 0 means never
}

// A household is what outlives a server.
type household struct {
	dir    string
	host   *baytest.Host
	images *baytest.ImageSet
}

// A server is a bay of a household.
type server struct {
	*bay.Bay
	agentbay.Service
	blobs *blobtest.Faulty
	dead  context.Context // done when it was killed
	close func()
}

// serve starts a server.
func (h *household) serve(t *testing.T, d doom) *server {
	t.Helper()
	db, err := store.Open(t.Context(), h.dir)
	must(t, err)
	blobs, err := dir.Open(filepath.Join(h.dir, "blobs"))
	must(t, err)
	chunks, err := index.Open(t.Context(), filepath.Join(h.dir, "chunks.db"))
	must(t, err)
	trees, err := tree.OpenCache(filepath.Join(h.dir, "trees"), 0)
	must(t, err)
	dead, die := context.WithCancel(context.Background())
	s := &server{blobs: &blobtest.Faulty{Store: blobs}, dead: dead}
	kill := sync.OnceFunc(func() {
		die()
		db.Close()
		chunks.Close()
	})
	struck := func() {
		if d.blobs {
			kill()
		}
	}
	s.Bay = &bay.Bay{
		Store: db, Images: h.images, Runtimes: map[string]runtime.Runtime{"fake": &mortalHost{Host: h.host, die: kill, left: d.steps}}, Secret: []byte("sixteen bytes or more"),
		Data: &bay.Data{
			Dir: filepath.Join(h.dir, "mounts"), Blobs: mortal{s.blobs, struck}, Chunks: chunks.Tenant, Trees: trees,
		},
		Log: slog.New(slog.DiscardHandler),
	}
	s.close = sync.OnceFunc(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		s.Shutdown(ctx)
		trees.Close()
		kill()
		blobs.Close()
	})
	t.Cleanup(s.close)
	must(t, s.Bay.Start(t.Context()))
	key, err := db.Key(t.Context(), "ak-1")
	if agentbay.CodeOf(err) == agentbay.NotFound {
		key = store.Key{ID: "ak-1", Name: "mine", Hash: "h", CreatedAt: time.Now()}
		err = db.AddKey(t.Context(), key)
	}
	must(t, err)
	s.Service = s.As(key)
	return s
}

var errFull = errors.New("the disk is full, so it may take for ever")

// A belief is what files of a context may have in them; "" is none.
type belief map[string]map[string]bool

func (b belief) may(path, text string) {
	if b[path] == nil {
		b[path] = map[string]bool{"": true}
	}
	b[path][text] = true
}

func (b belief) is(path, text string) { b[path] = map[string]bool{text: true} }

// A user works with one context, and believes what it was told.
type user struct {
	*server
	belief
	context  agentbay.ContextID
	session  agentbay.SessionID
	snapshot string
	owed     string // what the session wrote last, until it has ended
}

const place = "/tmp/work/"

// deeds is what a user does, in order. A deed is done if there is no error.
func (u *user) deeds() []func(context.Context) error {
	return []func(context.Context) error{
		func(ctx context.Context) error { return u.puts(ctx, "put", "1") },
		u.remembers,
		func(ctx context.Context) error { return u.puts(ctx, "put", "2") },
		u.opens,
		func(ctx context.Context) error { return u.syncs(ctx, "1") },
		func(ctx context.Context) error { return u.puts(ctx, "put", strings.Repeat("3", 100_000)) },
		func(ctx context.Context) error { return u.ends(ctx, "2") },
		u.collects,
		u.removes,
		u.restores,
		func(ctx context.Context) error { return u.puts(ctx, "old", "4") },
		u.recycles,
		u.clears,
		func(ctx context.Context) error { return u.puts(ctx, "put", "5") },
		u.collects,
	}
}

// attempt does what may change a file, or not.
func (u *user) attempt(path, text string, do func() error) error {
	u.may(path, text)
	err := do()
	if err == nil {
		u.is(path, text)
	}
	return err
}

func (u *user) puts(ctx context.Context, name, text string) error {
	return u.attempt(place+name, text, func() error {
		_, err := u.PutContextFile(ctx, u.context, place+name, strings.NewReader(text), int64(len(text)))
		return err
	})
}

func (u *user) remembers(ctx context.Context) error {
	list, err := u.Snapshots(ctx, u.context)
	if err == nil && len(list) > 0 {
		u.snapshot = list[0].ID
	}
	return err
}

func (u *user) opens(ctx context.Context) error {
	info, err := u.CreateSession(ctx, agentbay.SessionSpec{Contexts: []agentbay.ContextMount{at(u.context, "/tmp/work")}})
	if err == nil {
		u.session = info.ID
	}
	return err
}

// syncs writes a file in the session, and saves it.
func (u *user) syncs(ctx context.Context, text string) error {
	return u.attempt(place+"session", text, func() error {
		if err := u.writes(ctx, text); err != nil {
			return err
		}
		return agentbay.Use(u, u.session).SyncContexts(ctx, agentbay.SyncRequest{})
	})
}

func (u *user) writes(ctx context.Context, text string) error {
	u.owed = text
	return agentbay.Use(u, u.session).FS(ctx).WriteFile(place[1:]+"session", []byte(text))
}

// ends writes a file in the session, and deletes that.
func (u *user) ends(ctx context.Context, text string) error {
	return u.attempt(place+"session", text, func() error {
		if err := u.writes(ctx, text); err != nil {
			return err
		}
		if err := u.DeleteSession(ctx, u.session); err != nil {
			return err
		}
		err := u.until(ctx, func() (bool, error) {
			x, err := u.Session(ctx, u.session)
			if err == nil && strings.Contains(x.EndReason, "not saved") {
				err = errors.New(x.EndReason)
			}
			return err == nil && x.State.Ended(), err
		})
		if err == nil {
			u.session, u.owed = "", ""
		}
		return err
	})
}

// until waits for something, unless the server dies or may never do it.
func (u *user) until(ctx context.Context, done func() (bool, error)) error {
	for {
		if ok, err := done(); ok || err != nil {
			return err
		}
		if u.blobs.Struck() {
			return errFull
		}
		select {
		case <-time.After(time.Millisecond):
		case <-u.dead.Done():
			return errKilled
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (u *user) removes(ctx context.Context) error {
	return u.attempt(place+"put", "", func() error { return u.DeleteContextFile(ctx, u.context, place+"put") })
}

func (u *user) restores(ctx context.Context) error {
	return u.attempt(place+"session", "", func() error {
		return u.attempt(place+"put", "1", func() error { return u.RestoreContext(ctx, u.context, u.snapshot) })
	})
}

// recycles has the oldest files removed, which is all of them.
func (u *user) recycles(ctx context.Context) error {
	rule := store.Recycle{Context: u.context, Path: place[1:] + "old", Days: 1}
	if err := u.Store.SetRecycle(ctx, u.context, place[1:], []store.Recycle{rule}); err != nil {
		return err
	}
	return u.attempt(place+"old", "", func() error { return u.Recycle(ctx, time.Now().AddDate(0, 0, 2)) })
}

func (u *user) clears(ctx context.Context) error {
	return u.attempt(place+"put", "", func() error {
		if err := u.ClearContext(ctx, u.context); err != nil {
			return err
		}
		return u.until(ctx, func() (bool, error) {
			x, err := u.Context(ctx, u.context)
			return err == nil && x.State == agentbay.ContextAvailable, err
		})
	})
}

func (u *user) collects(ctx context.Context) error { return u.Collect(ctx) }

// work does all deeds, until the server is killed. Some fail if the disk is full.
func (u *user) work(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer context.AfterFunc(u.dead, cancel)()
	for i, do := range u.deeds() {
		err := do(ctx)
		if u.dead.Err() != nil {
			return
		}
		if err != nil && !u.blobs.Struck() {
			t.Fatalf("deed %d: %v", i, err)
		}
	}
}

// settles ends the session, waits for what goes on, and checks what the user
// believes.
func (u *user) settles(t *testing.T) {
	if u.session != "" {
		u.may(place+"session", u.owed)
		if err := u.DeleteSession(t.Context(), u.session); err != nil && agentbay.CodeOf(err) != agentbay.NotFound {
			t.Error(err)
		}
	}
	must(t, u.until(t.Context(), func() (bool, error) {
		must(t, u.Sweep(t.Context())) // what could not be saved is tried again
		held, err := u.Store.Held(t.Context())
		return len(held) == 0, err
	}))
	must(t, u.until(t.Context(), func() (bool, error) {
		x, err := u.Context(t.Context(), u.context)
		return err == nil && x.State == agentbay.ContextAvailable, err
	}))
	for path, may := range u.belief {
		text, err := u.reads(t.Context(), path)
		if err != nil || !may[text] {
			t.Errorf("%s is %.20q, %v; want one of %.20q", path, text, err, slices.Sorted(maps.Keys(may)))
		}
	}
}

// reads returns what a file has in it.
func (u *user) reads(ctx context.Context, path string) (string, error) {
	r, _, err := u.OpenContextFile(ctx, u.context, path)
	if agentbay.CodeOf(err) == agentbay.NotFound {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	defer r.Close()
	text, err := io.ReadAll(r)
	return string(text), err
}

// leaves deletes the context, after which nothing may be left of anything.
func (u *user) leaves(t *testing.T, h *household) {
	must(t, u.DeleteContext(t.Context(), u.context))
	places := []string{"blobs", "trees", "mounts"}
	left := func() (all []string) {
		for _, p := range places {
			all = append(all, files(t, filepath.Join(h.dir, p))...)
		}
		return all
	}
	for deadline := time.Now().Add(10 * time.Second); len(left()) > 0; {
		must(t, u.Collect(t.Context())) // unless one is under way
		if time.Now().After(deadline) {
			t.Fatalf("left: %q", left())
		}
	}
	if machines := h.host.Specs(); len(machines) > 0 {
		t.Errorf("machines are left: %v", machines)
	}
}

// Wherever a server is killed, or finds the disk full, what users were told holds
// with the next one, and nothing is left when all is deleted.
func TestKilledServerLosesNoFiles(t *testing.T) {
	for name, fate := range map[string]func(n int) (blobtest.Fault, doom){
		"before an operation on blobs": func(n int) (blobtest.Fault, doom) { return blobtest.Kill(n), doom{blobs: true} },
		"after an operation on blobs":  func(n int) (blobtest.Fault, doom) { return blobtest.Kill(n).ButDone(), doom{blobs: true} },
		"at work on the host":          func(n int) (blobtest.Fault, doom) { return blobtest.Fault{}, doom{steps: n} },
		"disk full":                    func(n int) (blobtest.Fault, doom) { return blobtest.Full(n), doom{} },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for n, struck := 1, true; struck && !t.Failed(); n++ {
				t.Run(fmt.Sprint(n), func(t *testing.T) {
					fault, d := fate(n)
					struck = killed(t, fault, d)
				})
			}
		})
	}
}

// killed runs a server until its end, and another after it. It reports whether
// the first met its fault or its doom.
func killed(t *testing.T, fault blobtest.Fault, d doom) (struck bool) {
	h := &household{dir: t.TempDir(), host: baytest.NewHost(), images: baytest.Images()}
	defer h.host.StopAll()
	first := h.serve(t, d)
	u := &user{server: first, belief: belief{}, context: newContext(t, first)}
	first.blobs.Set(fault)
	u.work(t)
	struck = first.blobs.Struck() || first.dead.Err() != nil
	first.close()

	u.server = h.serve(t, doom{})
	u.settles(t)
	u.leaves(t, h)
	return struck
}

package bench

import (
	"cmp"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/agentbay/agentbay"
	"github.com/agentbay/agentbay/internal/blob/dir"
	"github.com/agentbay/agentbay/internal/contexts"
	"github.com/agentbay/agentbay/internal/contexts/index"
	"github.com/agentbay/agentbay/internal/contexts/tree"
)

// A keeper keeps a tree in a place of its own, and gives it back.
type keeper interface {
	// save keeps what is in a directory now.
	save(b *testing.B, from string)

	// restore makes a directory what was saved last. It is not there, or it is
	// what restore made of an earlier state.
	restore(b *testing.B, to string)
}

// A copyist keeps nothing but a copy.
type copyist struct {
	dir string
	run []string // of coreutils or rsync
	to  bool     // it is on the disk when it is said to be
}

func (c copyist) save(b *testing.B, from string)  { c.copy(b, from, c.dir) }
func (c copyist) restore(b *testing.B, to string) { c.copy(b, c.dir, to) }

func (c copyist) copy(b *testing.B, from, to string) {
	b.Helper()
	must(b, os.MkdirAll(to, 0o755))
	command(b, nil, append(c.run, from+"/.", to)...)
	if c.to {
		settle(b, to)
	}
}

// A restic is a repository of restic in a directory.
type restic struct{ env []string }

func newRestic(b *testing.B, at string) restic {
	b.Helper()
	r := restic{[]string{"RESTIC_REPOSITORY=" + at, "RESTIC_PASSWORD=bench", "RESTIC_CACHE_DIR=" + at + ".cache", "RESTIC_PROGRESS_FPS=0.1"}}
	command(b, r.env, "restic", "init", "--quiet")
	return r
}

func (r restic) save(b *testing.B, from string) {
	command(b, r.env, "restic", "backup", "--quiet", from)
}

func (r restic) restore(b *testing.B, to string) {
	command(b, r.env, "restic", "restore", "latest", "--quiet", "--target", to)
}

// A repository is a context with nothing around it: no session, and no server.
type repository struct {
	repo *contexts.Repo
	head contexts.Root
	tree tree.Tree
	view tree.View

	caches map[string]*tree.Cache
}

func newRepository(b *testing.B, at string) *repository {
	b.Helper()
	must(b, os.Mkdir(at, 0o755))
	blobs, err := dir.Open(filepath.Join(at, "blobs"))
	must(b, err)
	b.Cleanup(func() { blobs.Close() })
	chunks, err := index.Open(b.Context(), filepath.Join(at, "chunks.db"))
	must(b, err)
	b.Cleanup(func() { chunks.Close() })
	all, err := tree.Select(agentbay.ContextMount{Path: "/data", Policy: agentbay.DefaultSyncPolicy})
	must(b, err)
	return &repository{
		repo:   contexts.New("key", blobs, chunks.Tenant("key")),
		tree:   tree.Tree{Selection: all, Memory: filepath.Join(at, "memory")},
		view:   tree.View{Tenant: "key", Selection: all},
		caches: map[string]*tree.Cache{},
	}
}

func (r *repository) save(b *testing.B, from string) {
	b.Helper()
	w, err := r.repo.Writer(b.Context())
	must(b, err)
	defer w.Close()
	r.tree.Upper = from
	changes, err := tree.Save(b.Context(), w, r.repo, r.tree, nil)
	must(b, err)
	defer changes.Close()
	r.head, _, err = r.repo.Apply(b.Context(), w, r.head, changes.All())
	must(b, err)
	must(b, changes.Settled())
}

func (r *repository) restore(b *testing.B, to string) {
	b.Helper()
	if r.caches[to] == nil {
		c, err := tree.OpenCache(to, 0)
		must(b, err)
		b.Cleanup(func() { c.Close() })
		r.caches[to] = c
	}
	out, err := r.caches[to].Checkout(b.Context(), r.repo, r.head, r.view, nil)
	must(b, err)
	out.Release()
}

// A competitor is a keeper by name.
type competitor struct {
	name string
	keeper
	once bool // a second time costs it as much as the first
}

func competitors(b *testing.B, dir string) []competitor {
	at := func(name string) string { return filepath.Join(dir, name) }
	return []competitor{
		{"agentbay", newRepository(b, at("agentbay")), false},
		{"rsync", copyist{dir: at("rsync"), run: []string{"rsync", "-a"}}, false},
		{"restic", newRestic(b, at("restic")), false},
		{"cp", copyist{dir: at("cp"), run: []string{"cp", "-a"}}, true},
		{"cp+sync", copyist{dir: at("cp-sync"), run: []string{"cp", "-a"}, to: true}, true},
	}
}

func needTools(b *testing.B) {
	_, rsync := exec.LookPath("rsync")
	_, restic := exec.LookPath("restic")
	if err := cmp.Or(rsync, restic); err != nil {
		b.Skipf("lacks a tool to compare with (%v): run scripts/bench", err)
	}
}

// Trees are saved and brought back, by contexts without a session and by those
// who would do it without them. All read what is in memory already, one after
// the other, in turns.
func BenchmarkContextTree(b *testing.B) {
	needTools(b)
	for _, s := range shapes() {
		b.Run(s.name, func(b *testing.B) {
			from := filepath.Join(b.TempDir(), "from")
			s.grow(b, from)
			var r results
			for turn := range *rounds {
				keepRound(b, s, from, turn, &r)
			}
			r.report(b)
		})
	}
}

// keepRound is one round of everything.
func keepRound(b *testing.B, s shape, from string, turn int, r *results) {
	dir, err := os.MkdirTemp(filepath.Dir(from), "round")
	must(b, err)
	defer os.RemoveAll(dir)
	all := competitors(b, dir)
	each := func(what string, do func(c competitor)) {
		for i := range all {
			c := all[(turn+i)%len(all)]
			if c.once && what != "save-first" && what != "restore-first" {
				continue
			}
			settle(b, dir)
			r.measure(what+"/"+c.name, func() { do(c) })
		}
	}
	save := func(c competitor) { c.save(b, from) }
	restore := func(c competitor) { c.restore(b, filepath.Join(dir, "out-"+c.name)) }
	s.warm(b, from)
	each("save-first", save)
	each("save-unchanged", save)
	s.change(b, from, 2*turn)
	each("save-1%", save)
	each("restore-first", restore)
	s.change(b, from, 2*turn+1)
	for _, c := range all {
		c.save(b, from)
	}
	each("restore-1%", restore)
}

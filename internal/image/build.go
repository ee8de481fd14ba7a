package image

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/agentbay/agentbay"
	"golang.org/x/sys/unix"
)

// A Builder builds the images of a store from their recipes.
type Builder struct {
	Store *Store

	// Sources is where Debian packages come from, as lines of sources.list.
	// Empty means what the host uses itself if that has the release, else
	// Debian's own servers.
	Sources string
}

// A Progress says where a build is. Steps that were built before are reported
// once, as Cached.
type Progress struct {
	Image   string        // being built
	Step    string        // such as "code: 20 packages"
	Number  int           // of this step, from 1
	Steps   int           // in all
	Percent int           // of this step
	Detail  string        // such as "Unpacking r-base-core"; may be empty
	Elapsed time.Duration // since this step began
	Cached  bool          // the step was built before
	Done    bool          // the step has ended
}

// Build makes a name mean the image of its recipe, and returns the image. Layers
// that are there already are used again, so a build that was stopped goes on at
// the layer where it was. One build runs at a time; others wait for it. Nothing
// of a failed or killed build is ever used, and the next one removes it.
//
// report is called as the build goes on, by one goroutine at a time; nil means
// nobody wants to know.
//
// Invalid: no such image.
// Exhausted: the disk is too small.
// Unavailable: a step failed; the message names it, and has the end of its output.
func (b *Builder) Build(ctx context.Context, name string, report func(Progress)) (Image, error) {
	s := b.Store
	r := s.recipes.named(name)
	if r == nil || r.Name == "" {
		return Image{}, s.missing(name, name)
	}
	if report == nil {
		report = func(Progress) {}
	}
	steps, err := s.recipes.plan(r)
	if err != nil {
		return Image{}, err
	}
	held, err := lockWithin(ctx, s.path("build.lock"), func() {
		report(Progress{Image: r.Name, Step: "waiting for another build to end", Steps: len(steps)})
	})
	if err != nil {
		return Image{}, agentbay.Wrap(err, agentbay.Unavailable, "image %s was not built", r.Name)
	}
	defer held.Close()
	return b.build(ctx, held, r, steps, report)
}

// build makes what is missing. The caller holds the build lock.
func (b *Builder) build(ctx context.Context, held *os.File, r *recipe, steps []*step, report func(Progress)) (Image, error) {
	s := b.Store
	if err := s.clearTmp(ctx); err != nil {
		return Image{}, err
	}
	if err := s.checkDisk(r.Name, s.unbuilt(steps)); err != nil {
		return Image{}, err
	}
	if err := s.keepPlan(r.Name, steps); err != nil {
		return Image{}, err
	}
	log, err := os.Create(s.path("build.log"))
	if err != nil {
		return Image{}, err
	}
	defer log.Close()
	for i, st := range steps {
		p := Progress{Image: r.Name, Step: st.title(), Number: i + 1, Steps: len(steps)}
		w := &work{builder: b, step: st, lock: held, log: log, progress: p, report: report}
		if err := w.run(ctx); err != nil {
			return Image{}, err
		}
	}
	return b.finish(ctx, r, steps)
}

// finish publishes an image of which every layer is there, and frees what it
// replaces.
func (b *Builder) finish(ctx context.Context, r *recipe, steps []*step) (Image, error) {
	m := manifest{Config: r.Config}
	for _, st := range slices.Backward(steps) {
		m.Layers = append(m.Layers, st.id)
	}
	img, err := b.Store.publish(r.Name, m)
	if err != nil {
		return Image{}, err
	}
	if _, err := removeFile(b.Store.path("plans", r.Name)); err != nil {
		return Image{}, err
	}
	return img, b.Store.collect(ctx)
}

// unbuilt is the steps whose layers are not there.
func (s *Store) unbuilt(steps []*step) []*step {
	return slices.DeleteFunc(slices.Clone(steps), func(st *step) bool {
		_, err := s.layer(st.id)
		return err == nil
	})
}

// keepPlan saves the finished layers of this build from collection until the
// name points to them.
func (s *Store) keepPlan(name string, steps []*step) error {
	var ids []layerID
	for _, st := range steps {
		ids = append(ids, st.id)
	}
	text, err := json.Marshal(ids)
	if err != nil {
		return err
	}
	return s.writeFile(s.path("plans", name), text)
}

// checkDisk refuses a build that would fill the disk.
func (s *Store) checkDisk(name string, steps []*step) error {
	var need int64
	counted := map[*recipe]bool{}
	for _, st := range steps {
		if !counted[st.recipe] {
			need += st.recipe.Megabytes
		}
		counted[st.recipe] = true
	}
	var fs unix.Statfs_t
	if err := unix.Statfs(s.dir, &fs); err != nil {
		return err
	}
	free := int64(fs.Bavail) * fs.Bsize >> 20
	if free >= need {
		return nil
	}
	return agentbay.Errorf(agentbay.Exhausted, "building image %s takes about %d MB and %s has %d MB free; free some, or choose another directory with --images", name, need, s.dir, free)
}

// A work is one step being made.
type work struct {
	builder  *Builder
	step     *step
	lock     *os.File // the build lock, which every process of the step holds too
	log      *os.File
	progress Progress
	report   func(Progress)
	began    time.Time
	dir      string // everything of this work; in the store's tmp
}

func (w *work) path(elem ...string) string {
	return filepath.Join(append([]string{w.dir}, elem...)...)
}

// run makes the step's layer unless it is there. The layer appears in one
// rename, when it is on disk.
func (w *work) run(ctx context.Context) error {
	s := w.builder.Store
	if _, err := s.layer(w.step.id); err == nil {
		w.progress.Cached, w.progress.Done, w.progress.Percent = true, true, 100
		w.report(w.progress)
		return nil
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	w.began = time.Now()
	w.at(0, "")
	w.dir = s.path("tmp", string(w.step.id))
	defer os.RemoveAll(w.dir)
	if err := w.prepare(); err != nil {
		return err
	}
	if err := w.step.build(ctx, w); err != nil {
		return err
	}
	if err := w.keep(); err != nil {
		return err
	}
	w.progress.Done = true
	w.at(100, "")
	return nil
}

// prepare makes the directories of an overlay mount and what becomes the layer.
func (w *work) prepare() error {
	for _, dir := range []string{"layer/fs", "overlay", "root"} {
		if err := os.MkdirAll(w.path(dir), 0o755); err != nil {
			return err
		}
	}
	return nil
}

// keep makes the finished layer part of the store.
func (w *work) keep() error {
	size, err := diskUsage(w.path("layer"))
	if err != nil {
		return err
	}
	info := layerInfo{Title: w.step.title(), Size: size, Built: time.Now().UTC(), Seconds: time.Since(w.began).Seconds()}
	text, err := json.Marshal(info)
	if err != nil {
		return err
	}
	if err := os.WriteFile(w.path("layer", "layer.json"), text, 0o644); err != nil {
		return err
	}
	if err := syncfs(w.path("layer")); err != nil {
		return err
	}
	return os.Rename(w.path("layer"), w.builder.Store.path("layers", string(w.step.id)))
}

// at reports how far the step is, which is never less far than before.
func (w *work) at(percent int, detail string) {
	w.progress.Percent, w.progress.Detail = max(percent, w.progress.Percent), detail
	w.progress.Elapsed = time.Since(w.began)
	w.report(w.progress)
}

// failed is the error of a step whose commands failed. What is the package, if
// one is to blame.
func (w *work) failed(cause error, what string, tail []string) error {
	step := w.step.title()
	if what != "" {
		step += ": " + what
	}
	message := fmt.Sprintf("image %s: step %s failed", strconv.Quote(w.progress.Image), strconv.Quote(step))
	for _, line := range tail {
		message += "\n  " + line
	}
	return agentbay.Wrap(cause, agentbay.Unavailable, "%s\n%s has all its output; run the build again to go on from here", message, w.log.Name())
}

// diskUsage is the bytes that a tree takes on disk. Hard links count once.
func diskUsage(root string) (int64, error) {
	var total int64
	seen := map[uint64]bool{}
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		var st unix.Stat_t
		if err := unix.Lstat(name, &st); err != nil {
			return err
		}
		if st.Nlink > 1 && !d.IsDir() && seen[st.Ino] {
			return nil
		}
		seen[st.Ino] = true
		total += st.Blocks * 512
		return nil
	})
	return total, err
}

// syncfs writes everything of a file system to disk, so that a layer that is
// there after a power cut is there in full.
func syncfs(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	return unix.Syncfs(int(f.Fd()))
}

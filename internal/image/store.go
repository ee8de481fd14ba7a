package image

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/agentbay/agentbay"
	"github.com/agentbay/agentbay/images"
	"golang.org/x/sys/unix"
)

// A Store is a directory of built images. Any number of processes may use one
// at the same time. What is in it appears and disappears by single renames, so
// a process killed at any moment leaves nothing that another would mistake for
// an image:
//
//	layers/<id>/fs          the files of a layer, as an overlayfs upper directory
//	layers/<id>/layer.json  what made it, and its size
//	manifests/<digest>.json the layers and configuration of an image
//	names/<name>            symbolic link to the digest a name means
//	refs/<owner>            symbolic link to the digest that owner needs, and for whom
//	plans/<name>            layers an unfinished build wants to keep
//	debian/                 downloads of unfinished builds, and package lists
//	tmp/                    what a build or a collection is at; never used by others
//	lock, build.lock        flock: the first guards links and layers, the second builds
//	build.log               everything the last build printed
type Store struct {
	dir     string
	recipes recipes
	holder  string // whose owners Acquire makes; may be empty

	mu    sync.Mutex
	known map[string]Image // guarded by mu; by digest, without a name
}

// Open opens the store in a directory, which it makes if need be, for the
// official images.
func Open(dir string) (*Store, error) { return OpenRecipes(dir, images.Recipes) }

// OpenRecipes is Open with other recipes: a folder each, with an image.json.
func OpenRecipes(dir string, fsys fs.FS) (*Store, error) {
	all, err := readRecipes(fsys)
	if err != nil {
		return nil, err
	}
	dir, err = filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	if err := makeStore(dir); err != nil {
		return nil, agentbay.Wrap(err, agentbay.Unavailable, "the image store %s cannot be used; choose another directory with --images", dir)
	}
	return &Store{dir: dir, recipes: all, known: map[string]Image{}}, nil
}

// makeStore makes what is missing of a store. Layers have programs in them that
// run as root for whoever starts them, which is not for the host's users.
func makeStore(dir string) error {
	for _, sub := range []string{"manifests", "names", "refs", "plans", "debian"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o755); err != nil {
			return err
		}
	}
	for _, sub := range []string{"layers", "tmp"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o700); err != nil {
			return err
		}
	}
	return nil
}

// Dir is the store's directory.
func (s *Store) Dir() string { return s.dir }

func (s *Store) path(elem ...string) string {
	return filepath.Join(append([]string{s.dir}, elem...)...)
}

// Get finds an image by name, alias or digest. It reads a link and looks at
// the layers, no more: every new session asks.
//
// Invalid: there is no such image; the message says which there are.
// Unavailable: the image is known but has not been built.
// Denied: only root may look.
func (s *Store) Get(name string) (Image, error) {
	if strings.HasPrefix(name, "sha256:") {
		return s.byDigest(name)
	}
	proper := s.proper(name)
	img, err := s.named(proper)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return Image{}, s.missing(name, proper)
	case errors.Is(err, fs.ErrPermission):
		return Image{}, agentbay.Wrap(err, agentbay.Denied, "the image store %s is root's; run this with sudo", s.dir)
	}
	return img, err
}

// named follows a name to its image. A build may point the name elsewhere and
// collect the old image between the two, which is no reason to find neither.
func (s *Store) named(name string) (Image, error) {
	digest, err := s.link("names", name)
	for err == nil {
		img, loadErr := s.load(digest)
		if !errors.Is(loadErr, fs.ErrNotExist) {
			img.Name = name
			return img, loadErr
		}
		before := digest
		if digest, err = s.link("names", name); digest == before {
			return Image{}, loadErr
		}
	}
	return Image{}, err
}

// proper is the name that an alias stands for, or the name itself.
func (s *Store) proper(name string) string {
	if r := s.recipes.named(name); r != nil && r.Name != "" {
		return r.Name
	}
	return name
}

// link reads a symbolic link to a digest. A name that could not have been given
// to an image does not exist.
func (s *Store) link(kind, name string) (string, error) {
	if !namePattern.MatchString(name) {
		return "", fs.ErrNotExist
	}
	return os.Readlink(s.path(kind, name))
}

// relink makes a link, or points it elsewhere, in one step.
func (s *Store) relink(kind, name, digest string) error {
	tmp := s.path("tmp", kind+"-"+name)
	if err := os.RemoveAll(tmp); err != nil {
		return err
	}
	if err := os.Symlink(digest, tmp); err != nil {
		return err
	}
	return os.Rename(tmp, s.path(kind, name))
}

// missing says why there is no image of a name, and what to do about it.
func (s *Store) missing(name, proper string) error {
	if s.recipes.named(name) != nil {
		return agentbay.Errorf(agentbay.Unavailable, "image %q is not built on this bay; run `agentbay image build %s` there", name, proper)
	}
	if slices.Contains(images.Elsewhere, name) {
		return agentbay.Errorf(agentbay.Invalid, "no authorized app for image %q: this release of AgentBay does not have it; %s", name, s.offer())
	}
	return agentbay.Errorf(agentbay.Invalid, "image %.80q is not known; %s", name, s.offer())
}

// offer says which images there are.
func (s *Store) offer() string {
	var names []string
	for _, r := range s.recipes.offered() {
		names = append(names, r.Name)
	}
	if len(names) == 0 {
		return "this bay has none"
	}
	return "this bay has " + strings.Join(names, ", ")
}

func (s *Store) byDigest(digest string) (Image, error) {
	img, err := s.load(digest)
	if errors.Is(err, fs.ErrNotExist) {
		return Image{}, agentbay.Errorf(agentbay.Invalid, "image %.80q is not in this bay's store; %s", digest, s.offer())
	}
	return img, err
}

// A manifest is what an image is. Its digest is the image's.
type manifest struct {
	Layers []layerID `json:"layers"` // topmost first
	Config Config    `json:"config"`
}

// A layerInfo is what the store knows of a layer besides its files.
type layerInfo struct {
	Title   string    `json:"title"`
	Size    int64     `json:"size"` // bytes on disk
	Built   time.Time `json:"built"`
	Seconds float64   `json:"seconds"` // how long it took
}

var digestPattern = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)

// load reads the image of a digest; fs.ErrNotExist if it, or a layer of it, is
// not there. Images never change, so each is read once, but whether its layers
// are still there is looked up every time.
func (s *Store) load(digest string) (Image, error) {
	if !digestPattern.MatchString(digest) {
		return Image{}, fs.ErrNotExist
	}
	s.mu.Lock()
	img, ok := s.known[digest]
	s.mu.Unlock()
	if !ok {
		return s.read(digest)
	}
	for _, dir := range img.Layers {
		if _, err := os.Stat(dir); err != nil {
			return Image{}, err
		}
	}
	return img, nil
}

func (s *Store) read(digest string) (Image, error) {
	m, err := s.manifest(digest)
	if err != nil {
		return Image{}, err
	}
	img := Image{Digest: digest, Config: m.Config}
	for i, id := range m.Layers {
		info, err := s.layer(id)
		if err != nil {
			return Image{}, err
		}
		if i == 0 {
			img.Built = info.Built
		}
		img.Size += info.Size
		img.Layers = append(img.Layers, s.layerDir(id))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.known[digest] = img
	return img, nil
}

func (s *Store) manifestFile(digest string) string {
	return s.path("manifests", strings.TrimPrefix(digest, "sha256:")+".json")
}

func (s *Store) layerDir(id layerID) string { return s.path("layers", string(id), "fs") }

func (s *Store) manifest(digest string) (m manifest, err error) {
	err = readJSON(s.manifestFile(digest), &m)
	return m, err
}

func (s *Store) layer(id layerID) (info layerInfo, err error) {
	err = readJSON(s.path("layers", string(id), "layer.json"), &info)
	return info, err
}

// publish makes a name mean an image of the given layers. The manifest is
// there before the name points to it.
func (s *Store) publish(name string, m manifest) (Image, error) {
	text, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return Image{}, err
	}
	sum := sha256.Sum256(text)
	digest := "sha256:" + hex.EncodeToString(sum[:])
	held, err := lock(s.path("lock"), unix.LOCK_EX)
	if err != nil {
		return Image{}, err
	}
	defer held.Close()
	if err := s.writeFile(s.manifestFile(digest), text); err != nil {
		return Image{}, err
	}
	if err := s.relink("names", name, digest); err != nil {
		return Image{}, err
	}
	return s.Get(name)
}

// writeFile writes a file of the store in one step. The caller holds a lock.
func (s *Store) writeFile(file string, text []byte) error {
	tmp := s.path("tmp", "file-"+filepath.Base(file))
	if err := os.WriteFile(tmp, text, 0o644); err != nil {
		return err
	}
	return os.Rename(tmp, file)
}

func readJSON(file string, v any) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(text, v); err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	return nil
}

// A Listing is an image that this bay offers, built or not.
type Listing struct {
	Image            // only the Name is set if it is not built
	Aliases []string // other names of it
	Summary string
	Ready   bool // it is built, and sessions can have it
	Current bool // it is what its recipe would make now
}

// List returns every image on offer, by name.
func (s *Store) List() ([]Listing, error) {
	var list []Listing
	for _, r := range s.recipes.offered() {
		l, err := s.listing(r)
		if err != nil {
			return nil, err
		}
		list = append(list, l)
	}
	return list, nil
}

func (s *Store) listing(r *recipe) (Listing, error) {
	l := Listing{Image: Image{Name: r.Name}, Aliases: r.Aliases, Summary: r.Summary}
	img, err := s.Get(r.Name)
	if errors.Is(err, agentbay.Unavailable) {
		return l, nil
	}
	if err != nil {
		return l, err
	}
	steps, err := s.recipes.plan(r)
	if err != nil {
		return l, err
	}
	l.Image, l.Ready, l.Current = img, true, s.matches(img, steps)
	return l, nil
}

// matches reports whether an image has exactly the layers of a plan.
func (s *Store) matches(img Image, steps []*step) bool {
	var want []string
	for _, st := range slices.Backward(steps) {
		want = append(want, s.layerDir(st.id))
	}
	return slices.Equal(img.Layers, want)
}

// Remove forgets a name, and what a failed build of it kept, and frees what
// nothing needs any more. Sessions that run from the image keep it.
//
// Invalid: there is no such image.
// Unavailable: nothing of it has been built.
func (s *Store) Remove(ctx context.Context, name string) error {
	proper := s.proper(name)
	if !namePattern.MatchString(proper) {
		return s.missing(name, proper)
	}
	named, err := removeFile(s.path("names", proper))
	if err != nil {
		return err
	}
	planned, err := removeFile(s.path("plans", proper))
	if err != nil {
		return err
	}
	if !named && !planned {
		return s.missing(name, proper)
	}
	return s.Collect(ctx)
}

// removeFile removes a file, and reports whether it was there.
func removeFile(file string) (was bool, err error) {
	err = os.Remove(file)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

package image

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/agentbay/agentbay"
	"golang.org/x/sys/unix"
)

// Acquire keeps the image of a digest, and all its layers, until the owner
// releases it. An owner, such as a session, has one image; acquiring it again
// is not an error. The claim is a link in the store, so it outlives the process
// that made it.
//
// Invalid: the image is gone, or owner cannot be a file name.
// Conflict: the owner has another image.
func (s *Store) Acquire(digest, owner string) error {
	if !namePattern.MatchString(owner) {
		return agentbay.Errorf(agentbay.Invalid, "%.80q cannot be the owner of an image: it must be letters, digits, dots, dashes", owner)
	}
	held, err := lock(s.path("lock"), unix.LOCK_SH) // not while layers are being collected
	if err != nil {
		return err
	}
	defer held.Close()
	if _, err := s.byDigest(digest); err != nil {
		return err
	}
	err = os.Symlink(claim(digest, s.holder), s.path("refs", owner))
	if !errors.Is(err, fs.ErrExist) {
		return err
	}
	return s.ownedAlready(digest, owner)
}

func (s *Store) ownedAlready(digest, owner string) error {
	text, err := os.Readlink(s.path("refs", owner))
	if err != nil {
		return err
	}
	if other, _ := parseClaim(text); other != digest {
		return agentbay.Errorf(agentbay.Conflict, "%s has image %s already; release that first", owner, other)
	}
	return nil
}

// Release ends an owner's claim. Releasing what is not claimed is not an error:
// a crashed release is repeated. The owner's mounts of the layers must be gone.
func (s *Store) Release(owner string) error {
	if !namePattern.MatchString(owner) {
		return nil
	}
	_, err := removeFile(s.path("refs", owner))
	return err
}

// Owners returns every owner and the digest of its image. Whoever made owners
// can tell from it which ended without releasing.
func (s *Store) Owners() (map[string]string, error) {
	owners, err := s.links("refs")
	for owner, text := range owners {
		owners[owner], _ = parseClaim(text)
	}
	return owners, err
}

// HoldFor says that what is acquired here from now on is for whoever keeps its
// state in dir. When that directory is gone, its owners are too, and Collect
// releases them: nobody is left who would.
func (s *Store) HoldFor(dir string) { s.holder = dir }

// claim is the text of an owner's link: a digest, and for which directory.
func claim(digest, holder string) string {
	if holder == "" {
		return digest
	}
	return digest + " " + holder
}

func parseClaim(text string) (digest, holder string) {
	digest, holder, _ = strings.Cut(text, " ")
	return digest, holder
}

// links reads every link of a directory, by name.
func (s *Store) links(kind string) (map[string]string, error) {
	entries, err := os.ReadDir(s.path(kind))
	if err != nil {
		return nil, err
	}
	all := map[string]string{}
	for _, e := range entries {
		text, err := os.Readlink(s.path(kind, e.Name()))
		if errors.Is(err, fs.ErrNotExist) {
			continue // released since
		}
		if err != nil {
			return nil, err
		}
		all[e.Name()] = text
	}
	return all, nil
}

// Collect frees every layer that no name, no owner and no unfinished build
// needs. While an image is being built it does nothing: the build collects
// when it is done.
func (s *Store) Collect(ctx context.Context) error {
	building, err := lock(s.path("build.lock"), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, errLocked) {
		return nil
	}
	if err != nil {
		return err
	}
	defer building.Close()
	return s.collect(ctx)
}

// collect is Collect for who holds the build lock, and so owns tmp. Under the
// other lock, which new sessions wait for, it only renames.
func (s *Store) collect(ctx context.Context) error {
	if err := s.dropUnused(); err != nil {
		return err
	}
	return s.clearTmp(ctx)
}

func (s *Store) dropUnused() error {
	held, err := lock(s.path("lock"), unix.LOCK_EX)
	if err != nil {
		return err
	}
	defer held.Close()
	if err := s.releaseLost(); err != nil {
		return err
	}
	digests, layers, err := s.needed()
	if err != nil {
		return err
	}
	if err := s.drop("manifests", func(name string) bool { return digests["sha256:"+strings.TrimSuffix(name, ".json")] }); err != nil {
		return err
	}
	return s.drop("layers", func(name string) bool { return layers[layerID(name)] })
}

// releaseLost ends the claims of owners whose directory is gone.
func (s *Store) releaseLost() error {
	claims, err := s.links("refs")
	if err != nil {
		return err
	}
	for owner, text := range claims {
		_, holder := parseClaim(text)
		if holder == "" {
			continue
		}
		if _, err := os.Stat(holder); !errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err := s.Release(owner); err != nil {
			return err
		}
	}
	return nil
}

// needed is every manifest and layer that somebody needs.
func (s *Store) needed() (digests map[string]bool, layers map[layerID]bool, err error) {
	digests, layers = map[string]bool{}, map[layerID]bool{}
	for _, kind := range []string{"names", "refs"} {
		links, err := s.links(kind)
		if err != nil {
			return nil, nil, err
		}
		for _, text := range links {
			digest, _ := parseClaim(text)
			digests[digest] = true
		}
	}
	for digest := range digests {
		m, err := s.manifest(digest)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, nil, err
		}
		for _, id := range m.Layers {
			layers[id] = true
		}
	}
	return digests, layers, s.planned(layers)
}

// planned adds the layers that unfinished builds want.
func (s *Store) planned(layers map[layerID]bool) error {
	plans, err := filepath.Glob(s.path("plans", "*"))
	if err != nil {
		return err
	}
	for _, file := range plans {
		var ids []layerID
		if err := readJSON(file, &ids); err != nil {
			return err
		}
		for _, id := range ids {
			layers[id] = true
		}
	}
	return nil
}

// drop moves what is not kept out of a directory of the store.
func (s *Store) drop(dir string, keep func(name string) bool) error {
	entries, err := os.ReadDir(s.path(dir))
	if err != nil {
		return err
	}
	for _, e := range entries {
		if keep(e.Name()) {
			continue
		}
		if err := os.Rename(s.path(dir, e.Name()), s.path("tmp", "dropped-"+e.Name())); err != nil {
			return err
		}
	}
	return nil
}

// clearTmp removes what builds and collections left when they were killed. The
// caller holds the build lock, so nobody is at it.
func (s *Store) clearTmp(ctx context.Context) error {
	entries, err := os.ReadDir(s.path("tmp"))
	if err != nil {
		return err
	}
	for _, e := range entries {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := os.RemoveAll(s.path("tmp", e.Name())); err != nil {
			return err
		}
	}
	return nil
}

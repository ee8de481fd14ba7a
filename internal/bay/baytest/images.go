package baytest

import (
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/agentbay/agentbay"
	"github.com/agentbay/agentbay/internal/image"
	"github.com/agentbay/agentbay/internal/runtime"
	"github.com/agentbay/agentbay/tool"
)

// An ImageSet is images in memory.
type ImageSet struct {
	mu     sync.Mutex
	named  map[string]image.Image // guarded by mu; by name
	built  map[string]image.Image // guarded by mu; by digest
	owners map[string]string      // guarded by mu; digest by owner
}

// Images makes the images of the product, with nothing in them.
func Images() *ImageSet {
	s := &ImageSet{named: map[string]image.Image{}, built: map[string]image.Image{}, owners: map[string]string{}}
	s.Build("code_latest", "sha256:c0de01", image.Config{
		User: runtime.User{Name: "root", Home: "/root"}, Dir: "/workspace",
		Families: []tool.Family{tool.Shell, tool.Files, tool.Code}, Warm: []string{"python"},
	})
	s.Build("linux_latest", "sha256:111001", image.Config{
		User: runtime.User{Name: "wuying", UID: 1000, GID: 1000, Home: "/home/wuying"}, Dir: "/home/wuying",
		Families: []tool.Family{tool.Shell, tool.Files},
	})
	return s
}

// Build makes a name mean a new image.
func (s *ImageSet) Build(name, digest string, c image.Config) {
	s.mu.Lock()
	defer s.mu.Unlock()
	img := image.Image{Name: name, Digest: digest, Config: c}
	s.named[name], s.built[digest] = img, img
}

// Get finds an image by name or digest.
func (s *ImageSet) Get(name string) (image.Image, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if img, ok := s.named[name]; ok {
		return img, nil
	}
	if img, ok := s.built[name]; ok {
		return img, nil
	}
	return image.Image{}, agentbay.Errorf(agentbay.Invalid, "image %q is not known; this bay has %s", name,
		strings.Join(slices.Sorted(maps.Keys(s.named)), ", "))
}

// List describes the images.
func (s *ImageSet) List() (all []image.Listing, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, name := range slices.Sorted(maps.Keys(s.named)) {
		all = append(all, image.Listing{Image: s.named[name], Ready: true, Current: true})
	}
	return all, nil
}

// Acquire records an owner.
func (s *ImageSet) Acquire(digest, owner string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.owners[owner] = digest
	return nil
}

// Release forgets an owner.
func (s *ImageSet) Release(owner string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.owners, owner)
	return nil
}

// Owners returns who has which image.
func (s *ImageSet) Owners() map[string]string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.owners)
}

package image

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"path"
	goruntime "runtime"
	"slices"
)

// edition is part of every layer's name, as are the scripts that make it. It
// changes when the rest of this package builds the same recipe differently.
const edition = "agentbay layer 1"

// A layerID names a layer after everything it is made of: the part of the
// recipe, the layer below and the architecture.
type layerID string

// A step makes one layer.
type step struct {
	id     layerID
	recipe *recipe
	what   string    // "packages" or "files"
	below  []layerID // topmost first
	build  func(context.Context, *work) error
}

// title is the step in words.
func (s *step) title() string {
	switch {
	case s.what == "files":
		return s.recipe.folder + ": files and setup"
	case s.recipe.Debian != "":
		return fmt.Sprintf("%s: Debian %s and %d packages", s.recipe.folder, s.recipe.Debian, len(s.recipe.Packages))
	default:
		return fmt.Sprintf("%s: %d packages", s.recipe.folder, len(s.recipe.Packages))
	}
}

// plan is the steps that make the image of r, lowest layer first. Packages and
// files are layers of their own, so that a change of a file installs nothing.
func (all recipes) plan(r *recipe) ([]*step, error) {
	chain, err := all.chain(r)
	if err != nil {
		return nil, err
	}
	var steps []*step
	var below []layerID
	add := func(s *step) {
		s.below = slices.Clone(below)
		steps, below = append(steps, s), slices.Insert(below, 0, s.id)
	}
	for _, r := range chain {
		if r.Debian != "" || len(r.Packages) > 0 {
			add(&step{id: r.packagesID(top(below)), recipe: r, what: "packages", build: buildPackages})
		}
		if len(r.Files) == 0 && r.Setup == "" {
			continue
		}
		files, err := r.tree()
		if err != nil {
			return nil, err
		}
		add(&step{id: r.filesID(top(below), files), recipe: r, what: "files", build: buildFiles})
	}
	return steps, nil
}

func top(layers []layerID) layerID {
	if len(layers) == 0 {
		return ""
	}
	return layers[0]
}

func (r *recipe) packagesID(below layerID) layerID {
	packages := slices.Clone(r.Packages)
	slices.Sort(packages)
	scripts := []string{mountScript, installScript}
	if r.Debian != "" {
		scripts = append(scripts, bootstrapScript, excluded, imageSources)
	}
	return idOf(below, "packages", r.Debian, slices.Compact(packages), scripts)
}

func (r *recipe) filesID(below layerID, files []treeFile) layerID {
	return idOf(below, "files", files, mountScript, setupScript)
}

// idOf hashes what makes a layer. JSON keeps the parts apart.
func idOf(below layerID, parts ...any) layerID {
	text, err := json.Marshal([]any{edition, goruntime.GOARCH, below, parts})
	if err != nil {
		panic("image: " + err.Error()) // strings and numbers only
	}
	sum := sha256.Sum256(text)
	return layerID(hex.EncodeToString(sum[:]))
}

// A treeFile is a file that a recipe puts into the image. The setup script is
// one too, with an empty path.
type treeFile struct {
	Path   string // in the image
	Exec   bool
	Sha256 string
	bytes  []byte
}

// tree lists the recipe's files and its setup script in a stable order.
func (r *recipe) tree() ([]treeFile, error) {
	var files []treeFile
	for _, dir := range slices.Sorted(maps.Keys(r.Files)) {
		found, err := r.subtree(dir, r.Files[dir])
		if err != nil {
			return nil, fmt.Errorf("recipe %s: files: %w", r.folder, err)
		}
		files = append(files, found...)
	}
	if r.Setup == "" {
		return files, nil
	}
	f, err := r.file(r.Setup, "", 0)
	return append(files, f), err
}

func (r *recipe) subtree(dir, target string) ([]treeFile, error) {
	var files []treeFile
	err := fs.WalkDir(r.fsys, dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		rel := name[len(dir)+1:]
		f, err := r.file(name, path.Join(target, rel), info.Mode())
		files = append(files, f)
		return err
	})
	return files, err
}

// file reads one file. It is executable if the recipe's own file system says so
// or it begins as a script does: files embedded in a program have lost their mode.
func (r *recipe) file(name, target string, mode fs.FileMode) (treeFile, error) {
	content, err := fs.ReadFile(r.fsys, name)
	if err != nil {
		return treeFile{}, err
	}
	sum := sha256.Sum256(content)
	return treeFile{
		Path:   target,
		Exec:   mode&0o111 != 0 || bytes.HasPrefix(content, []byte("#!")),
		Sha256: hex.EncodeToString(sum[:]),
		bytes:  content,
	}, nil
}

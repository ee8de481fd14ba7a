package image

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
)

// A recipe says what is in an image. It is a folder with an image.json, and
// whatever files that names.
type recipe struct {
	folder string // how other recipes call it
	fsys   fs.FS  // the folder

	Name      string            `json:"name"`      // what sessions ask for; empty if the image is only a parent
	Aliases   []string          `json:"aliases"`   // other names of the same image
	Summary   string            `json:"summary"`   // one line for people
	Parent    string            `json:"parent"`    // folder of the image below it
	Debian    string            `json:"debian"`    // without a parent: the Debian release to begin with
	Packages  []string          `json:"packages"`  // Debian packages to install
	Files     map[string]string `json:"files"`     // directories of the folder → absolute paths in the image
	Setup     string            `json:"setup"`     // a shell script of the folder, run inside the image at the end
	Megabytes int64             `json:"megabytes"` // about how much disk the build of its layers takes
	Config    Config            `json:"config"`    // how a session of it runs
}

// A recipes is every recipe there is, by folder.
type recipes map[string]*recipe

var (
	namePattern    = regexp.MustCompile(`^[a-z0-9][A-Za-z0-9._-]{0,127}$`)
	packagePattern = regexp.MustCompile(`^[a-z0-9][a-z0-9+.-]+$`)
)

// readRecipes reads every folder of fsys that has an image.json.
func readRecipes(fsys fs.FS) (recipes, error) {
	found, err := fs.Glob(fsys, "*/image.json")
	if err != nil {
		return nil, err
	}
	all := recipes{}
	for _, file := range found {
		r, err := readRecipe(fsys, path.Dir(file))
		if err != nil {
			return nil, fmt.Errorf("recipe %s: %w", file, err)
		}
		all[r.folder] = r
	}
	return all, all.check()
}

func readRecipe(fsys fs.FS, folder string) (*recipe, error) {
	sub, err := fs.Sub(fsys, folder)
	if err != nil {
		return nil, err
	}
	text, err := fs.ReadFile(sub, "image.json")
	if err != nil {
		return nil, err
	}
	r := &recipe{folder: folder, fsys: sub}
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(r); err != nil {
		return nil, err
	}
	return r, r.check()
}

// check finds what is wrong with a recipe by itself.
func (r *recipe) check() error {
	for _, name := range r.names() {
		if !namePattern.MatchString(name) {
			return fmt.Errorf("%q cannot be the name of an image", name)
		}
	}
	for _, p := range r.Packages {
		if !packagePattern.MatchString(p) {
			return fmt.Errorf("%q cannot be the name of a package", p)
		}
	}
	for _, target := range r.Files {
		if !path.IsAbs(target) || path.Clean(target) != target {
			return fmt.Errorf("files must go to a clean absolute path, not %q", target)
		}
	}
	if r.Parent != "" && r.Debian != "" {
		return fmt.Errorf("it has a parent, so it cannot begin with a Debian release")
	}
	return nil
}

// check finds what is wrong with the recipes together.
func (all recipes) check() error {
	taken := map[string]string{}
	for _, folder := range slices.Sorted(maps.Keys(all)) {
		if _, err := all.chain(all[folder]); err != nil {
			return err
		}
		for _, name := range all[folder].names() {
			if other, ok := taken[name]; ok {
				return fmt.Errorf("recipes %s and %s both make image %q", other, folder, name)
			}
			taken[name] = folder
		}
	}
	return nil
}

// names is every name a session may ask for the image by.
func (r *recipe) names() []string {
	if r.Name == "" {
		return r.Aliases
	}
	return append([]string{r.Name}, r.Aliases...)
}

// named finds the recipe of a name or an alias, or nil.
func (all recipes) named(name string) *recipe {
	for _, r := range all {
		if slices.Contains(r.names(), name) {
			return r
		}
	}
	return nil
}

// offered is the recipes that have a name, in order of it.
func (all recipes) offered() []*recipe {
	var list []*recipe
	for _, r := range all {
		if r.Name != "" {
			list = append(list, r)
		}
	}
	slices.SortFunc(list, func(a, b *recipe) int { return strings.Compare(a.Name, b.Name) })
	return list
}

// chain is a recipe and all below it, lowest first.
func (all recipes) chain(r *recipe) ([]*recipe, error) {
	list := []*recipe{r}
	for r.Parent != "" {
		parent, ok := all[r.Parent]
		if !ok {
			return nil, fmt.Errorf("recipe %s: there is no recipe %q to be its parent", r.folder, r.Parent)
		}
		if slices.Contains(list, parent) {
			return nil, fmt.Errorf("recipe %s is its own ancestor", parent.folder)
		}
		list, r = append(list, parent), parent
	}
	slices.Reverse(list)
	return list, nil
}

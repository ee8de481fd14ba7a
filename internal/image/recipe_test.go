package image

import (
	"io/fs"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/agentbay/agentbay/images"
	"github.com/agentbay/agentbay/tool"
)

func TestABadRecipeIsRefused(t *testing.T) {
	for _, tc := range []struct{ recipe, says string }{
		{`{`, "unexpected EOF"},
		{`{"nmae": "x"}`, "nmae"},
		{`{"name": "../x"}`, "cannot be the name of an image"},
		{`{"packages": ["-o=x"]}`, "cannot be the name of a package"},
		{`{"packages": ["a b"]}`, "cannot be the name of a package"},
		{`{"files": {"f": "etc"}}`, "clean absolute path"},
		{`{"files": {"f": "/a/../b"}}`, "clean absolute path"},
		{`{"parent": "nobody"}`, "no recipe"},
		{`{"parent": "a"}`, "its own ancestor"},
		{`{"parent": "b", "debian": "bookworm"}`, "has a parent"},
		{`{"name": "b"}`, "both make image"},
	} {
		_, err := readRecipes(fstest.MapFS{"a/image.json": text(tc.recipe), "b/image.json": text(`{"name": "b"}`)})
		if err == nil || !strings.Contains(err.Error(), tc.says) {
			t.Errorf("recipe %s: %v, want an error with %q", tc.recipe, err, tc.says)
		}
	}
}

func TestTheOfficialImages(t *testing.T) {
	all, err := readRecipes(images.Recipes)
	if err != nil {
		t.Fatal(err)
	}
	sandbox := []tool.Family{tool.System, tool.Shell, tool.Files, tool.Code}
	for name, want := range map[string]Config{
		"code_latest":    {Dir: "/workspace", Families: sandbox},
		"linux_latest":   {Dir: "/home/wuying", Families: append(sandbox, tool.Desktop, tool.Browser), Screen: "1920x1080", NoLink: true},
		"browser_latest": {Dir: "/home/wuying", Families: append(sandbox, tool.Desktop, tool.Browser), Screen: "1920x1080"},
	} {
		r := all.named(name)
		if r == nil {
			t.Fatalf("there is no %s", name)
		}
		c := r.Config
		if c.Dir != want.Dir || !slices.Equal(c.Families, want.Families) || c.Screen != want.Screen || c.NoLink != want.NoLink || r.Summary == "" {
			t.Errorf("%s: %+v", name, r.Config)
		}
		if steps, err := all.plan(r); err != nil || len(steps) < 2 {
			t.Errorf("%s: plan of %d steps, %v", name, len(steps), err)
		}
	}
	if u := all.named("linux_latest").Config.User; u.Name != "wuying" || u.UID != 1000 || u.GID != 1000 || u.Home != "/home/wuying" {
		t.Errorf("user of linux_latest: %+v", u)
	}
	for _, f := range all.named("code_latest").Config.Families {
		if len(tool.Of(f)) == 0 {
			t.Errorf("code_latest has family %q, which has no tools", f)
		}
	}
}

func TestTheOrderOfPackagesDoesNotMatter(t *testing.T) {
	a := &recipe{Debian: "bookworm", Packages: []string{"zip", "git", "zip"}}
	b := &recipe{Debian: "bookworm", Packages: []string{"git", "zip"}}
	if a.packagesID("") != b.packagesID("") {
		t.Error("the same packages in another order are another layer")
	}
	if a.packagesID("") == a.packagesID("x") {
		t.Error("the same packages on another layer are the same layer")
	}
}

func FuzzReadRecipe(f *testing.F) {
	err := fs.WalkDir(images.Recipes, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.Name() != "image.json" {
			return err
		}
		b, err := fs.ReadFile(images.Recipes, name)
		f.Add(b)
		return err
	})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		all, err := readRecipes(fstest.MapFS{"a/image.json": &fstest.MapFile{Data: b}})
		if err != nil {
			return
		}
		for _, p := range all["a"].Packages {
			if strings.HasPrefix(p, "-") || strings.ContainsAny(p, " \n/=") {
				t.Errorf("package %q", p)
			}
		}
	})
}

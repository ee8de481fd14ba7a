// Package test holds what is tested of the whole: its shape here, its promises
// in the folders below.
package test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/agentbay/agentbay"

// layers is who may not import whom, and why. A package stands for all below
// it, "." for the root alone.
var layers = []struct{ pkg, mayNotImport, why string }{
	{".", "internal", "the SDK is imported by strangers; it is the standard library and tool"},
	{"tool", "internal", "the catalogue is shared by the guest, the server and strangers"},
	{"tool", ".", "tools are declared without knowing who calls them"},
	{"internal", "cmd", "a command wires packages; none may need a command"},
	{"internal/bay", "internal/rpc", "rules do not know how they are asked"},
	{"internal/bay", "internal/listener", "rules do not know how they are asked"},
	{"internal/rpc", "internal/store", "a door translates; rules live in bay"},
	{"internal/rpc", "internal/runtime", "a door translates; machines are bay's"},
	{"internal/rpc", "internal/image", "a door translates; images are bay's"},
	{"internal/rpc", "internal/bay", "a door states what it needs of the core and is given it"},
	{"internal/rpc", "internal/guest", "a door reaches a session through the core only"},
	{"internal/captures", "internal/bay", "captures are files; whose they are is bay's"},
	{"internal/captures", "internal/gate", "captures are files; who may have them is bay's"},
	{"internal/view", "internal/bay", "a door states what it needs of the core and is given it"},
	{"internal/view", "internal/store", "a door translates; rules live in bay"},
	{"internal/view", "internal/guest", "a door reaches a session through the core only"},
	{"internal/view", "internal/rpc", "doors do not know of each other"},
	{"internal/control", "internal/bay", "who is at a screen is told apart from whose session it is"},
	{"internal/control", "internal/store", "who is at a screen is told apart from how that is kept"},
	{"internal/objects", "internal/bay", "a door states what it needs of the core and is given it"},
	{"internal/objects", "internal/store", "a door translates; rules live in bay"},
	{"internal/objects", "internal/contexts", "a door knows files, not how they are kept"},
	{"internal/objects", "internal/rpc", "doors do not know of each other"},
	{"internal/blob", "internal/contexts", "a blob store does not know what the bytes mean"},
	{"internal/blob", "internal/bay", "a blob store does not know what the bytes mean"},
	{"internal/blob", "internal/store", "a blob store does not know what the bytes mean"},
	{"internal/contexts", "internal/bay", "how contexts are kept is told apart from whose they are and when they are saved"},
	{"internal/contexts", "internal/store", "how contexts are kept is told apart from whose they are and when they are saved"},
	{"internal/contexts", "internal/runtime", "trees are directories, whoever mounts them"},
	{"internal/store", "internal/contexts", "the store names states, and does not read them"},
	{"internal/guest", "internal/bay", "the guest runs inside the session and must not drag the server in"},
	{"internal/guest", "internal/store", "the guest runs inside the session and must not drag the server in"},
	{"internal/guest", "internal/runtime", "the guest runs inside the session and must not drag the server in"},
	{"internal/guest", "internal/image", "the guest runs inside the session and must not drag the server in"},
	{"internal/guest", "internal/rpc", "the guest runs inside the session and must not drag the server in"},
	{"cmd/agentbay-guest", "internal/bay", "the guest runs inside the session and must not drag the server in"},
	{"cmd/agentbay-guest", "internal/store", "the guest runs inside the session and must not drag the server in"},
	{"cmd/agentbay-guest", "internal/rpc", "the guest runs inside the session and must not drag the server in"},
	{"internal/runtime", "internal/bay", "a driver makes machines; when is decided in bay"},
	{"internal/runtime", "internal/store", "a driver keeps its own ledger, next to what it records"},
	{"internal/runtime", "internal/image", "a driver is given directories; what is in them is image's"},
	{"internal/runtime", "internal/rpc", "a driver knows no wire"},
	{"internal/image", "internal/bay", "the image store is shared by servers and the command line"},
	{"internal/image", "internal/store", "the image store is shared by servers and the command line"},
	{"internal/image", "internal/rpc", "the image store knows no wire"},
	{"internal/store", "internal/bay", "the store holds no rule"},
	{"internal/store", "internal/rpc", "the store knows no wire"},
	{"internal/store", "internal/runtime", "the store is SQL; what is on the host is a runtime's"},
	{"internal/store", "internal/image", "the store is SQL; what is on the host is an image store's"},
	{"internal/sqlite", "internal", "a database is opened below what is kept in it"},
	{"internal/gate", "internal", "secrets are made and checked below everything else"},
	{"internal/certs", "internal", "certificates are made below everything else"},
	{"internal/listener", "internal", "a port does not know what is answered on it"},
}

// strangers is what packages may import from outside the module: those that
// are not here, anything.
var strangers = map[string]string{
	".":    "the SDK drags nothing into its users' programs",
	"tool": "the SDK drags nothing into its users' programs",
}

// A file is one parsed Go file.
type file struct {
	pkg, name string
	test      bool
	ast       *ast.File
}

// files parses every Go file of the module: in this process, so that a cached
// result of this test is made anew when a file changes.
func files(t *testing.T) (all []file) {
	t.Helper()
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == "testdata" || d.Name() == "node_modules" || strings.HasPrefix(d.Name(), ".") && path != "..") {
			return filepath.SkipDir
		}
		if !strings.HasSuffix(path, ".go") {
			return nil
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly|parser.ParseComments)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel("..", path)
		all = append(all, file{filepath.ToSlash(filepath.Dir(rel)), rel, strings.HasSuffix(path, "_test.go"), parsed})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// imports is what a file imports.
func (f file) imports() (paths []string) {
	for _, spec := range f.ast.Imports {
		path, _ := strconv.Unquote(spec.Path.Value) // the parser has checked it
		paths = append(paths, path)
	}
	return paths
}

// within reports whether a package of the module is pkg or below it.
func within(path, pkg string) bool {
	if pkg == "." {
		return path == "."
	}
	return path == pkg || strings.HasPrefix(path, pkg+"/")
}

// local is a package's path in the module.
func local(path string) (string, bool) {
	if path == module {
		return ".", true
	}
	return strings.CutPrefix(path, module+"/")
}

func TestImportsPointDown(t *testing.T) {
	for _, f := range files(t) {
		if f.test || strings.HasSuffix(f.pkg, "test") { // tests may meet from anywhere
			continue
		}
		for _, path := range f.imports() {
			if imported, ok := local(path); ok {
				checkLayers(t, f, imported)
			} else if why := strangers[f.pkg]; why != "" && strings.Contains(strings.Split(path, "/")[0], ".") {
				t.Errorf("%s imports %s: %s", f.name, path, why)
			}
		}
	}
}

func checkLayers(t *testing.T, f file, imported string) {
	for _, l := range layers {
		if within(f.pkg, l.pkg) && within(imported, l.mayNotImport) && !within(imported, l.pkg) {
			t.Errorf("%s imports %s: %s", f.name, imported, l.why)
		}
	}
}

// Runtimes, doors and families of tools are strangers to one another.
func TestSiblingsDoNotMeet(t *testing.T) {
	siblings := [][]string{
		{"internal/runtime/oci", "internal/runtime/fake"},
		{"internal/guest/shell", "internal/guest/files", "internal/guest/code"},
	}
	for _, f := range files(t) {
		for _, path := range f.imports() {
			imported, _ := local(path)
			for _, group := range siblings {
				if from, to := memberOf(group, f.pkg), memberOf(group, imported); from != "" && to != "" && from != to && !f.test {
					t.Errorf("%s imports %s: they meet above, where they are wired", f.name, imported)
				}
			}
		}
	}
}

func memberOf(group []string, path string) string {
	for _, pkg := range group {
		if within(path, pkg) {
			return pkg
		}
	}
	return ""
}

// A package opens with a sentence that a stranger can use.
func TestEveryPackageSaysWhatItIsFor(t *testing.T) {
	said := map[string]bool{}
	for _, f := range files(t) {
		if strings.HasSuffix(f.ast.Name.Name, "_test") {
			continue
		}
		said[f.pkg] = said[f.pkg] || f.ast.Doc != nil && len(strings.Fields(f.ast.Doc.Text())) > 4
	}
	for pkg, ok := range said {
		if !ok {
			t.Errorf("package %s has no package comment", pkg)
		}
	}
}

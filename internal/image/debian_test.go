package image

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/agentbay/agentbay"
)

// archive is a Debian archive in a directory, and the line that makes it a source.
func archive(t *testing.T, packages map[string]string) (sources string) {
	t.Helper()
	dir := t.TempDir()
	var index strings.Builder
	for name, postinst := range packages {
		control := fmt.Sprintf("Package: %s\nVersion: 1\nArchitecture: all\nMaintainer: nobody <nobody@localhost>\nDescription: for a test\n", name)
		tree := t.TempDir()
		write(t, filepath.Join(tree, "DEBIAN/control"), control, 0o644)
		write(t, filepath.Join(tree, "DEBIAN/postinst"), "#!/bin/sh\n"+postinst+"\n", 0o755)
		write(t, filepath.Join(tree, "opt", name), name, 0o644)
		write(t, filepath.Join(tree, "usr/share/man/man1", name), "pages", 0o644)
		deb := filepath.Join(dir, name+".deb")
		if out, err := exec.Command("dpkg-deb", "--root-owner-group", "--build", tree, deb).CombinedOutput(); err != nil {
			t.Fatalf("dpkg-deb: %v\n%s", err, out)
		}
		info, err := os.Stat(deb)
		if err != nil {
			t.Fatal(err)
		}
		sum, err := exec.Command("sha256sum", deb).Output()
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&index, "%sFilename: %s.deb\nSize: %d\nSHA256: %s\n\n", control, name, info.Size(), strings.Fields(string(sum))[0])
	}
	write(t, filepath.Join(dir, "Packages"), index.String(), 0o644)
	return "deb [trusted=yes] copy:" + dir + " ./\n"
}

func write(t *testing.T, file, content string, mode os.FileMode) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(content), mode); err != nil {
		t.Fatal(err)
	}
}

// debianish is recipes with a system below that is just enough for dpkg, and
// packages above.
func debianish(t *testing.T, packages string) fstest.MapFS {
	t.Helper()
	for _, tool := range []string{"dpkg", "dpkg-deb", "apt-get", "apt-config"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("needs %s, to be on Debian", tool)
		}
	}
	all := fstest.MapFS{
		"system/image.json":                 text(`{"files": {"root": "/"}}`),
		"system/root/var/lib/dpkg/status":   text(""),
		"system/root/var/lib/dpkg/info/x":   text(""),
		"system/root/etc/dpkg/dpkg.cfg":     text("path-exclude=/usr/share/man/*\n"),
		"system/root/var/cache/apt/x":       text(""),
		"system/root/var/log/dpkg.log":      text(""),
		"system/root/etc/apt/apt.conf.d/00": text("// nothing\n"),
		"system/root/etc/passwd":            text("root:x:0:0::/root:/bin/sh\n"),
		"image/image.json":                  text(`{"name": "image", "parent": "system", "packages": [` + packages + `]}`),
	}
	addPrograms(t, all, "system/root", "/bin/sh", "/bin/rm", "/bin/tar", "/usr/bin/dpkg", "/usr/bin/dpkg-deb", "/usr/bin/dpkg-split", "/usr/bin/diff", "/usr/sbin/ldconfig", "/usr/sbin/start-stop-daemon")
	return all
}

func TestPackagesBecomeALayer(t *testing.T) {
	s := openTiny(t, debianish(t, `"good"`))
	b := &Builder{Store: s, Sources: archive(t, map[string]string{"good": "echo configured > /opt/configured"})}
	img, err := b.Build(t.Context(), "image", nil)
	if err != nil {
		t.Fatalf("%v\n%s", err, mustRead(t, s.path("build.log")))
	}
	if got := mustRead(t, img.Layers[0], "opt/good"); got != "good" {
		t.Errorf("the package brought %q", got)
	}
	if got := mustRead(t, img.Layers[0], "opt/configured"); got != "configured\n" {
		t.Errorf("its script made %q", got)
	}
	for _, leftover := range []string{"usr/sbin/policy-rc.d", "var/cache/apt/archives/good_1_all.deb", "usr/share/man/man1/good"} {
		if _, err := os.Lstat(filepath.Join(img.Layers[0], leftover)); err == nil {
			t.Errorf("the layer has %s", leftover)
		}
	}
}

func TestThePackageThatFailedIsNamed(t *testing.T) {
	for _, tc := range []struct{ what, packages, says string }{
		{"its script fails", `"good", "broken"`, "disk of cheese"},
		{"its script fails", `"good", "broken"`, "packages: broken"},
		{"nobody has it", `"good", "nowhere"`, "nowhere"},
	} {
		s := openTiny(t, debianish(t, tc.packages))
		b := &Builder{Store: s, Sources: archive(t, map[string]string{"good": ":", "broken": "echo disk of cheese; exit 1"})}
		_, err := b.Build(t.Context(), "image", nil)
		if !errors.Is(err, agentbay.Unavailable) || !strings.Contains(agentbay.MessageOf(err), tc.says) {
			t.Errorf("%s: %v, want Unavailable with %q", tc.what, err, tc.says)
		}
		if layers := entries(t, s, "layers"); len(layers) != 1 {
			t.Errorf("%s: %d layers, want the one below", tc.what, len(layers))
		}
	}
}

func TestAMirrorThatHasNothingIsNamed(t *testing.T) {
	if _, err := exec.LookPath("mmdebstrap"); err != nil {
		t.Skip("needs mmdebstrap")
	}
	s := openTiny(t, fstest.MapFS{"image/image.json": text(`{"name": "image", "debian": "bookworm"}`)})
	b := &Builder{Store: s, Sources: "deb copy:/nowhere bookworm main\n"}
	_, err := b.Build(t.Context(), "image", nil)
	if !errors.Is(err, agentbay.Unavailable) || !strings.Contains(agentbay.MessageOf(err), "/nowhere") {
		t.Errorf("Build: %v, want Unavailable and the mirror", err)
	}
	for _, dir := range []string{"tmp", "layers"} {
		if left := entries(t, s, dir); len(left) != 0 {
			t.Errorf("left in %s: %v", dir, left)
		}
	}
}

func TestSourcesOfTheHost(t *testing.T) {
	const signed = "deb [signed-by=" + keyring + "] "
	for _, tc := range []struct {
		what, list, stanza string
		want               []string
	}{
		{"a plain line", "deb http://mirror/debian bookworm main contrib\n", "", []string{signed + "http://mirror/debian bookworm main"}},
		{"options", "deb [arch=amd64 signed-by=/x] https://m/d bookworm-updates main", "", []string{signed + "https://m/d bookworm-updates main"}},
		{"a local mirror", "deb file:/srv/debian bookworm main", "", []string{signed + "copy:/srv/debian bookworm main"}},
		{"comments, sources, other releases", "# deb http://m/d bookworm main\ndeb-src http://m/d bookworm main\ndeb http://m/d trixie main\ndeb http://m/d bookworm-backports main\ndeb http://m/x bookworm stable\n", "", nil},
		{"a stanza", "", "Types: deb deb-src\nURIs: http://m/d\nSuites: bookworm\n  bookworm-security\nComponents: main\n", []string{signed + "http://m/d bookworm main", signed + "http://m/d bookworm-security main"}},
		{"a stanza that is off", "", "Enabled: no\nTypes: deb\nURIs: http://m/d\nSuites: bookworm\nComponents: main\n", nil},
		{"two stanzas", "", "Types: deb\nURIs: http://a\nSuites: trixie\nComponents: main\n\n# second\nTypes: deb\nURIs: http://b\nSuites: bookworm\nComponents: main\n", []string{signed + "http://b bookworm main"}},
	} {
		got := append(listSources(tc.list, "bookworm"), stanzaSources(tc.stanza, "bookworm")...)
		if !slices.Equal(got, tc.want) {
			t.Errorf("%s: %q, want %q", tc.what, got, tc.want)
		}
	}
}

func TestOnlyWhatReachesTheNetworkIsTakenFromTheHostsApt(t *testing.T) {
	got := aptNetwork(`APT "";
APT::Architecture "amd64";
Acquire "";
Acquire::AllowInsecureRepositories "1";
Acquire::Languages "none";
Acquire::Check-Valid-Until "false";
Acquire::http::Proxy "http://proxy:3128";
Acquire::https "";
Acquire::https::CaInfo "/etc/ssl/own.pem";
DPkg::Post-Invoke:: "rm -rf /";
`)
	want := `Acquire::Check-Valid-Until "false";
Acquire::http::Proxy "http://proxy:3128";
Acquire::https::CaInfo "/etc/ssl/own.pem";
`
	if got != want {
		t.Errorf("took\n%swant\n%s", got, want)
	}
}

func TestAptStatus(t *testing.T) {
	var apt aptStatus
	for _, tc := range []struct {
		line    string
		percent int
		detail  string
		ok      bool
	}{
		{"dlstatus:1:30.0:Retrieving file 1 of 3", 10, "Retrieving file 1 of 3", true},
		{"pmstatus:git:50.0000:Installing git: now", 66, "Installing git: now", true},
		{"pmstatus:dpkg-exec:100.0000:Running dpkg", 99, "Running dpkg", true},
		{"pmconffile:/etc/x:50:'a' 'b'", 0, "", false},
		{"pmerror:/var/cache/apt/archives/x_1_all.deb:50:broken", 0, "", false},
		{"pmstatus:git:NaN:x", 0, "", false},
		{"pmstatus:git:1e300:x", 0, "", false},
		{"nonsense", 0, "", false},
		{"", 0, "", false},
	} {
		percent, detail, ok := apt.read(tc.line)
		if percent != tc.percent || detail != tc.detail || ok != tc.ok {
			t.Errorf("%q: %d, %q, %v; want %d, %q, %v", tc.line, percent, detail, ok, tc.percent, tc.detail, tc.ok)
		}
	}
	if apt.blame() != "x_1_all.deb" {
		t.Errorf("blamed %q", apt.blame())
	}
}

func FuzzAptStatus(f *testing.F) {
	f.Add("pmstatus:git:50.0000:Installing git")
	f.Add("dlstatus:1:-3:x\npmerror:a:b:c")
	f.Fuzz(func(t *testing.T, line string) {
		percent, _, _ := new(aptStatus).read(line)
		if percent < 0 || percent > 100 {
			t.Errorf("%q is %d%%", line, percent)
		}
	})
}

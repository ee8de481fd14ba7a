package image

import (
	"bufio"
	"context"
	_ "embed"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/agentbay/agentbay"
)

// The scripts that make layers. Each runs in a jail, on the host's files; the
// image being built is at $ROOT.
var (
	//go:embed mount.sh
	mountScript string
	//go:embed bootstrap.sh
	bootstrapScript string
	//go:embed install.sh
	installScript string
	//go:embed setup.sh
	setupScript string
)

// excluded is what no package brings into an image: what people read, in every
// language. Licences stay.
const excluded = `path-exclude=/usr/share/doc/*
path-include=/usr/share/doc/*/copyright
path-exclude=/usr/share/info/*
path-exclude=/usr/share/locale/*
path-include=/usr/share/locale/locale.alias
path-exclude=/usr/share/man/*
`

// imageSources is where sessions get packages from, whatever mirror the image
// itself was built from.
const imageSources = `Types: deb
URIs: http://deb.debian.org/debian
Suites: %[1]s %[1]s-updates
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
URIs: http://deb.debian.org/debian-security
Suites: %[1]s-security
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
`

// buildPackages makes a layer of Debian packages: by mmdebstrap if it is the
// lowest, and then by the host's apt on the image's dpkg. Because it is the host's
// apt that downloads, the host's mirrors, proxies, certificates and passwords
// apply, and none of them gets into the image.
func buildPackages(ctx context.Context, w *work) error {
	r := w.step.recipe
	if err := needTools(r); err != nil {
		return err
	}
	release, err := w.release()
	if err != nil {
		return err
	}
	if err := w.aptFiles(release); err != nil {
		return err
	}
	if r.Debian != "" {
		j := w.jail(mountScript + bootstrapScript)
		j.env = append(j.env, "RELEASE="+release)
		j.onLine = bootstrapProgress(w)
		if err := j.run(ctx); err != nil {
			return w.failed(err, "mmdebstrap", j.tail.lines())
		}
	}
	if len(r.Packages) == 0 {
		return nil
	}
	return w.install(ctx, r.Packages)
}

// needTools looks for the programs a build runs on the host.
func needTools(r *recipe) error {
	tools := map[string]string{"apt-get": "apt", "apt-config": "apt", "dpkg": "dpkg", "mount": "mount", "chroot": "coreutils"}
	if r.Debian != "" {
		tools["mmdebstrap"] = "mmdebstrap"
	}
	for tool, pkg := range tools {
		if _, err := exec.LookPath(tool); err != nil {
			return agentbay.Errorf(agentbay.Unavailable, "building images needs %s; install it with: apt-get install %s", tool, pkg)
		}
	}
	if _, err := os.Stat(keyring); err != nil {
		return agentbay.Wrap(err, agentbay.Unavailable, "building images needs Debian's keys; install them with: apt-get install debian-archive-keyring")
	}
	return needRoot()
}

func needRoot() error {
	if os.Geteuid() != 0 {
		return agentbay.Errorf(agentbay.Denied, "building images needs root, to mount and to own what is in them; run it with sudo")
	}
	return nil
}

// release is the Debian release at the bottom of the step's image.
func (w *work) release() (string, error) {
	chain, err := w.builder.Store.recipes.chain(w.step.recipe)
	if err != nil {
		return "", err
	}
	if chain[0].Debian == "" && w.builder.Sources == "" {
		return "", fmt.Errorf("recipe %s: packages of which release? %s names none", w.step.recipe.folder, chain[0].folder)
	}
	return chain[0].Debian, nil
}

// aptFiles writes what apt and mmdebstrap are told: where packages come from,
// how to reach it, and what to leave out.
func (w *work) aptFiles(release string) error {
	sources := w.builder.Sources
	if sources == "" {
		sources = hostSources(release)
	}
	network, err := hostAptNetwork()
	if err != nil {
		return err
	}
	conf, err := w.aptConf(network)
	if err != nil {
		return err
	}
	for name, text := range map[string]string{
		"sources.list":   sources,
		"network.conf":   network,
		"apt.conf":       conf,
		"dpkg.cfg":       excluded,
		"debian.sources": fmt.Sprintf(imageSources, release),
	} {
		if err := os.WriteFile(w.path(name), []byte(text), 0o600); err != nil {
			return err
		}
	}
	return nil
}

// aptConf configures the host's apt to work on the image at root.
func (w *work) aptConf(network string) (string, error) {
	arch, err := exec.Command("dpkg", "--print-architecture").Output()
	if err != nil {
		return "", err
	}
	settings := [][2]string{
		{"APT::Architecture", strings.TrimSpace(string(arch))},
		{"APT::Architectures", strings.TrimSpace(string(arch))},
		{"APT::Install-Recommends", "false"},
		{"APT::Install-Suggests", "false"},
		{"APT::Sandbox::User", "root"},
		{"Acquire::Languages", "none"},
		{"Acquire::Retries", "3"},
		{"Dir", w.path("root") + "/"},
		{"Dir::Cache::archives", w.path("root", "var/cache/apt/archives") + "/"},
		{"Dir::Etc::sourcelist", w.path("sources.list")},
		{"Dir::Etc::sourceparts", "/dev/null"},
		{"Dir::Etc::preferences", "/dev/null"},
		{"Dir::Etc::preferencesparts", "/dev/null"},
		{"Dir::Etc::netrc", "/etc/apt/auth.conf"},
		{"Dir::Etc::netrcparts", "/etc/apt/auth.conf.d/"},
		{"Dir::Etc::trusted", "/etc/apt/trusted.gpg"},
		{"Dir::Etc::trustedparts", "/etc/apt/trusted.gpg.d/"},
		{"Dir::Log", w.path() + "/"},
		{"Dir::State::lists", w.builder.Store.path("debian", "lists") + "/"},
		{"Dir::State::status", w.path("root", "var/lib/dpkg/status")},
		{"DPkg::Chroot-Directory", w.path("root")},
		{"DPkg::Options::", "--force-unsafe-io"}, // the whole layer is synced at its end
		{"DPkg::Options::", "--force-confold"},
		{"DPkg::Use-Pty", "false"},
	}
	conf := network
	for _, s := range settings {
		conf += fmt.Sprintf("%s %s;\n", s[0], strconv.Quote(s[1]))
	}
	return conf, nil
}

// install has apt install packages on top of the layers below. Downloads are
// kept until all are in the layer, so that a build that failed does not load
// them again.
func (w *work) install(ctx context.Context, packages []string) error {
	archives := w.builder.Store.path("debian", "archives")
	for _, dir := range []string{filepath.Join(archives, "partial"), w.builder.Store.path("debian", "lists", "partial")} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	j := w.jail(mountScript+installScript, packages...)
	j.env = append(j.env, "APT_CONFIG="+w.path("apt.conf"), "ARCHIVES="+archives, "DEBIAN_FRONTEND=noninteractive")
	var apt aptStatus
	began := w.progress.Percent
	j.onStatus = func(line string) {
		if percent, detail, ok := apt.read(line); ok {
			w.at(began+percent*(100-began)/100, detail)
		}
	}
	if err := j.run(ctx); err != nil {
		return w.failed(err, apt.blame(), j.tail.lines())
	}
	return os.RemoveAll(archives)
}

// jail is a jail for a script on the image as it is after the steps below.
func (w *work) jail(script string, args ...string) *jail {
	var lower []string
	for _, id := range w.step.below {
		lower = append(lower, w.builder.Store.layerDir(id))
	}
	return &jail{
		script: script,
		args:   args,
		env: []string{
			"WORK=" + w.dir,
			"ROOT=" + w.path("root"),
			"LOWER=" + strings.Join(lower, ":"),
			"UPPER=" + w.path("layer", "fs"),
		},
		lock: w.lock,
		log:  w.log,
	}
}

// buildFiles makes a layer of the recipe's own files and what its setup script
// does to the image. The script has no network.
func buildFiles(ctx context.Context, w *work) error {
	if err := needRoot(); err != nil {
		return err
	}
	files, err := w.step.recipe.tree()
	if err != nil {
		return err
	}
	if err := w.stage(files); err != nil {
		return err
	}
	j := w.jail(mountScript + setupScript)
	j.offline = true
	j.onLine = func(line string) { w.at(50, line) }
	if err := j.run(ctx); err != nil {
		return w.failed(err, w.step.recipe.Setup, j.tail.lines())
	}
	return nil
}

// stage lays the files out as they will be in the image. They get one fixed
// time, so that what is compiled from them does not look outdated.
func (w *work) stage(files []treeFile) error {
	fixed := time.Unix(946684800, 0) // 2000-01-01
	for _, f := range files {
		target := w.path("files", f.Path)
		if f.Path == "" {
			target = w.path("setup")
		}
		mode := os.FileMode(0o644)
		if f.Exec {
			mode = 0o755
		}
		if err := os.MkdirAll(path.Dir(target), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(target, f.bytes, mode); err != nil {
			return err
		}
		if err := os.Chtimes(target, fixed, fixed); err != nil {
			return err
		}
	}
	return os.MkdirAll(w.path("files"), 0o755)
}

// bootstrapProgress turns mmdebstrap's messages into a share of the step, which
// installing the other packages completes.
func bootstrapProgress(w *work) func(string) {
	phases := []string{"I: running apt-get update", "I: downloading packages", "I: extracting archives", "I: installing essential", "I: installing remaining", "I: cleaning"}
	return func(line string) {
		i := slices.IndexFunc(phases, func(p string) bool { return strings.HasPrefix(line, p) })
		if i >= 0 {
			w.at(i*bootstrapShare/len(phases), strings.TrimPrefix(line, "I: "))
		}
	}
}

// bootstrapShare is the percentage of the lowest packages step that mmdebstrap
// takes.
const bootstrapShare = 40

// An aptStatus follows apt's status lines, which are kind:package:percent:text.
type aptStatus struct {
	broken []string // packages that could not be installed
}

// read understands one line. Loading is the first third of the work.
func (a *aptStatus) read(line string) (percent int, detail string, ok bool) {
	part := strings.SplitN(line, ":", 4)
	if len(part) < 4 {
		return 0, "", false
	}
	if part[0] == "pmerror" {
		a.broken = append(a.broken, path.Base(part[1]))
	}
	share, err := strconv.ParseFloat(part[2], 64)
	if err != nil || !(share >= 0 && share <= 100) {
		return 0, "", false
	}
	switch part[0] {
	case "dlstatus":
		return int(share / 3), part[3], true
	case "pmstatus":
		return int(33 + share*2/3), part[3], true
	}
	return 0, "", false
}

// blame names the packages that failed.
func (a *aptStatus) blame() string { return strings.Join(slices.Compact(a.broken), ", ") }

// eachLine calls f with every line of r, cut to a sane length.
func eachLine(r io.Reader, f func(string)) {
	lines := bufio.NewReaderSize(r, 4096)
	for {
		line, long, err := lines.ReadLine()
		for long && err == nil {
			_, long, err = lines.ReadLine()
		}
		if err != nil {
			return
		}
		f(strings.ToValidUTF8(string(line), "?"))
	}
}

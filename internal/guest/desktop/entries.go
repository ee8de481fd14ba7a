package desktop

import (
	"bufio"
	"context"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/agentbay/agentbay/internal/guest"
	"github.com/agentbay/agentbay/tool"
)

// An entry is a desktop entry: an application as freedesktop.org's Desktop Entry
// Specification describes it.
type entry struct {
	id         string // its file's name, which hides those of one name in later directories
	name       string
	exec       string
	dir        string
	categories []string
	hidden     bool // from menus
	terminal   bool // it needs one
}

// maxEntry bounds a desktop entry, in bytes.
const maxEntry = 64 << 10

// readEntry reads the main group of a desktop entry; ok says whether it is one
// of an application.
func readEntry(r io.Reader) (e entry, ok bool) {
	lines := bufio.NewScanner(io.LimitReader(r, maxEntry))
	lines.Buffer(nil, maxEntry)
	group, kind := "", ""
	for lines.Scan() {
		line := strings.TrimSpace(lines.Text())
		if strings.HasPrefix(line, "[") {
			group = line
			continue
		}
		key, value, found := strings.Cut(line, "=")
		if group != "[Desktop Entry]" || !found || strings.HasPrefix(line, "#") {
			continue
		}
		value = strings.TrimSpace(value)
		switch strings.TrimSpace(key) {
		case "Type":
			kind = value
		case "Name":
			e.name = value
		case "Exec":
			e.exec = value
		case "Path":
			e.dir = value
		case "Categories":
			e.categories = strings.FieldsFunc(value, func(r rune) bool { return r == ';' })
		case "NoDisplay", "Hidden":
			e.hidden = e.hidden || value == "true"
		case "Terminal":
			e.terminal = value == "true"
		case "OnlyShowIn":
			e.hidden = true // in a desktop environment that is not ours
		case "TryExec":
			if _, err := exec.LookPath(value); err != nil {
				e.hidden = true
			}
		}
	}
	if e.terminal {
		e.exec = "x-terminal-emulator -e " + e.exec
	}
	return e, kind == "Application" && e.name != "" && e.exec != ""
}

// isTool reports whether an entry is of the system rather than for work.
func (e entry) isTool() bool {
	has := func(category string) bool { return slices.Contains(e.categories, category) }
	return (has("Settings") || has("System")) && !has("TerminalEmulator") && !has("FileManager")
}

// maxEntries bounds how many applications are listed.
const maxEntries = 2000

// entriesIn reads the entries of directories. The first of a name counts, so
// that users can hide what the system has.
func entriesIn(dirs []string) (all []entry) {
	seen := map[string]bool{}
	for _, dir := range dirs {
		files, err := os.ReadDir(dir)
		if err != nil {
			continue // not every user has every directory
		}
		for _, f := range files {
			if !strings.HasSuffix(f.Name(), ".desktop") || seen[f.Name()] || len(all) == maxEntries {
				continue
			}
			seen[f.Name()] = true
			if e, ok := entryOf(filepath.Join(dir, f.Name())); ok {
				all = append(all, e)
			}
		}
	}
	slices.SortFunc(all, func(a, b entry) int {
		return strings.Compare(strings.ToLower(a.name), strings.ToLower(b.name))
	})
	return all
}

func entryOf(file string) (e entry, ok bool) {
	info, err := os.Stat(file)
	if err != nil || !info.Mode().IsRegular() {
		return e, false // opening a pipe would wait for who writes
	}
	f, err := os.Open(file)
	if err != nil {
		return e, false
	}
	defer f.Close()
	e, ok = readEntry(f)
	e.id = filepath.Base(file)
	return e, ok
}

// menuDirs is where entries of the applications menu are.
func (d *Desktop) menuDirs() (dirs []string) {
	home, data := d.env("HOME"), d.env("XDG_DATA_HOME")
	if data == "" {
		data = filepath.Join(home, ".local/share")
	}
	shared := d.env("XDG_DATA_DIRS")
	if shared == "" {
		shared = "/usr/local/share:/usr/share"
	}
	for _, dir := range append([]string{data}, filepath.SplitList(shared)...) {
		dirs = append(dirs, filepath.Join(dir, "applications"))
	}
	return dirs
}

// env is a variable of the environment of applications; the last one counts.
func (d *Desktop) env(name string) string {
	for _, kv := range slices.Backward(d.Env) {
		if value, ok := strings.CutPrefix(kv, name+"="); ok {
			return value
		}
	}
	return ""
}

func (d *Desktop) installedApps(_ context.Context, in tool.InstalledAppsIn) (guest.Answer, error) {
	var dirs []string
	if in.StartMenu == nil || *in.StartMenu {
		dirs = d.menuDirs()
	}
	if in.Desktop {
		dirs = append(dirs, filepath.Join(d.env("HOME"), "Desktop"))
	}
	apps := []tool.App{}
	for _, e := range entriesIn(dirs) {
		if e.hidden || e.isTool() && (in.IgnoreTools == nil || *in.IgnoreTools) {
			continue
		}
		apps = append(apps, tool.App{Name: e.name, StartCmd: e.exec, Dir: e.dir})
	}
	return guest.JSON(apps), nil
}

// commandOf is the command line that starts an application: of what is
// installed, by its name, or the line itself without the placeholders that
// desktop entries have for files.
func (d *Desktop) commandOf(line string) (command, dir string) {
	for _, e := range entriesIn(d.menuDirs()) {
		if strings.EqualFold(e.name, line) || e.id == line {
			return withoutFields(e.exec), e.dir
		}
	}
	return withoutFields(line), ""
}

// withoutFields removes the field codes of a desktop entry; %% is a percent sign.
func withoutFields(line string) string {
	words := strings.Split(line, " ")
	words = slices.DeleteFunc(words, func(w string) bool {
		return len(w) == 2 && w[0] == '%' && strings.ContainsRune("fFuUdDnNickvm", rune(w[1]))
	})
	return strings.TrimSpace(strings.ReplaceAll(strings.Join(words, " "), "%%", "%"))
}

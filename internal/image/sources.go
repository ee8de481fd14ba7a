package image

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// keyring is what signs Debian, as the package debian-archive-keyring has it.
const keyring = "/usr/share/keyrings/debian-archive-keyring.gpg"

// hostSources is where the host itself gets a Debian release from, as lines of
// sources.list, or Debian's own servers if it is another system.
func hostSources(release string) string {
	var lines []string
	oneLine, _ := filepath.Glob("/etc/apt/sources.list.d/*.list") // the pattern is good
	for _, file := range append([]string{"/etc/apt/sources.list"}, oneLine...) {
		text, _ := os.ReadFile(file) // what cannot be read is no source
		lines = append(lines, listSources(string(text), release)...)
	}
	stanzas, _ := filepath.Glob("/etc/apt/sources.list.d/*.sources")
	for _, file := range stanzas {
		text, _ := os.ReadFile(file)
		lines = append(lines, stanzaSources(string(text), release)...)
	}
	if !slices.ContainsFunc(lines, func(l string) bool { return strings.Contains(l, " "+release+" ") }) {
		return debianSources(release)
	}
	return strings.Join(lines, "\n") + "\n"
}

// debianSources is Debian's own servers.
func debianSources(release string) string {
	const debian = "http://deb.debian.org/debian"
	return source(debian, release) + "\n" + source(debian, release+"-updates") + "\n" + source(debian+"-security", release+"-security") + "\n"
}

// source is one line. Packages of a local mirror are copied, because the image's
// dpkg cannot see the host's files.
func source(uri, suite string) string {
	if local, ok := strings.CutPrefix(uri, "file:"); ok {
		uri = "copy:" + local
	}
	return fmt.Sprintf("deb [signed-by=%s] %s %s main", keyring, uri, suite)
}

// ofRelease reports whether a suite is a release or what updates it. Backports
// are not: they are another choice of versions.
func ofRelease(suite, release string) bool {
	suite = strings.TrimSuffix(suite, "/")
	return suite == release || suite == release+"-updates" || suite == release+"-security"
}

// listSources reads one-line sources: deb [options] uri suite component...
func listSources(text, release string) []string {
	var found []string
	for line := range strings.Lines(text) {
		line, _, _ = strings.Cut(line, "#")
		rest, ok := strings.CutPrefix(strings.TrimSpace(line), "deb ")
		if !ok {
			continue
		}
		if _, after, ok := strings.Cut(rest, "]"); ok {
			rest = after
		}
		f := strings.Fields(rest)
		if len(f) >= 3 && ofRelease(f[1], release) && slices.Contains(f[2:], "main") {
			found = append(found, source(f[0], f[1]))
		}
	}
	return found
}

// stanzaSources reads sources in stanzas of fields.
func stanzaSources(text, release string) []string {
	var found []string
	for stanza := range strings.SplitSeq(strings.ReplaceAll(text, "\r\n", "\n"), "\n\n") {
		field := fields(stanza)
		if slices.Equal(field["enabled"], []string{"no"}) || !slices.Contains(field["types"], "deb") || !slices.Contains(field["components"], "main") {
			continue
		}
		for _, uri := range field["uris"] {
			for _, suite := range field["suites"] {
				if ofRelease(suite, release) {
					found = append(found, source(uri, suite))
				}
			}
		}
	}
	return found
}

// fields splits a stanza into its fields' words. A line that begins with a
// space goes on with the field before it.
func fields(stanza string) map[string][]string {
	all := map[string][]string{}
	name := ""
	for line := range strings.Lines(stanza) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		words := line
		if !strings.HasPrefix(line, " ") && !strings.HasPrefix(line, "\t") {
			name, words, _ = strings.Cut(line, ":")
			name = strings.ToLower(strings.TrimSpace(name))
		}
		all[name] = append(all[name], strings.Fields(words)...)
	}
	return all
}

// hostAptNetwork is the part of the host's apt configuration that says how
// packages are fetched: proxies, certificates, timeouts, trust in dates.
func hostAptNetwork() (string, error) {
	out, err := exec.Command("apt-config", "dump").Output()
	if err != nil {
		return "", fmt.Errorf("apt-config dump: %w", err)
	}
	return aptNetwork(string(out)), nil
}

// aptNetwork picks lines of an apt configuration by name. What makes apt trust
// unsigned packages is not among them.
func aptNetwork(dump string) string {
	var conf strings.Builder
	for line := range strings.Lines(dump) {
		name, value, ok := strings.Cut(strings.TrimSpace(line), " ")
		if ok && value != `"";` && aboutNetwork(strings.ToLower(name)) {
			conf.WriteString(name + " " + value + "\n")
		}
	}
	return conf.String()
}

func aboutNetwork(name string) bool {
	return slices.ContainsFunc([]string{
		"acquire::check-", "acquire::force", "acquire::http", "acquire::ftp", "acquire::retries",
	}, func(prefix string) bool { return strings.HasPrefix(name, prefix) })
}

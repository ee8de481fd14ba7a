package code

import (
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// A language is one that code can be in, and how its runner is started.
type language struct {
	name    string
	aliases []string
	argv    func(runners string) []string // the first is the interpreter's path
	env     []string                      // besides the session's
	chdir   func(quoted string) string    // code that changes the working directory; nil if nothing can
	signal  bool                          // interrupted by SIGINT; else by a message
}

// languages is every language there is.
var languages = []language{
	{
		name:    "python",
		aliases: []string{"py", "python3"},
		signal:  true,
		chdir:   func(dir string) string { return `__import__("os").chdir(` + dir + `)` },
		argv: func(runners string) []string {
			return []string{"/usr/bin/python3", "-X", "faulthandler", filepath.Join(runners, "python/runner.py"), maxSent}
		},
	},
	{
		name:    "javascript",
		aliases: []string{"js", "node", "nodejs"},
		chdir:   func(dir string) string { return "process.chdir(" + dir + ")" },
		argv: func(runners string) []string {
			return []string{"/usr/bin/node", filepath.Join(runners, "javascript/runner.js"), maxSent}
		},
	},
	{
		// The interpreter itself, with the environment that the script /usr/bin/R
		// would give it: the script starts a dozen processes first.
		name:   "r",
		chdir:  func(dir string) string { return "invisible(setwd(" + dir + "))" },
		signal: true,
		env: []string{
			"R_HOME=/usr/lib/R", "R_SHARE_DIR=/usr/share/R/share", "R_INCLUDE_DIR=/usr/share/R/include",
			"R_DOC_DIR=/usr/share/R/doc", "LD_LIBRARY_PATH=/usr/lib/R/lib",
		},
		argv: func(runners string) []string {
			return []string{"/usr/lib/R/bin/exec/R", "--no-echo", "--no-restore",
				"--file=" + filepath.Join(runners, "r/runner.R"), "--args", maxSent}
		},
	},
	{
		// The archive holds the runner's classes ready to use; without it, or for
		// another version of Java, the kernel starts all the same, but slower. Only
		// the quick compiler is used: snippets are short, and both together take
		// twice as long to the first result.
		name: "java",
		argv: func(runners string) []string {
			dir := filepath.Join(runners, "java")
			return []string{"/usr/bin/java", "-Xshare:auto", "-XX:TieredStopAtLevel=1", "-XX:SharedArchiveFile=" + filepath.Join(dir, "runner.jsa"),
				"-XX:+UseSerialGC", "-XX:-UsePerfData", "-Xlog:disable", "-Xlog:all=error:stderr",
				"-cp", filepath.Join(dir, "runner.jar"), "Runner"}
		},
	},
}

// maxSent is what runners are told is the most one event may have, in bytes.
var maxSent = strconv.Itoa(maxLine / 2)

func (l language) is(name string) bool { return name == l.name || slices.Contains(l.aliases, name) }

// environ is the session's environment with the language's own. Text is UTF-8
// unless the session says otherwise.
func (l language) environ(session []string) []string {
	env := slices.Clip(session)
	localized := func(kv string) bool { return strings.HasPrefix(kv, "LANG=") || strings.HasPrefix(kv, "LC_ALL=") }
	if !slices.ContainsFunc(session, localized) {
		env = append(env, "LANG=C.UTF-8")
	}
	return append(env, l.env...)
}

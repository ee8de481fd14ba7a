package code

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/agentbay/agentbay"
	"github.com/agentbay/agentbay/tool"
)

const sources = "../../../images/code/runners"

// builtJava is a copy of the runners in which Java's has been built.
var builtJava = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "runners")
	if err != nil {
		return "", err
	}
	if err := os.CopyFS(dir, os.DirFS(sources)); err != nil {
		return dir, err
	}
	out, err := exec.Command("sh", filepath.Join(dir, "build.sh")).CombinedOutput()
	if err != nil {
		return dir, errors.New(string(out))
	}
	return dir, nil
})

func TestMain(m *testing.M) {
	status := m.Run()
	if dir, _ := builtJava(); dir != "" {
		os.RemoveAll(dir)
	}
	os.Exit(status)
}

// requirements are what a language needs, to be tried with sh.
var requirements = map[string]struct{ try, packages string }{
	"python":     {"/usr/bin/python3 -c 'import IPython, matplotlib_inline'", "python3-ipython and python3-matplotlib-inline"},
	"javascript": {"test -x /usr/bin/node", "nodejs"},
	"r":          {"Rscript -e 'library(jsonlite)'", "r-base-core and r-cran-jsonlite"},
	"java":       {"test -x /usr/bin/javac", "openjdk-17-jdk-headless"},
}

// open makes kernels for a test that needs a language.
func open(t *testing.T, lang string, grace time.Duration) *Kernels {
	t.Helper()
	need := requirements[strings.Replace(lang, "js", "javascript", 1)]
	if exec.Command("sh", "-c", need.try).Run() != nil {
		t.Skipf("%s cannot run here: install %s", lang, need.packages)
	}
	c := Config{Dir: t.TempDir(), Runners: sources, Grace: grace}
	if lang == "java" {
		dir, err := builtJava()
		if err != nil {
			t.Fatal(err)
		}
		c.Runners = dir
	}
	var err error
	if c.Runners, err = filepath.Abs(c.Runners); err != nil {
		t.Fatal(err)
	}
	ks := New(c)
	t.Cleanup(ks.Close)
	return ks
}

// do runs code that is expected to be answered.
func do(t *testing.T, ks *Kernels, lang, code string) tool.RunCodeOut {
	t.Helper()
	out, err := ks.Run(t.Context(), tool.RunCodeIn{Code: code, Language: lang}, nil)
	if err != nil {
		t.Fatalf("%s: %v", code, err)
	}
	return out
}

// results are an answer's results, decoded.
func results(t *testing.T, out tool.RunCodeOut) []map[string]any {
	t.Helper()
	var all []map[string]any
	for _, text := range out.Result {
		var one map[string]any
		if err := json.Unmarshal([]byte(text), &one); err != nil {
			t.Fatalf("result %q: %v", text, err)
		}
		all = append(all, one)
	}
	return all
}

// A said is a piece of code and what is to come of it.
type said struct {
	code           string
	stdout, stderr string // contained in
	text           string // text/plain of the only main result; "" means that there is none
	failure        string // ErrorName
}

// check runs pieces of code in one kernel, one after another.
func check(t *testing.T, ks *Kernels, lang string, table []said) {
	t.Helper()
	for _, want := range table {
		out := do(t, ks, lang, want.code)
		if out.ErrorName != want.failure {
			t.Errorf("%s: failed with %q %q, want %q", want.code, out.ErrorName, out.ExecutionError, want.failure)
		}
		if !strings.HasPrefix(out.ExecutionError, out.ErrorName) {
			t.Errorf("%s: error %q does not name its class %q", want.code, out.ExecutionError, out.ErrorName)
		}
		if got := strings.Join(out.Stdout, ""); !strings.Contains(got, want.stdout) || (want.stdout == "") != (got == "") {
			t.Errorf("%s: stdout %q, want %q", want.code, got, want.stdout)
		}
		if got := strings.Join(out.Stderr, ""); !strings.Contains(got, want.stderr) {
			t.Errorf("%s: stderr %q, want %q", want.code, got, want.stderr)
		}
		if got := mainText(t, out); got != want.text {
			t.Errorf("%s: main result %q, want %q", want.code, got, want.text)
		}
	}
}

func mainText(t *testing.T, out tool.RunCodeOut) string {
	t.Helper()
	text := ""
	for _, r := range results(t, out) {
		if r["isMainResult"] == true {
			text, _ = r["text/plain"].(string)
		}
	}
	return text
}

func TestPython(t *testing.T) {
	ks := open(t, "python", 0)
	check(t, ks, "Python", []said{
		{code: "print('Hello')\n1 + 1", stdout: "Hello\n", text: "2"},
		{code: "x = 41\ndef add(a, b): return a + b"},
		{code: "print(x + 1, add(1, 2))", stdout: "42 3\n"},
		{code: "# just a comment"},
		{code: ""},
		{code: "None"},
		{code: "'Final result'", text: "'Final result'"},
		{code: "x = 1/0", failure: "ZeroDivisionError"},
		{code: "print('Hello'\n", failure: "SyntaxError"},
		{code: "try:\n    1/0\nexcept ZeroDivisionError:\n    print('handled')", stdout: "handled\n"},
		{code: "input()", failure: "EOFError"},
		{code: "import sys; print('oops', file=sys.stderr)", stderr: "oops\n"},
		{code: "!echo from a shell", stdout: "from a shell\n"},
		{code: "import os; os.system('echo from a child'); os.write(1, b'raw\\n')", stdout: "from a child\nraw\n", text: "4"},
		{code: "import asyncio\nawait asyncio.sleep(0)\n'awaited'", text: "'awaited'"},
		{code: "%nosuchmagic", stderr: "not found", failure: "UsageError"},
		{code: "sys.exit(0)"},
		{code: "sys.exit(3)", failure: "SystemExit"},
		{code: "print('é 漢 😀')", stdout: "é 漢 😀\n"},
		{code: "os.write(1, b'\\xff\\xe6') and None", stdout: "\uFFFD"},
		{code: "print('no newline', end='')", stdout: "no newline"},
	})
}

func TestPythonCountsEveryRun(t *testing.T) {
	ks := open(t, "python", 0)
	for i, code := range []string{"1", "1/0", "", "print()"} {
		if out := do(t, ks, "python", code); out.ExecutionCount != i+1 {
			t.Errorf("run %d: execution count %d", i+1, out.ExecutionCount)
		}
	}
}

func TestPythonShowsRichly(t *testing.T) {
	ks := open(t, "python", 0)
	setup := "from IPython.display import *\n"
	for _, tc := range []struct{ code, mime, value string }{
		{"display(HTML('<h1>Hello</h1>'))", "text/html", "<h1>Hello</h1>"},
		{"display(Markdown('# Hello'))", "text/markdown", "# Hello"},
		{"display(Latex(r'\\frac{1}{2}'))", "text/latex", `\frac{1}{2}`},
		{"display(SVG('<svg></svg>'))", "image/svg+xml", "<svg"},
		{"display(Image(data=b'\\x89PNG', format='png'))", "image/png", "iVBORw"},
		{"display(Image(data=b'\\xff\\xd8', format='jpeg'))", "image/jpeg", "/9g="},
		{"class Chart:\n  def _repr_mimebundle_(self, include=None, exclude=None):\n" +
			"    return {'application/vnd.vegalite.v5+json': {'mark': 'bar'}, 'text/plain': 'Chart'}\ndisplay(Chart())",
			"application/vnd.vegalite.v5+json", `map[mark:bar]`},
		{"display(JSON({'a': 1}))", "application/json", "map[a:1]"},
	} {
		out := do(t, ks, "python", setup+tc.code)
		found := false
		for _, r := range results(t, out) {
			if value, ok := r[tc.mime]; ok && r["isMainResult"] == false {
				found = strings.Contains(sprint(value), tc.value)
			}
		}
		if !found {
			t.Errorf("%s: results %q, want %s with %q", tc.code, out.Result, tc.mime, tc.value)
		}
	}
}

func sprint(v any) string {
	if s, ok := v.(string); ok {
		return s
	}
	b, _ := json.Marshal(v)
	return strings.NewReplacer(`{"`, "map[", `":"`, ":", `":`, ":", `"}`, "]", "}", "]").Replace(string(b))
}

func TestPythonPlots(t *testing.T) {
	ks := open(t, "python", 0)
	if exec.Command("/usr/bin/python3", "-c", "import matplotlib").Run() != nil {
		t.Skip("install python3-matplotlib")
	}
	for _, code := range []string{
		"import matplotlib.pyplot as plt\nplt.plot([1, 2]); plt.show()",
		"plt.plot([1, 2]);", // also without show
	} {
		out := do(t, ks, "python", code)
		if got := results(t, out); len(got) != 1 || !strings.HasPrefix(sprint(got[0]["image/png"]), "iVBOR") {
			t.Errorf("%s: %q %q, want one PNG", code, out.Result, out.ExecutionError)
		}
	}
}

func TestJavaScript(t *testing.T) {
	ks := open(t, "javascript", 0)
	check(t, ks, "js", []said{
		{code: "console.log('Hello'); const x = 1 + 1;", stdout: "Hello\n"},
		{code: "const x = 40; x + 2", text: "42"},
		{code: "x", text: "40"},
		{code: "let y; class C {}"},
		{code: "const data = {a: [1, {b: 2}]}; data", text: "{ a: [ 1, { b: 2 } ] }"},
		{code: "throw new Error('Test error')", failure: "Error"},
		{code: "throw 5", failure: "Error"},
		{code: "undefinedVariable", failure: "ReferenceError"},
		{code: "x y", failure: "SyntaxError"},
		{code: "require('os').platform()", text: "'linux'"},
		{code: "import {join} from 'path'; join('a', 'b')", text: "'a/b'"},
		{code: "await new Promise(r => setTimeout(r, 1)); 'awaited'", text: "'awaited'"},
		{code: "async function main() { await null; console.log('in main'); }; main()", stdout: "in main\n"},
		{code: "Promise.reject(new TypeError('no'))", failure: "TypeError"},
		{code: "setTimeout(() => console.log('never seen'), 60000); console.log('done')", stdout: "done\n"},
		{code: "setTimeout(() => { throw new Error('late') }, 0); await new Promise(r => setTimeout(r, 20))", stderr: "late"},
		{code: "process.exit(0)"},
		{code: "process.exit(2)", failure: "ProcessExit"},
		{code: "require('child_process').execSync('echo child', {stdio: 'inherit'}); undefined", stdout: "child\n"},
		{code: "console.error('oops')", stderr: "oops\n"},
		{code: "// nothing"},
		{code: "10n ** 20n", text: "100000000000000000000n"},
		{code: "'é 漢 😀'", text: "'é 漢 😀'"},
	})
	out := do(t, ks, "node", "display({toMimeBundle: () => ({'text/html': '<b>', 'image/png': Buffer.from('x')})})")
	if got := results(t, out); len(got) != 1 || got[0]["text/html"] != "<b>" || got[0]["image/png"] != "eA==" {
		t.Errorf("display: %q", out.Result)
	}
}

func TestR(t *testing.T) {
	ks := open(t, "r", 0)
	check(t, ks, "R", []said{
		{code: "cat(\"Hello, R!\\n\")\nx <- 1 + 1\ncat(x, \"\\n\")", stdout: "Hello, R!\n2"},
		{code: "x", text: "[1] 2"},
		{code: "x; 'é 漢'", stdout: "[1] 2\n", text: "[1] \"é 漢\""},
		{code: "NULL"},
		{code: "# nothing"},
		{code: "invisible(7)"},
		{code: "f <- function() stop('boom'); f()", failure: "simpleError"},
		{code: "1 +", failure: "parseError"},
		{code: "tryCatch(stop('x'), error = function(e) cat('handled'))", stdout: "handled"},
		{code: "warning('careful'); message('said')", stderr: "careful"},
		{code: "invisible(system('echo child'))", stdout: "child\n"},
		{code: "quit()"},
		{code: "q(status = 2)", failure: "quit"},
		{code: "invisible(readline())", stdout: "\n"},
	})
	out := do(t, ks, "r", "plot(1:3); lines(1:3); hist(c(1, 2, 2))")
	if got := results(t, out); len(got) != 2 || !strings.HasPrefix(sprint(got[1]["image/png"]), "iVBOR") {
		t.Errorf("two plots: %d results, %s", len(got), out.ExecutionError)
	}
}

func TestJava(t *testing.T) {
	ks := open(t, "java", 0)
	check(t, ks, "JAVA", []said{
		{code: "System.out.println(\"Hello\");\nint x = 10 + 20;\nSystem.out.println(x);", stdout: "Hello\n30\n"},
		{code: "x + 1", text: "31"},
		{code: "x = 5;"},
		{code: "List.of(1, 2).stream().map(i -> i * x).collect(Collectors.toList())", text: "[5, 10]"},
		{code: "int f(int a) { return 10 / a; }\nf(0)", failure: "java.lang.ArithmeticException"},
		{code: "throw new IllegalStateException(\"bad\");", failure: "java.lang.IllegalStateException"},
		{code: "nowhere + 1", failure: "CompilationError"},
		{code: "int y = ;", failure: "CompilationError"},
		{code: "record R(int a, String b) {}\nnew R(1, \"\\\\ é 漢 😀\")", text: "R[a=1, b=\\ é 漢 😀]"},
		{code: "for (int i = 0; i < 2; i++) {\n  System.out.print(i);\n}", stdout: "01"},
		{code: "// nothing"},
		{code: "System.err.println(\"oops\");", stderr: "oops\n"},
		{code: "System.in.read()", text: "-1"},
	})
}

// forever is code that never ends, in every language.
var forever = map[string]string{
	"python":     "kept = 1\nwhile True: pass",
	"javascript": "var kept = 1; while (true) {}",
	"r":          "kept <- 1; while (TRUE) {}",
	"java":       "int kept = 1; while (true) {}",
}

func TestEndlessLoopIsInterruptedAndVariablesAreKept(t *testing.T) {
	for lang, code := range forever {
		t.Run(lang, func(t *testing.T) {
			ks := open(t, lang, time.Minute)
			do(t, ks, lang, "") // a kernel that starts slowly is not what is tested
			out, err := ks.Run(t.Context(), tool.RunCodeIn{Code: code, Language: lang, TimeoutS: 0.5}, nil)
			if err != nil || out.ErrorName != "TimeoutError" || !strings.Contains(out.ExecutionError, "kept") {
				t.Fatalf("endless loop: %+v, %v, want a TimeoutError with variables kept", out, err)
			}
			if got := mainText(t, do(t, ks, lang, "kept")); got != "1" && got != "[1] 1" {
				t.Errorf("kept is %q after the time-out", got)
			}
		})
	}
}

// waiting is code that waits for what never comes.
var waiting = map[string]string{
	"python":     "import time; time.sleep(3600)",
	"javascript": "await new Promise(() => {})",
	"r":          "Sys.sleep(3600)",
	"java":       "Thread.sleep(3600_000);",
}

func TestLoopAfterAwaitIsInterrupted(t *testing.T) {
	ks := open(t, "javascript", time.Minute)
	do(t, ks, "javascript", "var kept = 1")
	for _, code := range []string{
		"await null; while (true) {}",
		"await new Promise(r => setTimeout(r, 1)); while (true) {}",
	} {
		out, err := ks.Run(t.Context(), tool.RunCodeIn{Code: code, Language: "javascript", TimeoutS: 0.5}, nil)
		if err != nil || out.ErrorName != "TimeoutError" || !strings.Contains(out.ExecutionError, "kept") {
			t.Errorf("%s: %+v, %v, want a TimeoutError with variables kept", code, out, err)
		}
		if got := mainText(t, do(t, ks, "javascript", "kept")); got != "1" {
			t.Errorf("kept is %q after %s", got, code)
		}
	}
}

func TestWaitingIsInterrupted(t *testing.T) {
	for lang, code := range waiting {
		t.Run(lang, func(t *testing.T) {
			ks := open(t, lang, time.Minute)
			do(t, ks, lang, "")
			out, err := ks.Run(t.Context(), tool.RunCodeIn{Code: code, Language: lang, TimeoutS: 0.2}, nil)
			if err != nil || out.ErrorName != "TimeoutError" || !strings.Contains(out.ExecutionError, "kept") {
				t.Errorf("%+v, %v, want a TimeoutError with variables kept", out, err)
			}
			if out := do(t, ks, lang, ""); out.ExecutionError != "" {
				t.Errorf("the next run fails: %s", out.ExecutionError)
			}
		})
	}
}

// stubborn is code that does not let itself be interrupted.
var stubborn = map[string]string{
	"python":     "import signal; signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])\nwhile True: pass",
	"javascript": "require('child_process').execSync('trap \"\" INT; sleep 3600')",
	"r":          "suspendInterrupts(while (TRUE) {})",
	"js":         "setTimeout(() => { while (true) {} }, 1); await new Promise(() => {})",
}

func TestStubbornCodeIsKilledAndTheNextRunHasANewKernel(t *testing.T) {
	for lang, code := range stubborn {
		t.Run(lang, func(t *testing.T) {
			ks := open(t, lang, 200*time.Millisecond)
			do(t, ks, lang, "")
			out, err := ks.Run(t.Context(), tool.RunCodeIn{Code: code, Language: lang, TimeoutS: 0.2}, nil)
			if err != nil || out.ErrorName != "TimeoutError" || !strings.Contains(out.ExecutionError, "lost") {
				t.Errorf("%+v, %v, want a TimeoutError with variables lost", out, err)
			}
			if out := do(t, ks, lang, ""); out.ExecutionError != "" || out.ExecutionCount != 1 {
				t.Errorf("the next run: %+v, want the first of a new kernel", out)
			}
		})
	}
}

func TestDeadKernelIsReportedAndReplaced(t *testing.T) {
	for lang, code := range map[string]string{
		"python":     "print('last words', flush=True)\nimport os; os._exit(7)",
		"javascript": "console.log('last words'); process.kill(process.pid, 'SIGKILL'); while (true) {}",
		"r":          "cat('last words'); tools::pskill(Sys.getpid(), 9); Sys.sleep(60)",
		"java":       "System.out.println(\"last words\"); System.exit(7);",
	} {
		t.Run(lang, func(t *testing.T) {
			ks := open(t, lang, 0)
			out := do(t, ks, lang, code)
			if out.ErrorName != "KernelDied" || !strings.Contains(strings.Join(out.Stdout, ""), "last words") {
				t.Errorf("%+v, want KernelDied with the output before it", out)
			}
			if out := do(t, ks, lang, ""); out.ExecutionError != "" || out.ExecutionCount != 1 {
				t.Errorf("the next run: %+v, want the first of a new kernel", out)
			}
		})
	}
}

func TestGoneCallerEndsItsRun(t *testing.T) {
	ks := open(t, "python", time.Minute)
	ctx, cancel := context.WithCancel(t.Context())
	_, err := ks.Run(ctx, tool.RunCodeIn{Code: "kept = 1\nprint('on')\nwhile True: pass", Language: "python"}, func(tool.CodeEvent) error {
		cancel() // once it runs
		return nil
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("Run after cancel: %v", err)
	}
	if got := mainText(t, do(t, ks, "python", "kept")); got != "1" {
		t.Errorf("kept is %q", got)
	}
}

func TestFailedDeliveryEndsTheRun(t *testing.T) {
	ks := open(t, "python", time.Minute)
	broken := errors.New("broken pipe")
	_, err := ks.Run(t.Context(), tool.RunCodeIn{Code: "while True: print('x')", Language: "python"}, func(tool.CodeEvent) error {
		return broken
	})
	if err != broken {
		t.Errorf("Run: %v, want the error of emit", err)
	}
	do(t, ks, "python", "")
}

func TestOutputIsStreamedBeforeTheResultsAfterIt(t *testing.T) {
	ks := open(t, "python", 0)
	var got []string
	first := make(chan struct{})
	file := filepath.Join(t.TempDir(), "go on")
	go func() { // the code goes on only once its first line has arrived
		<-first
		os.WriteFile(file, nil, 0o600)
	}()
	code := "import os, time\nprint('one')\nwhile not os.path.exists(" + "'" + file + "'" + "): time.sleep(0.01)\n" +
		"os.system('echo two')\ndisplay(3)\n4"
	out, err := ks.Run(t.Context(), tool.RunCodeIn{Code: code, Language: "python"}, func(e tool.CodeEvent) error {
		if len(got) == 0 {
			close(first)
		}
		text, _ := e.Result["text/plain"].(string)
		if said := strings.TrimSpace(e.Chunk + text); said != "" {
			got = append(got, said)
		}
		return nil
	})
	if err != nil || out.ExecutionError != "" {
		t.Fatalf("%+v, %v", out, err)
	}
	if want := []string{"one", "two", "3", "4"}; !slices.Equal(got, want) {
		t.Errorf("events %q, want %q", got, want)
	}
	if len(out.Stdout)+len(out.Result) != 0 {
		t.Errorf("the answer repeats what was streamed: %+v", out)
	}
}

func TestFloodOfOutputIsCutInAnAnswer(t *testing.T) {
	ks := open(t, "python", 0)
	out := do(t, ks, "python", "import sys\nfor _ in range(20): sys.stdout.write('é' * (1 << 19))\nprint('end')")
	got := strings.Join(out.Stdout, "")
	if len(got) < MaxOutput || len(got) > MaxOutput+100 || !strings.Contains(got[MaxOutput-10:], "output truncated") {
		t.Errorf("%d bytes of output, ending in %q", len(got), got[max(0, len(got)-60):])
	}
}

func TestResultTooLargeForAnEventIsNamed(t *testing.T) {
	ks := open(t, "python", 0)
	code := "from IPython.display import *\ndisplay(HTML('x' * 1_000_000))"
	if out := do(t, ks, "python", code); len(out.Result) != 1 || len(out.Result[0]) < 1_000_000 {
		t.Errorf("not streamed, the result has %d parts", len(out.Result))
	}
	var results []map[string]any
	_, err := ks.Run(t.Context(), tool.RunCodeIn{Code: code, Language: "python"}, func(e tool.CodeEvent) error {
		results = append(results, e.Result)
		return nil
	})
	if err != nil || len(results) != 1 || results[0]["text/html"] != nil ||
		!strings.Contains(sprint(results[0]["text/plain"]), "text/html of 1000000 bytes is too large") {
		t.Errorf("streamed: %.300v, %v", results, err)
	}
}

func TestRunsOfOneLanguageWaitAndOthersDoNot(t *testing.T) {
	ks := open(t, "python", 0)
	open(t, "javascript", 0)
	do(t, ks, "python", "n = 0")
	var together sync.WaitGroup
	for range 8 {
		together.Go(func() {
			if out, err := ks.Run(t.Context(), tool.RunCodeIn{Code: "m = n\nfor _ in range(1000): pass\nn = m + 1", Language: "python"}, nil); err != nil || out.ExecutionError != "" {
				t.Errorf("%+v, %v", out, err)
			}
		})
	}
	together.Wait()
	if got := mainText(t, do(t, ks, "python", "n")); got != "8" {
		t.Errorf("n is %s after 8 runs", got)
	}
	_, err := ks.Run(t.Context(), tool.RunCodeIn{Code: "print('on')\nwhile True: pass", Language: "python"}, func(tool.CodeEvent) error {
		do(t, ks, "javascript", "1")
		return errors.New("enough")
	})
	if err == nil || err.Error() != "enough" {
		t.Errorf("Run: %v", err)
	}
}

func TestBadInputIsRefused(t *testing.T) {
	ks := New(Config{Runners: t.TempDir()})
	defer ks.Close()
	for _, in := range []tool.RunCodeIn{
		{Language: "ruby"},
		{Language: ""},
		{Language: "python", TimeoutS: -1},
		{Language: "python", Code: strings.Repeat("x", MaxCode+1)},
	} {
		if _, err := ks.Run(t.Context(), in, nil); !errors.Is(err, agentbay.Invalid) {
			t.Errorf("language %q, timeout %v, %d bytes: %v, want Invalid", in.Language, in.TimeoutS, len(in.Code), err)
		}
	}
}

func TestMissingRunnerIsUnavailable(t *testing.T) {
	ks := New(Config{Runners: t.TempDir()})
	defer ks.Close()
	if _, err := ks.Run(t.Context(), tool.RunCodeIn{Code: "1", Language: "python"}, nil); !errors.Is(err, agentbay.Unavailable) {
		t.Errorf("Run: %v, want Unavailable", err)
	}
}

func TestCodeThatDisturbsItsMessagesEndsItsKernel(t *testing.T) {
	ks := open(t, "python", 0)
	out := do(t, ks, "python", "import os\nfor fd in range(3, 20):\n  try: os.write(fd, b'nonsense\\n')\n  except OSError: pass\nwhile True: pass")
	if out.ErrorName != "KernelDied" || !strings.Contains(out.ExecutionError, "disturbed") {
		t.Errorf("%+v, want KernelDied", out)
	}
	if out := do(t, ks, "python", "1"); mainText(t, out) != "1" {
		t.Errorf("the next run: %+v", out)
	}
}

func TestKilledKernelTakesItsChildrenWithIt(t *testing.T) {
	ks := open(t, "python", 0)
	out := do(t, ks, "python", "import os, subprocess\nprint(subprocess.Popen(['sleep', '3600']).pid, flush=True)\nos._exit(1)")
	pid, err := strconv.Atoi(strings.TrimSpace(strings.Join(out.Stdout, "")))
	if err != nil {
		t.Fatalf("%+v", out)
	}
	fd, err := unix.PidfdOpen(pid, 0)
	if err == unix.ESRCH {
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	const patience = 60_000 // milliseconds; being killed takes a moment
	if n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, patience); n != 1 {
		t.Errorf("the child still runs: %d, %v", n, err)
	}
}

func BenchmarkRoundTrip(b *testing.B) {
	runners, _ := filepath.Abs(sources)
	for _, lang := range []string{"python", "javascript", "r"} {
		ks := New(Config{Runners: runners})
		defer ks.Close()
		in := tool.RunCodeIn{Code: "1+1", Language: lang}
		if _, err := ks.Run(b.Context(), in, nil); err != nil {
			b.Skip(err)
		}
		b.Run(lang, func(b *testing.B) {
			for b.Loop() {
				if _, err := ks.Run(b.Context(), in, nil); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// When something is mounted on the directory that code works in, relative paths
// lead there from the next run on, and variables are kept.
func TestCodeFollowsItsDirectory(t *testing.T) {
	for lang, code := range map[string][2]string{
		"python": {"x = 42", "open('f', 'w').write(str(x))"},
		"js":     {"var x = 42", "require('fs').writeFileSync('f', String(x))"},
		"r":      {"x <- 42", "cat(x, file = 'f')"},
	} {
		t.Run(lang, func(t *testing.T) {
			ks := open(t, lang, 0)
			k, err := ks.kernel(lang)
			if err != nil {
				t.Fatal(err)
			}
			dir := filepath.Join(t.TempDir(), "a \"quoted\" dir")
			k.config.Dir = dir
			if err := os.Mkdir(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			k.warm()
			cover(t, dir) // before the first run
			do(t, ks, lang, code[0])
			cover(t, dir)
			if out := do(t, ks, lang, code[1]); out.ExecutionError != "" || out.ExecutionCount != 2 {
				t.Errorf("the second run: %+v", out)
			}
			if b, err := os.ReadFile(dir + "/f"); string(b) != "42" {
				t.Errorf("the file has %q, %v", b, err)
			}
		})
	}
}

// cover puts another directory in the place of one, as a mount on it would.
func cover(t *testing.T, dir string) {
	t.Helper()
	away, err := os.MkdirTemp(filepath.Dir(dir), "away")
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.Rename(dir, away+"/old"), os.Mkdir(dir, 0o755)); err != nil {
		t.Fatal(err)
	}
}

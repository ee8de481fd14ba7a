package shell

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/agentbay/agentbay/internal/guest"
	"github.com/agentbay/agentbay/tool"
)

// session is a line to a guest with a shell.
func session(t testing.TB) *guest.Client {
	c, _ := sessionAndShell(t)
	return c
}

func sessionAndShell(t testing.TB) (*guest.Client, *Shell) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	m := &guest.Mux{Token: "secret"}
	sh := New(t.TempDir(), os.Environ())
	sh.Register(m)
	ctx, stop := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- m.Serve(ctx, l) }()
	c := &guest.Client{Token: "secret", Dial: func(ctx context.Context) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "tcp", l.Addr().String())
	}}
	t.Cleanup(func() {
		c.CloseIdle()
		stop()
		<-served
		sh.Close()
		if used := sh.held.used.Load(); used != 0 {
			t.Errorf("%d bytes of output are still held", used)
		}
	})
	return c, sh
}

// run runs one command.
func run(t testing.TB, c *guest.Client, in tool.ShellIn) tool.Result {
	t.Helper()
	call, err := tool.RunShell.Call(in)
	if err != nil {
		t.Fatal(err)
	}
	reply, err := c.Call(t.Context(), call)
	if err != nil {
		t.Fatal(err)
	}
	result, err := reply.Result(1 << 30)
	if err != nil {
		t.Fatal(err)
	}
	return result
}

// output runs one command whose answer must be JSON.
func outputOf(t testing.TB, c *guest.Client, in tool.ShellIn) (out tool.ShellOut) {
	t.Helper()
	r := run(t, c, in)
	if err := json.Unmarshal([]byte(r.Text), &out); err != nil {
		t.Fatalf("%.60q: answer %.200q: %v", in.Command, r.Text, err)
	}
	if r.Failed != (out.ExitCode != 0) || out.TraceID == "" {
		t.Errorf("%.60q: failed %v, exit code %d, trace %q", in.Command, r.Failed, out.ExitCode, out.TraceID)
	}
	return out
}

func TestCommandsMeanWhatTheyMeanInBash(t *testing.T) {
	c := session(t)
	for name, tc := range map[string]struct {
		command        string
		stdout, stderr string
		status         int
	}{
		"hello":        {command: "echo 'Hello World'", stdout: "Hello World\n"},
		"nothing":      {command: ""},
		"failure":      {command: "echo out; echo err >&2; exit 7", stdout: "out\n", stderr: "err\n", status: 7},
		"not found":    {command: "nonesuch", stderr: "bash: line 1: nonesuch: command not found\n", status: 127},
		"signal":       {command: "kill -TERM $$", status: 143},
		"pipe":         {command: "yes | head -2; echo ${PIPESTATUS[0]}", stdout: "y\ny\n141\n"},
		"lines":        {command: "f() {\n  echo $1\n}\nf a\n[[ abc == a* ]] && f b\n", stdout: "a\nb\n"},
		"stdin":        {command: "cat; echo end", stdout: "end\n"},
		"control":      {command: `printf 'a\0b\1\033'`, stdout: "a\x00b\x01\x1b"},
		"not UTF-8":    {command: `printf '\xff\xe6\x97\xa5\xe6'`, stdout: "\uFFFD日\uFFFD"},
		"JSON":         {command: `printf '"\\<&>\xe2\x80\xa8'`, stdout: "\"\\<&>\u2028"},
		"late tee":     {command: "echo x > >(cat)", stdout: "x\n"},
		"group leader": {command: `[ $(ps -o pgid= $$) = $$ ] || [ $(cut -d' ' -f5 /proc/$$/stat) = $$ ] && echo yes`, stdout: "yes\n"},
	} {
		t.Run(name, func(t *testing.T) {
			out := outputOf(t, c, tool.ShellIn{Command: tc.command, TimeoutMS: 60_000})
			if out.Stdout != tc.stdout || out.Stderr != tc.stderr && name != "group leader" || out.ExitCode != tc.status {
				t.Errorf("%q: %q, %q, %d; want %q, %q, %d", tc.command, out.Stdout, out.Stderr, out.ExitCode, tc.stdout, tc.stderr, tc.status)
			}
		})
	}
}

// A command does the same in a bash that was started for it and in one that was
// started before.
func TestASpareMakesNoDifference(t *testing.T) {
	c := session(t)
	own := map[string]string{"OF_ITS_OWN": "x"} // no spare has this
	for _, command := range []string{
		"", "exit 3", "nonesuch", "a\nb", "echo $LINENO\necho $LINENO", "echo $0 $# $- $? $SHLVL $BASH_EXECUTION_STRING",
		"cat <<E\nhi\nE", "return 3", "local x", "echo ${FUNCNAME[*]} ${BASH_SOURCE[*]}", "set -e; false; echo no",
		"trap 'echo bye' EXIT; exit 4", "f(){ echo $LINENO; nonesuch; }\nf", "kill -9 $$", "echo ${x?unset}; echo no",
		"set -u; echo $y", "ls /proc/self/fd | wc -l", "export -p | grep -v 'OF_ITS\\| _='", "exec 3>&1; echo b >&3", "#!/bin/bash\necho x",
		"history; jobs; ulimit -a; umask", "readonly A=1; A=2; echo no", "set -x; echo a", "exec echo a", "pwd; echo $OLDPWD",
		"echo $REPLY$IFS$SECONDS", "cat; wait; (exit 5)", "declare -F; alias; shopt", "printf '\\xff'; echo 'é\\n'; echo \"a\\\\b\"",
	} {
		warm, cold := outputOf(t, c, tool.ShellIn{Command: command, TimeoutMS: 60_000}), outputOf(t, c, tool.ShellIn{Command: command, TimeoutMS: 60_000, Envs: own})
		warm.TraceID, cold.TraceID = "", ""
		if warm != cold {
			t.Errorf("%q:\n in a spare %+v\n otherwise  %+v", command, warm, cold)
		}
	}
}

func TestASpareThatIsGoneIsNotMissed(t *testing.T) {
	c, sh := sessionAndShell(t)
	for range 3 {
		sh.Warm()
		p := sh.spares.take()
		if p == nil {
			t.Fatal("there is no spare")
		}
		if err := syscall.Kill(p.pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		p.await(unix.WEXITED | unix.WNOWAIT)
		sh.spares.pending++
		sh.spares.ready <- p
		if out := outputOf(t, c, tool.ShellIn{Command: "echo y", TimeoutMS: 60_000}); out.Stdout != "y\n" {
			t.Errorf("after the spare was killed: %+v", out)
		}
	}
}

// What is mounted on the working directory is seen by the next command, although
// its bash was started before.
func TestASpareDoesNotStayBelowAMount(t *testing.T) {
	c, sh := sessionAndShell(t)
	sh.Warm()
	sh.spares.ready <- <-sh.spares.ready // it has started
	if err := os.Rename(sh.dir, sh.dir+".covered"); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(sh.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	run(t, c, tool.ShellIn{Command: "echo x > f", TimeoutMS: 60_000})
	if b, err := os.ReadFile(sh.dir + "/f"); string(b) != "x\n" {
		t.Errorf("the file has %q, %v", b, err)
	}
}

func TestDirectoryAndVariablesAreTakenLiterally(t *testing.T) {
	c := session(t)
	dir := filepath.Join(t.TempDir(), "with a 'space'")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	value := "a'b\"c;$(touch x)\n$HOME"
	out := outputOf(t, c, tool.ShellIn{Command: `pwd; printf %s "$V"; ls`, Cwd: dir, Envs: map[string]string{"V": value, "A.B": "1"}, TimeoutMS: 60_000})
	if want := dir + "\n" + value; out.Stdout != want {
		t.Errorf("got %q, want %q", out.Stdout, want)
	}
	if out := outputOf(t, c, tool.ShellIn{Command: `echo "<$V>"`, TimeoutMS: 60_000}); out.Stdout != "<>\n" {
		t.Errorf("the next command saw the variable: %q", out.Stdout)
	}
	if out := outputOf(t, c, tool.ShellIn{Command: `env | grep -c ^HOME=`, Envs: map[string]string{"HOME": "/x"}, TimeoutMS: 60_000}); out.Stdout != "1\n" {
		t.Errorf("HOME is there %s times", out.Stdout)
	}
}

func TestWhatCannotRunSaysWhy(t *testing.T) {
	c := session(t)
	for name, tc := range map[string]struct {
		in   tool.ShellIn
		want string
	}{
		"no directory":     {tool.ShellIn{Command: "true", Cwd: "/nonesuch"}, `Error code:-32602 Error message: cannot run in "/nonesuch": No such file or directory`},
		"a file":           {tool.ShellIn{Command: "true", Cwd: "/etc/passwd"}, "Not a directory"},
		"negative timeout": {tool.ShellIn{Command: "true", TimeoutMS: -1}, "Error code:-32602 Error message: timeout_ms is -1"},
		"NUL":              {tool.ShellIn{Command: "a\x00b"}, "NUL"},
		"variable":         {tool.ShellIn{Command: "true", Envs: map[string]string{"A=B": "c"}}, `"A=B"`},
		"long variable":    {tool.ShellIn{Command: "true", Envs: map[string]string{"A": strings.Repeat("x", 1<<20)}}, "too long"},
		"time-out":         {tool.ShellIn{Command: "echo x; sleep 50"}, "Execution failed. Error code:-1 Error message: [timeout] "},
	} {
		t.Run(name, func(t *testing.T) {
			r := run(t, c, tc.in)
			if !r.Failed || !strings.HasPrefix(r.Text, "Execution failed. Error code:") || !strings.Contains(r.Text, tc.want) {
				t.Errorf("failed %v: %q; want %q", r.Failed, r.Text, tc.want)
			}
		})
	}
	if out := outputOf(t, c, tool.ShellIn{Command: "echo still here", TimeoutMS: 60_000}); out.Stdout != "still here\n" {
		t.Errorf("afterwards: %q", out.Stdout)
	}
}

// fifo is a pipe with a name: to open it is to wait for the other side, and its
// end is the end of every process that holds it.
func fifo(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "fifo")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestATimeoutKillsGrandchildrenToo(t *testing.T) {
	c := session(t)
	path := fifo(t)
	ended := make(chan string)
	go func() {
		b, err := os.ReadFile(path)
		ended <- fmt.Sprint(string(b), err)
	}()
	run(t, c, tool.ShellIn{Command: "exec 9>" + path + "; (bash -c 'sleep 500; echo survived >&9' & sleep 500) | cat"})
	if got := <-ended; got != "<nil>" {
		t.Errorf("grandchildren said %q", got)
	}
}

func TestTheEndOfTheCallerKillsTheCommand(t *testing.T) {
	c := session(t)
	path := fifo(t)
	ctx, cancel := context.WithCancel(t.Context())
	called := make(chan error)
	go func() {
		call, _ := tool.RunShell.Call(tool.ShellIn{Command: "sleep 500 >" + path, TimeoutMS: 600_000})
		_, err := c.Call(ctx, call)
		called <- err
	}()
	f, err := os.Open(path) // waits for the command
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	cancel()
	if err := <-called; err == nil {
		t.Error("the call succeeded")
	}
	if n, err := f.Read(make([]byte, 1)); n != 0 || err == nil {
		t.Errorf("read %d, %v; want the end", n, err)
	}
}

func TestBackgroundProcessesOutliveTheCall(t *testing.T) {
	for name, redirect := range map[string]string{"redirected": ">/dev/null 2>&1", "holding the output": ""} {
		t.Run(name, func(t *testing.T) {
			c := session(t)
			to, from := fifo(t), fifo(t)
			out := outputOf(t, c, tool.ShellIn{
				Command:   "nohup bash -c 'read x <" + to + "; for i in {1..100000}; do echo noise; done; echo \"$x\" >" + from + "' " + redirect + " & echo started",
				TimeoutMS: 60_000,
			})
			if out.Stdout != "started\n" {
				t.Errorf("output %q", out.Stdout)
			}
			if err := os.WriteFile(to, []byte("hello\n"), 0); err != nil {
				t.Fatal(err)
			}
			if b, err := os.ReadFile(from); string(b) != "hello\n" {
				t.Errorf("the background process said %q, %v", b, err)
			}
		})
	}
}

func TestLargeOutputIsCutWithAMark(t *testing.T) {
	c := session(t)
	out := outputOf(t, c, tool.ShellIn{Command: "head -c 40000000 /dev/zero | tr '\\0' x; echo y >&2", TimeoutMS: 600_000})
	mark := fmt.Sprintf("\n[output truncated: the first %d of 40000000 bytes]\n", MaxOutput)
	if len(out.Stdout) != MaxOutput+len(mark) || !strings.HasSuffix(out.Stdout, mark) || out.Stderr != "y\n" {
		t.Errorf("%d bytes ending in %q", len(out.Stdout), out.Stdout[max(0, len(out.Stdout)-100):])
	}
	if out := outputOf(t, c, tool.ShellIn{Command: "head -c 16777216 /dev/zero", TimeoutMS: 600_000}); out.Stdout != strings.Repeat("\x00", MaxOutput) {
		t.Errorf("output of exactly the bound came as %d bytes", len(out.Stdout))
	}
}

func TestCommandsOfAnyLength(t *testing.T) {
	c := session(t)
	descriptors := outputOf(t, c, tool.ShellIn{Command: "ls /dev/fd | wc -l", TimeoutMS: 60_000}).Stdout
	for _, n := range []int{100, maxArg - 1, maxArg, maxArg + 1, 200_000, 1 << 20, 5 << 20} {
		frame := "#!/bin/bash\nx=''; echo ${#x}; ls /dev/fd | wc -l"
		fill := strings.Repeat("é", max(0, n-len(frame))/2)
		command := strings.Replace(frame, "''", "'"+fill+"'", 1)
		out := outputOf(t, c, tool.ShellIn{Command: command, TimeoutMS: 600_000, Envs: map[string]string{"LC_ALL": "C.UTF-8"}})
		if want := strconv.Itoa(len(fill)/2) + "\n" + descriptors; out.Stdout != want {
			t.Errorf("command of %d bytes: %q, %q; want %q", len(command), out.Stdout, out.Stderr, want)
		}
	}
}

func TestConcurrentCommandsRunAtOnce(t *testing.T) {
	c := session(t)
	const n = 50
	dir := t.TempDir()
	// Each waits until all have come.
	command := fmt.Sprintf("touch %s/$I; until [ $(ls %s | wc -l) -ge %d ]; do sleep 0.1; done; echo $I", dir, dir, n)
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() {
			out := outputOf(t, c, tool.ShellIn{Command: command, TimeoutMS: 120_000, Envs: map[string]string{"I": strconv.Itoa(i)}})
			if out.Stdout != strconv.Itoa(i)+"\n" {
				t.Errorf("command %d: %q", i, out.Stdout)
			}
		})
	}
	all.Wait()
}

func TestCommandsLeaveNothingBehind(t *testing.T) {
	c, sh := sessionAndShell(t)
	run(t, c, tool.ShellIn{Command: "true", TimeoutMS: 60_000})
	sh.Close()
	files, routines := open(t), runtime.NumGoroutine()
	sh.spares.closed = false
	for range 50 {
		run(t, c, tool.ShellIn{Command: "echo x; false", TimeoutMS: 60_000})
	}
	run(t, c, tool.ShellIn{Command: "sleep 5", TimeoutMS: 1})
	run(t, c, tool.ShellIn{Command: "true", Cwd: "/nonesuch"})
	sh.Close()
	if now := open(t); now > files {
		t.Errorf("%d descriptors are open, before it were %d", now, files)
	}
	if now := runtime.NumGoroutine(); now > routines+2 {
		t.Errorf("%d goroutines run, before it were %d", now, routines)
	}
}

// open counts open descriptors.
func open(t *testing.T) int {
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}

func FuzzOutputIsTheJSONOfItsText(f *testing.F) {
	f.Add([]byte("a\x00\xff<&>\u2028\"\\"), 1)
	f.Add([]byte("日本語\xe6\x97"), 30_000)
	f.Fuzz(func(t *testing.T, piece []byte, times int) {
		text := bytes.Repeat(piece, 1+max(0, times)%40_000)
		if len(text) > 1<<20 {
			return
		}
		var b bytes.Buffer
		w := bufio.NewWriter(&b)
		quote(w, text)
		w.Flush()
		var got string
		if err := json.Unmarshal(b.Bytes(), &got); err != nil || got != string([]rune(string(text))) {
			t.Errorf("%d bytes of %q: %v", len(text), piece, err)
		}
	})
}

func BenchmarkTrue(b *testing.B) {
	c := session(b)
	for b.Loop() {
		run(b, c, tool.ShellIn{Command: "true", TimeoutMS: 60_000})
	}
}

package main

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/pflag"

	"github.com/agentbay/agentbay"
)

// Every code has an exit status of its own, and a hint.
func TestEveryCodeHasAStatusAndAHint(t *testing.T) {
	seen := map[int]agentbay.Code{}
	for _, c := range agentbay.Codes {
		status, ok := statuses[c]
		if !ok || status == 0 || seen[status] != "" {
			t.Errorf("%s has status %d, as %q", c, status, seen[status])
		}
		seen[status] = c
		if hints[c] == "" {
			t.Errorf("%s has no hint", c)
		}
	}
}

func TestSizesAreReadAndShown(t *testing.T) {
	for text, want := range map[string]int64{
		"0": 0, "1": 1, "1024": 1 << 10, "512MiB": 512 << 20, "2G": 2 << 30, "2GiB": 2 << 30, "1.5g": 3 << 29, "10 GB": 10 << 30, "1T": 1 << 40, "7b": 7,
	} {
		var b byteSize
		if err := b.Set(text); err != nil || int64(b) != want {
			t.Errorf("%q: %d, %v, want %d", text, b, err, want)
		}
		var again byteSize
		if err := again.Set(b.String()); err != nil || again != b {
			t.Errorf("%q is shown as %q, which reads as %d, %v", text, b.String(), again, err)
		}
	}
	for _, text := range []string{"", "x", "-1", "2X", "1GiGiB", "GiB", "1e30", "9999999T"} {
		var b byteSize
		if err := b.Set(text); err == nil {
			t.Errorf("%q is read as %d", text, b)
		}
	}
}

func FuzzSize(f *testing.F) {
	f.Add("2GiB")
	f.Add("1.5k")
	f.Fuzz(func(t *testing.T, text string) {
		var b byteSize
		if err := b.Set(text); err == nil && b < 0 {
			t.Errorf("%q is read as %d", text, b)
		}
	})
}

func TestWordsReachTheCommandAsTheyAre(t *testing.T) {
	for _, tc := range []struct {
		args []string
		want string
	}{
		{[]string{"echo $A; ls"}, "echo $A; ls"},
		{[]string{"echo", "it's", "$A"}, `'echo' 'it'\''s' '$A'`},
	} {
		if got := commandLine(tc.args); got != tc.want {
			t.Errorf("%q: %s, want %s", tc.args, got, tc.want)
		}
	}
}

// What "up" was told, the server it starts is told.
func TestFlagsSurviveBeingPassedOn(t *testing.T) {
	args := []string{
		"--listen=[::1]:8443", "--tls-name=a.example", "--tls-name=b.example", "--image-runtime=linux_latest=runc", "--warm=code_latest=2",
		"--memory=512MiB", "--cpu=1.5", "--no-internet=true", "--grace=5s", "--log-level=DEBUG",
	}
	parse := func(args []string) []string {
		f := pflag.NewFlagSet("serve", pflag.ContinueOnError)
		new(serveOptions).flags(f)
		if err := f.Parse(args); err != nil {
			t.Fatal(err)
		}
		return changed(f)
	}
	once := parse(args)
	slices.Sort(args)
	if slices.Sort(once); !slices.Equal(once, args) {
		t.Errorf("passed on: %q, want %q", once, args)
	}
}

func TestLogIsPutAsideWhenItIsFull(t *testing.T) {
	name := filepath.Join(t.TempDir(), "log", "server.jsonl")
	line := []byte(strings.Repeat("x", maxLog/2) + "\n")
	for n := range 2*keptLogs + 5 {
		l, err := openLog(name) // as after a restart
		if err != nil {
			t.Fatal(err)
		}
		if _, err := l.Write(append([]byte(fmt.Sprint(n, " ")), line...)); err != nil {
			t.Fatal(err)
		}
		l.Close()
	}
	for n := range keptLogs + 1 {
		if info, err := os.Stat(oldLog(name, n)); err != nil || info.Size() > maxLog || info.Mode().Perm() != 0o600 {
			t.Errorf("log %d: %v, %v", n, info, err)
		}
	}
	if _, err := os.Stat(oldLog(name, keptLogs+1)); err == nil {
		t.Errorf("more than %d old logs are kept", keptLogs)
	}
}

func TestFollowingGoesOnInTheNextLog(t *testing.T) {
	name := filepath.Join(t.TempDir(), "server.jsonl")
	l, err := openLog(name)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	fmt.Fprintln(l, "one")
	lines := make(chan string, 2)
	go readLog(t.Context(), name, true, func(line []byte) { lines <- string(line) })
	got := <-lines
	l.mu.Lock()
	err = l.rotateLocked()
	l.mu.Unlock()
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintln(l, "two")
	if got += <-lines; got != "onetwo" {
		t.Errorf("followed %q", got)
	}
}

func TestSystemdIsTold(t *testing.T) {
	name := filepath.Join(t.TempDir(), "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	t.Setenv("NOTIFY_SOCKET", name)
	if err := notify("READY=1"); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 100)
	if n, err := conn.Read(b); string(b[:n]) != "READY=1" {
		t.Errorf("systemd is told %q, %v", b[:n], err)
	}
}

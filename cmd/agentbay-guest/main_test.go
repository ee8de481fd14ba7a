//go:build linux

package main

import (
	"bufio"
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/agentbay/agentbay/internal/guest"
	"github.com/agentbay/agentbay/tool"
)

// TestMain lets the test program be the guest, so that it can start itself anew.
func TestMain(m *testing.M) {
	if os.Getenv("GUEST_TEST_RUN") == "" {
		os.Exit(m.Run())
	}
	main()
}

// boot starts a guest and returns a line to it, and its process.
func boot(t *testing.T, args ...string) (*guest.Client, *exec.Cmd) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0") // finds a free port
	if err != nil {
		t.Fatal(err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	l.Close()
	cmd := exec.Command(os.Args[0], append(args, "-port", strconv.Itoa(port))...)
	cmd.Env = append(os.Environ(), "GUEST_TEST_RUN=1", guest.TokenEnv+"=very secret")
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "ready\n" {
		t.Fatalf("the guest said %q, %v", line, err)
	}
	return &guest.Client{Token: "very secret", Dial: func(ctx context.Context) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "tcp", "127.0.0.1:"+strconv.Itoa(port))
	}}, cmd
}

func command(t *testing.T, c *guest.Client, line string) string {
	t.Helper()
	call, err := tool.RunShell.Call(tool.ShellIn{Command: line, TimeoutMS: 60_000})
	if err != nil {
		t.Fatal(err)
	}
	reply, err := c.Call(t.Context(), call)
	if err != nil {
		t.Fatal(err)
	}
	r, err := reply.Result(1 << 20)
	if err != nil {
		t.Fatal(err)
	}
	return r.Text
}

func TestTheGuestPerformsToolsUntilItIsTold(t *testing.T) {
	dir := t.TempDir()
	c, cmd := boot(t, "--families", "shell,files", "--dir", dir)
	if got := command(t, c, "pwd"); !strings.Contains(got, dir) {
		t.Errorf("pwd answers %s, want %s", got, dir)
	}
	if _, err := c.Call(t.Context(), tool.Call{Name: "run_code"}); err == nil {
		t.Error("a family that was not asked for is there")
	}
	cmd.Process.Signal(os.Interrupt)
	if err := cmd.Wait(); err != nil {
		t.Errorf("the guest ended with %v", err)
	}
}

func TestNobodyInTheSessionFindsTheSecret(t *testing.T) {
	c, cmd := boot(t, "--families", "shell")
	for _, name := range []string{"environ", "cmdline"} {
		b, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(cmd.Process.Pid), name))
		if err != nil || strings.Contains(string(b), "secret") {
			t.Errorf("%s: %q, %v", name, b, err)
		}
	}
	if got := command(t, c, "env; cat /proc/$PPID/environ"); strings.Contains(got, "secret") {
		t.Errorf("a command finds %s", got)
	}
}

func TestTheSecretCanComeFromADescriptor(t *testing.T) {
	cmd := exec.Command(os.Args[0], "-token-fd", "0", "-port", "0")
	cmd.Env = append(os.Environ(), "GUEST_TEST_RUN=1")
	cmd.Stdin = strings.NewReader("very secret")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if line != "ready\n" {
		t.Errorf("the guest said %q, %v", line, err)
	}
	cmd.Process.Signal(os.Interrupt)
	if err := cmd.Wait(); err != nil {
		t.Errorf("the guest ended with %v", err)
	}
}

func TestAWrongCommandLineSaysWhatIsRight(t *testing.T) {
	for want, args := range map[string][]string{
		"or set AGENTBAY_GUEST_TOKEN":   {},
		"-help lists the flags":         {"extra"},
		"flag provided but not defined": {"-nonesuch"},
	} {
		cmd := exec.Command(os.Args[0], args...)
		cmd.Env = append(os.Environ(), "GUEST_TEST_RUN=1")
		if out, err := cmd.CombinedOutput(); err == nil || !strings.Contains(string(out), want) {
			t.Errorf("%q: %v, %s", args, err, out)
		}
	}
}

package guest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A process that adopts orphans reaps them all and yet knows the exit status of
// every process it started.
func TestReapingTakesOnlyOrphans(t *testing.T) {
	if os.Getenv("GUEST_TEST_ADOPT") != "" {
		adopt()
		return
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestReapingTakesOnlyOrphans$")
	cmd.Env = append(os.Environ(), "GUEST_TEST_ADOPT=1")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}

func adopt() {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		fail("prctl: %v", err)
	}
	ctx, stop := context.WithTimeout(context.Background(), time.Minute)
	defer stop()
	go Reap(ctx)
	var all sync.WaitGroup
	for i := range 100 {
		all.Go(func() { startWithOrphans(i % 50) })
	}
	all.Wait()
	for kids() > 0 { // the last orphans end by themselves
		if ctx.Err() != nil {
			fail("%d children are left", kids())
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// startWithOrphans runs a command that leaves two processes behind.
func startWithOrphans(status int) {
	cmd := exec.Command("sh", "-c", fmt.Sprintf("(sleep 0.0%d &) ; (true &) ; exit %d", status%10, status))
	if err := Start(cmd); err != nil {
		fail("start: %v", err)
	}
	err := Wait(cmd)
	var exit *exec.ExitError
	if status == 0 && err == nil || errors.As(err, &exit) && exit.ExitCode() == status {
		return
	}
	fail("status %d came as %v", status, err)
}

// kids counts this process's children, dead ones too.
func kids() (n int) {
	dirs, _ := os.ReadDir("/proc")
	me := fmt.Sprintf("PPid:\t%d", os.Getpid())
	for _, d := range dirs {
		f, err := os.Open("/proc/" + d.Name() + "/status")
		if err != nil {
			continue
		}
		for lines := bufio.NewScanner(f); lines.Scan(); {
			if strings.TrimSpace(lines.Text()) == me {
				n++
			}
		}
		f.Close()
	}
	return n
}

func fail(format string, args ...any) {
	fmt.Printf(format+"\n", args...)
	os.Exit(1)
}

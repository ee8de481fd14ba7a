package image

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	goruntime "runtime"
	"strings"
	"sync"
	"syscall"
)

// A jail runs a shell script in mount and process namespaces of its own. When
// the script ends or is killed, or the process that runs the jail dies in
// whatever way, the kernel ends every process in it and undoes every mount. So
// a build needs no list of what to clean up.
type jail struct {
	script   string
	args     []string
	env      []string
	offline  bool         // without a network
	lock     *os.File     // held until the last process in the jail has ended
	log      io.Writer    // gets all output
	onLine   func(string) // each line of output; may be nil
	onStatus func(string) // each line the script writes to descriptor 3; may be nil
	tail     tail         // the end of the output
}

// letGo drops the jail's copies of what sessions of this host have mounted, by
// where runtimes keep it. Else a session that ends meanwhile leaves its disk
// attached until the build has ended. It comes before the script, which is part
// of what names a layer.
const letGo = `mount --make-rprivate /
while read -r _ _ _ _ dir _; do
	case $dir in */machines/*/contexts) echo "$dir" ;; esac
done </proc/self/mountinfo | while read -r dir; do umount -l "$dir" || :; done
`

// run runs the script to its end. The callbacks have returned when it does.
func (j *jail) run(ctx context.Context) error {
	// Linux sends the death signal when the thread that started the child ends,
	// so that thread must stay.
	goruntime.LockOSThread()
	defer goruntime.UnlockOSThread()

	output, outputEnd, err := os.Pipe()
	if err != nil {
		return err
	}
	defer output.Close()
	status, statusEnd, err := os.Pipe()
	if err != nil {
		outputEnd.Close()
		return err
	}
	defer status.Close()
	cmd := j.command(ctx, outputEnd, statusEnd)
	err = cmd.Start()
	outputEnd.Close()
	statusEnd.Close()
	if err != nil {
		return fmt.Errorf("no namespaces to build in (is this a container without privileges?): %w", err)
	}
	j.follow(output, status)
	if err := cmd.Wait(); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return err
	}
	return nil
}

func (j *jail) command(ctx context.Context, output, status *os.File) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "/bin/sh", append([]string{"-euc", letGo + j.script, "build"}, j.args...)...)
	cmd.Env = append([]string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8", "HOME=/root"}, j.env...)
	cmd.Env = append(cmd.Env, networkEnv()...)
	cmd.Stdout, cmd.Stderr = output, output
	cmd.ExtraFiles = []*os.File{status, j.lock}
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWPID | syscall.CLONE_NEWIPC,
		Pdeathsig:  syscall.SIGKILL,
	}
	if j.offline {
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWNET
	}
	return cmd
}

// follow reads both pipes until every process of the jail has closed them.
func (j *jail) follow(output, status io.Reader) {
	var mu sync.Mutex // one callback at a time
	var both sync.WaitGroup
	both.Go(func() {
		eachLine(io.TeeReader(output, j.log), func(line string) {
			mu.Lock()
			defer mu.Unlock()
			j.tail.add(line)
			if j.onLine != nil {
				j.onLine(line)
			}
		})
	})
	both.Go(func() {
		eachLine(status, func(line string) {
			mu.Lock()
			defer mu.Unlock()
			if j.onStatus != nil {
				j.onStatus(line)
			}
		})
	})
	both.Wait()
}

// networkEnv is the part of our own environment that says how to reach the
// network.
func networkEnv() []string {
	var env []string
	for _, kv := range os.Environ() {
		name, _, _ := strings.Cut(kv, "=")
		switch strings.ToLower(name) {
		case "http_proxy", "https_proxy", "ftp_proxy", "all_proxy", "no_proxy", "ssl_cert_file", "ssl_cert_dir":
			env = append(env, kv)
		}
	}
	return env
}

// A tail is the last lines of some output.
type tail []string

const tailLines = 12

func (t *tail) add(line string) {
	line = strings.TrimRight(line, " \t\r")
	if line == "" {
		return
	}
	*t = append(*t, line)
	if len(*t) > tailLines {
		*t = (*t)[1:]
	}
}

func (t tail) lines() []string { return t }

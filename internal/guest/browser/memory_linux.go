package browser

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// # Memory
//
// Where gVisor is the kernel, a session that needs more memory than it has ends as
// a whole: there is nobody who would end one process of it. So a browser gives up
// pages before that, as Linux would have it do: the largest first. They say that
// they have crashed, and can be loaded anew.

// lookEvery is how often the memory is looked at: gVisor tells nobody that it is
// short of it.
const lookEvery = 100 * time.Millisecond

// spare is what part of the memory stays free, as what it is divided by: gVisor
// itself takes some of it, and gives back what was freed only after a while.
const spare = 4

// underGVisor reports whether gVisor is the kernel, which says so in its log.
func underGVisor() bool {
	const readAll = 3
	log := make([]byte, 64<<10)
	n, err := syscall.Klogctl(readAll, log)
	return err == nil && bytes.Contains(log[:n], []byte("Starting gVisor"))
}

// guard keeps a browser from using all of the memory, until it ends.
func (p *process) guard() {
	if !underGVisor() {
		return
	}
	for {
		select {
		case <-p.ended:
			return
		case <-time.After(lookEvery):
		}
		total, free, err := memory("/proc")
		if err != nil {
			return // this system does not tell
		}
		if free > total/spare {
			continue
		}
		if pid := largest("/proc", p.cmd.Process.Pid); pid != 0 {
			syscall.Kill(pid, syscall.SIGKILL)
		} else {
			p.end() // it is the browser itself that is too large
		}
	}
}

// memory is how much memory there is, and how much of it can be had, in bytes.
func memory(proc string) (total, free int64, err error) {
	b, err := os.ReadFile(filepath.Join(proc, "meminfo"))
	if err != nil {
		return 0, 0, err
	}
	for line := range bytes.Lines(b) {
		fields := strings.Fields(string(line))
		if len(fields) < 2 {
			continue
		}
		n, _ := strconv.ParseInt(fields[1], 10, 64) // a line that is none counts as nothing
		switch fields[0] {
		case "MemTotal:":
			total = n << 10
		case "MemAvailable:":
			free = n << 10
		}
	}
	if total == 0 {
		return 0, 0, errors.New("it does not say how much memory there is")
	}
	return total, free, nil
}

// leastPage is how large a process has to be for its end to help, in bytes.
const leastPage = 16 << 20

// largest is the process of pages that has the most memory, of those in a group of
// processes; 0 if none has enough.
func largest(proc string, group int) (pid int) {
	entries, _ := os.ReadDir(proc) // what is gone is no page
	most := int64(leastPage)
	for _, e := range entries {
		n, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		dir := filepath.Join(proc, e.Name())
		line, _ := os.ReadFile(filepath.Join(dir, "cmdline"))
		if !bytes.Contains(line, []byte("--type=renderer")) || groupOf(dir) != group {
			continue
		}
		if size := resident(dir); size > most {
			pid, most = n, size
		}
	}
	return pid
}

// groupOf is the group of a process.
func groupOf(dir string) int {
	b, _ := os.ReadFile(filepath.Join(dir, "stat"))
	fields := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:])) // state, parent, group; its name before may have anything in it
	if len(fields) < 3 {
		return 0
	}
	group, _ := strconv.Atoi(fields[2])
	return group
}

// resident is how much memory a process has, in bytes.
func resident(dir string) int64 {
	b, _ := os.ReadFile(filepath.Join(dir, "statm"))
	fields := strings.Fields(string(b))
	if len(fields) < 2 {
		return 0
	}
	pages, _ := strconv.ParseInt(fields[1], 10, 64)
	return pages * int64(os.Getpagesize())
}

package guest

import (
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// firstToGo is how much sooner than the guest its children are killed when
// memory runs out.
const firstToGo = "500"

// tame sets a new process's limits before it can have started others: it takes
// this long only to load its program. That the host does not let us is no
// reason not to run.
func tame(pid int, procs uint64) {
	if f, err := os.OpenFile("/proc/"+strconv.Itoa(pid)+"/oom_score_adj", os.O_WRONLY, 0); err == nil {
		f.WriteString(firstToGo)
		f.Close()
	}
	if procs > 0 {
		unix.Prlimit(pid, unix.RLIMIT_NPROC, &unix.Rlimit{Cur: procs, Max: procs}, nil)
	}
}

package proc

import (
	"os"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// UsageOf returns what the process takes that has a pid. It is zero if there is no such process. It
// asks for figures that the kernel keeps: those of smaps_rollup would be more exact about memory
// that processes share, and take a walk through all pages.
func UsageOf(pid int) (u Usage) {
	if pid <= 0 {
		return u
	}
	var t unix.Timespec
	// The processor time of a process, in nanoseconds: clock_getcpuclockid(3) makes its clock so.
	const sched = 2
	if err := unix.ClockGettime(int32(^pid<<3|sched), &t); err != nil {
		return u
	}
	u.CPU = time.Duration(t.Nano())
	if !ownProc() {
		return u
	}
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/statm")
	if err != nil {
		return u
	}
	var fields [3]int64 // size, resident, shared (proc_pid_statm(5)), in pages
	for i, n := 0, 0; i < len(b) && n < len(fields); i++ {
		if b[i] == ' ' {
			n++
		} else {
			fields[n] = fields[n]*10 + int64(b[i]-'0')
		}
	}
	page := int64(os.Getpagesize())
	u.Resident, u.Private = fields[1]*page, (fields[1]-fields[2])*page
	return u
}

// ownProc reports whether /proc shows the pids that processes have in this process's PID namespace.
var ownProc = sync.OnceValue(func() bool {
	self, err := os.Readlink("/proc/self")
	return err == nil && self == strconv.Itoa(os.Getpid())
})

// The functions of this file are called in the worker process.

package proc

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// On Linux each thread has a priority and an affinity of its own (setpriority(2),
// sched_setaffinity(2)). The Go runtime sets them for all threads in one go, but not in programs
// with cgo, whose threads have to be listed in /proc. The list costs more than it seems: it leaves
// an entry of /proc in the kernel for each thread, and main, which waits for the end of the
// process, spins in the kernel while threads of a low priority let go of theirs.

// applyNice sets the priority of all threads.
func (l *Limits) applyNice() error {
	_, _, errno := syscall.AllThreadsSyscall(unix.SYS_SETPRIORITY, unix.PRIO_PROCESS, 0, uintptr(l.Nice))
	if errno == 0 {
		return nil
	}
	if errno != unix.ENOTSUP { // it says that the program has cgo
		return niceError(os.NewSyscallError("setpriority", errno))
	}
	return forEachThread(func(tid int) error {
		return niceError(os.NewSyscallError("setpriority", unix.Setpriority(unix.PRIO_PROCESS, tid, l.Nice)))
	})
}

// applyCPUs sets the affinity of all threads.
func (l *Limits) applyCPUs() error {
	size := slices.Max(l.CPUs) + 1
	set := unix.NewCPUSet(size)
	for _, cpu := range l.CPUs {
		set.Set(cpu)
	}
	err := setAffinity(set)
	if err != nil && !errors.Is(err, unix.EINVAL) { // EINVAL: none of the processors exists
		return err
	}
	// The kernel leaves out, without an error, processors that do not exist or are not in the
	// cpuset of the process.
	got := unix.NewCPUSet(maxCPU)
	if err := unix.SchedGetaffinityDynamic(0, got); err != nil {
		return os.NewSyscallError("sched_getaffinity", err)
	}
	for _, cpu := range l.CPUs {
		if err != nil || !got.IsSet(cpu) {
			return fmt.Errorf(
				"some of these CPUs do not exist or are not allowed to this process; allowed are %s "+
					"(Cpus_allowed_list in /proc/self/status)",
				cpusAllowed(err != nil, got),
			)
		}
	}
	return nil
}

// setAffinity lets all threads run on the processors of set, and on no others.
func setAffinity(set unix.CPUSetDynamic) error {
	_, _, errno := syscall.AllThreadsSyscall(unix.SYS_SCHED_SETAFFINITY, 0,
		uintptr(len(set))*unsafe.Sizeof(set[0]), uintptr(unsafe.Pointer(&set[0])))
	if errno == 0 {
		return nil
	}
	if errno != unix.ENOTSUP { // it says that the program has cgo
		return os.NewSyscallError("sched_setaffinity", errno)
	}
	return forEachThread(func(tid int) error {
		return os.NewSyscallError("sched_setaffinity", unix.SchedSetaffinityDynamic(tid, set))
	})
}

// cpusAllowed lists the processors that the process may run on. If the affinity is not unchanged,
// it changes it to find out.
func cpusAllowed(unchanged bool, got unix.CPUSetDynamic) string {
	if !unchanged { // asked for all processors, the kernel gives those that are allowed
		got.Fill()
		_ = unix.SchedSetaffinityDynamic(0, got)
		got.Zero()
		_ = unix.SchedGetaffinityDynamic(0, got)
	}
	var cpus []int
	for cpu := range maxCPU {
		if got.IsSet(cpu) {
			cpus = append(cpus, cpu)
		}
	}
	return fmt.Sprint(cpus)
}

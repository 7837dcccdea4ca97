// The functions of this file are called in the worker process.

package proc

import (
	"os"
	"unsafe"

	"golang.org/x/sys/windows"
)

var getProcessMemoryInfo = windows.NewLazySystemDLL("kernel32.dll").NewProc("K32GetProcessMemoryInfo")

// processMemoryCounters is PROCESS_MEMORY_COUNTERS of psapi.h. The system fills it in; only size
// and workingSetSize are used here.
type processMemoryCounters struct {
	size                       uint32  // the size of the struct in bytes, which the caller sets
	pageFaultCount             uint32  // how many page faults there were
	peakWorkingSetSize         uintptr // the greatest workingSetSize so far
	workingSetSize             uintptr // the resident memory in bytes
	quotaPeakPagedPoolUsage    uintptr // the greatest quotaPagedPoolUsage so far
	quotaPagedPoolUsage        uintptr // the use of the kernel's paged pool in bytes
	quotaPeakNonPagedPoolUsage uintptr // the greatest quotaNonPagedPoolUsage so far
	quotaNonPagedPoolUsage     uintptr // the use of the kernel's nonpaged pool in bytes
	pagefileUsage              uintptr // the committed memory in bytes
	peakPagefileUsage          uintptr // the greatest pagefileUsage so far
}

// LimitMemory bounds the memory of this process from now on, in bytes. On Windows the process joins
// a job of its own with a limit of the committed memory, within the job that its main process has
// put it into. A Go program that gets no more memory prints "out of memory" and exits.
func LimitMemory(limit int64) error {
	return joinJob(&windows.JOBOBJECT_EXTENDED_LIMIT_INFORMATION{
		BasicLimitInformation: windows.JOBOBJECT_BASIC_LIMIT_INFORMATION{
			LimitFlags: windows.JOB_OBJECT_LIMIT_PROCESS_MEMORY,
		},
		ProcessMemoryLimit: uintptr(limit),
	})
}

// RSS returns the working set of this process in bytes.
func RSS() (int64, error) {
	var c processMemoryCounters
	c.size = uint32(unsafe.Sizeof(c))
	ok, _, err := getProcessMemoryInfo.Call(uintptr(windows.CurrentProcess()), uintptr(unsafe.Pointer(&c)),
		uintptr(c.size))
	if ok == 0 {
		return 0, os.NewSyscallError("GetProcessMemoryInfo", err)
	}
	return int64(c.workingSetSize), nil
}

// The functions of this file are called in the worker process.

package proc

import (
	"os"
	"unsafe"

	"golang.org/x/sys/windows"
)

var getProcessMemoryInfo = windows.NewLazySystemDLL("kernel32.dll").NewProc("K32GetProcessMemoryInfo")

// processMemoryCounters is PROCESS_MEMORY_COUNTERS of psapi.h.
type processMemoryCounters struct {
	size                       uint32
	pageFaultCount             uint32
	peakWorkingSetSize         uintptr
	workingSetSize             uintptr
	quotaPeakPagedPoolUsage    uintptr
	quotaPagedPoolUsage        uintptr
	quotaPeakNonPagedPoolUsage uintptr
	quotaNonPagedPoolUsage     uintptr
	pagefileUsage              uintptr
	peakPagefileUsage          uintptr
}

// LimitMemory bounds the memory of this process from now on, in bytes. On Windows the process joins
// a job of its own, within the one that its main process put it into, with a limit of the committed
// memory. A Go program that gets no more memory prints "out of memory" and exits.
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
	ok, _, err := getProcessMemoryInfo.Call(
		uintptr(windows.CurrentProcess()), uintptr(unsafe.Pointer(&c)), uintptr(c.size),
	)
	if ok == 0 {
		return 0, os.NewSyscallError("GetProcessMemoryInfo", err)
	}
	return int64(c.workingSetSize), nil
}

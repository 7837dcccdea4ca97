package proc

import (
	"time"
	"unsafe"

	"golang.org/x/sys/windows"
)

// UsageOf returns what the process takes that has a pid. It is zero if there is no such process. It
// asks GetProcessTimes and GetProcessMemoryInfo.
func UsageOf(pid int) (u Usage) {
	if pid <= 0 {
		return u
	}
	h, err := windows.OpenProcess(windows.PROCESS_QUERY_LIMITED_INFORMATION|windows.PROCESS_VM_READ, false, uint32(pid))
	if err != nil {
		return u
	}
	defer windows.CloseHandle(h) //nolint:errcheck // there is nothing to be done about a handle that was just opened
	var created, exited, kernel, user windows.Filetime
	if windows.GetProcessTimes(h, &created, &exited, &kernel, &user) == nil {
		u.CPU = ticks(kernel) + ticks(user)
	}
	var c processMemoryCounters
	c.size = uint32(unsafe.Sizeof(c))
	if ok, _, _ := getProcessMemoryInfo.Call(uintptr(h), uintptr(unsafe.Pointer(&c)), uintptr(c.size)); ok != 0 {
		u.Resident, u.Private = int64(c.workingSetSize), int64(c.pagefileUsage)
	}
	return u
}

// ticks returns a length of time that Windows counts in units of 100 ns.
func ticks(f windows.Filetime) time.Duration {
	return time.Duration(int64(f.HighDateTime)<<32|int64(f.LowDateTime)) * 100
}

package proc

import (
	"runtime"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// rusageInfoV0 is struct rusage_info_v0 of <sys/resource.h>. The system fills it in; only the times,
// residentSize and physFootprint are used here.
type rusageInfoV0 struct {
	uuid             [16]byte // of the program's file
	userTime         uint64   // in units of the Mach clock
	systemTime       uint64   // in units of the Mach clock
	pkgIdleWkups     uint64   // how often it has woken an idle processor
	interruptWkups   uint64   // how often it was woken
	pageins          uint64   // how many pages were read for it
	wiredSize        uint64   // the memory that is wired, in bytes
	residentSize     uint64   // the resident memory in bytes
	physFootprint    uint64   // the memory that counts as its own, in bytes
	procStartAbstime uint64   // when it began
	procExitAbstime  uint64   // when it ended
}

// UsageOf returns what the process takes that has a pid. It is zero if there is no such process. It
// asks the system call behind proc_pid_rusage(3), which is in libproc.h and needs no C: its
// number 9 is PROC_INFO_CALL_PIDRUSAGE, and 0 is RUSAGE_INFO_V0.
func UsageOf(pid int) (u Usage) {
	if pid <= 0 {
		return u
	}
	var r rusageInfoV0
	_, _, errno := syscall.Syscall6(unix.SYS_PROC_INFO, 9, uintptr(pid), 0, 0, uintptr(unsafe.Pointer(&r)), 0)
	if errno != 0 {
		return u
	}
	ticks := r.userTime + r.systemTime
	if runtime.GOARCH == "arm64" { // its Mach clock has 24 MHz; that of amd64 counts nanoseconds
		ticks = ticks / 3 * 125
	}
	return Usage{CPU: time.Duration(ticks), Resident: int64(r.residentSize), Private: int64(r.physFootprint)}
}

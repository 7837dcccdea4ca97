package proc

import (
	"encoding/binary"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// The places of some fields of struct kinfo_proc of <sys/user.h>, where a long has 64 bits.
const (
	kinfoSize    = 1088 // of the struct, which is its first field
	kinfoPID     = 72   // ki_pid
	kinfoRSSize  = 264  // ki_rssize, in pages
	kinfoRuntime = 328  // ki_runtime, in microseconds
)

// UsageOf returns what the process takes that has a pid. It is zero if there is no such process. It
// asks sysctl(3) for kern.proc.pid. How much of the memory is private, it does not say.
func UsageOf(pid int) (u Usage) {
	if pid <= 0 {
		return u
	}
	b, err := unix.SysctlRaw("kern.proc.pid", pid)
	if err != nil || len(b) != kinfoSize || int(binary.NativeEndian.Uint32(b[kinfoPID:])) != pid {
		return u // there is no such process, or the struct is another one
	}
	u.CPU = time.Duration(binary.NativeEndian.Uint64(b[kinfoRuntime:])) * time.Microsecond
	u.Resident = int64(binary.NativeEndian.Uint64(b[kinfoRSSize:])) * int64(os.Getpagesize())
	return u
}

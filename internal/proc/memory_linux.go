// The functions of this file are called in the worker process.

package proc

import (
	"bytes"
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// LimitMemory bounds the memory of this process from now on, in bytes. On Linux it is RLIMIT_DATA,
// which since Linux 4.7 counts all private memory that can be written (setrlimit(2)). RLIMIT_AS
// would not do: the Go runtime reserves far more addresses than it uses. A Go program that gets no
// more memory prints "out of memory" and exits.
func LimitMemory(limit int64) error {
	return os.NewSyscallError("setrlimit",
		unix.Setrlimit(unix.RLIMIT_DATA, &unix.Rlimit{Cur: uint64(limit), Max: uint64(limit)}))
}

// RSS returns the resident memory of this process in bytes: the second number of /proc/self/statm
// (proc(5)).
func RSS() (int64, error) {
	b, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0, err
	}
	fields := bytes.Fields(b)
	if len(fields) < 2 {
		return 0, fmt.Errorf("/proc/self/statm holds %q", b)
	}
	pages, err := strconv.ParseInt(string(fields[1]), 10, 64)
	return pages * int64(os.Getpagesize()), err
}

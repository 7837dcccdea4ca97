//go:build linux && !race

package main

import (
	"fmt"
	"runtime/debug"

	"golang.org/x/sys/unix"
)

const memoryLimited = true

// limitMemory makes the kernel refuse this process more than so many bytes of data; the Go runtime
// then ends it with "out of memory".
//
// The limit is RLIMIT_DATA, which since Linux 4.7 counts all private writable memory
// (getrlimit(2)). RLIMIT_AS would not do: it also counts the address space that the Go runtime only
// reserves.
func limitMemory(bytes uint64) error {
	if err := unix.Setrlimit(unix.RLIMIT_DATA, &unix.Rlimit{Cur: bytes, Max: bytes}); err != nil {
		return fmt.Errorf("RLIMIT_DATA cannot be set: %w", err)
	}
	// The collector knows nothing of the kernel's limit. It is told a lower one, so that it takes
	// away what earlier pictures have left behind before that counts against the next.
	debug.SetMemoryLimit(int64(bytes) * 3 / 4)
	return nil
}

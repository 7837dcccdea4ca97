//go:build !linux && !windows

// The functions of this file are called in the worker process.

package proc

import (
	"fmt"
	"os"
	"runtime/metrics"
	"time"
)

// watchInterval is how often a process looks at its own memory, because the system does not bound
// it.
const watchInterval = 20 * time.Millisecond

// LimitMemory bounds the memory of this process from now on, in bytes. Here the system has no limit
// that works for a Go program (macOS does not enforce RLIMIT_DATA for mapped memory), so the
// process looks at its own memory again and again, and ends when the Go runtime holds more.
func LimitMemory(limit int64) error {
	go func() { // ends with the process
		for range time.Tick(watchInterval) {
			if held, err := RSS(); err == nil && held > limit {
				fmt.Fprintf(os.Stderr,
					"fatal error: multiprolab: out of memory: the Go runtime holds %d bytes of %d\n", held, limit)
				os.Exit(2)
			}
		}
	}()
	return nil
}

// RSS returns how many bytes of memory the Go runtime holds: what it has mapped less what it has
// given back. Allocations of C code do not count: without cgo, a process cannot ask for its
// resident memory here.
func RSS() (int64, error) {
	samples := []metrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
	metrics.Read(samples)
	return int64(samples[0].Value.Uint64()) - int64(samples[1].Value.Uint64()), nil
}

//go:build !linux || race

package main

import "runtime/debug"

const memoryLimited = false

// limitMemory only asks the collector; the decoder checks sizes instead, see thumbnail.
//
// macOS does not count what a Go program maps as data, and Windows would limit a process by a job
// object, which is more than an example should hold. On Linux the runtime of the race detector
// takes more for itself than the limit allows.
func limitMemory(bytes uint64) error {
	debug.SetMemoryLimit(int64(bytes) * 3 / 4)
	return nil
}

// The functions of this file serve the process that starts workers.

package proc

import "time"

// Usage is what a process takes, as far as the system says; what it does not say is 0.
type Usage struct {
	// CPU is the processor time of all threads, of user and system together.
	CPU time.Duration
	// Resident is how many bytes of memory it has.
	Resident int64
	// Private is how many of these bytes no other process can have: on Linux those that are in no
	// file and in no shared memory, on Windows the committed memory, on macOS its footprint.
	Private int64
}

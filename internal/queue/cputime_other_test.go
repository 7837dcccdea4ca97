//go:build !linux

package queue

import "time"

// cpuTime is not known here.
func cpuTime() time.Duration { return 0 }

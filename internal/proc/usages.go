// The functions of this file serve the process that starts workers.

package proc

import (
	"sync"
	"time"
)

// usageAge is how old the figures of a process may be that Usages gives.
const usageAge = 500 * time.Millisecond

// Usages is what processes took when somebody last asked. It exists in main. Any goroutine may use
// it.
type Usages struct {
	// mu guards every other field.
	mu sync.Mutex
	// at is when the figures were taken.
	at time.Time
	// of are the figures, by the pids of the processes. The map does not change.
	of map[int]Usage
}

// Of returns what these processes take, by their pids, in figures that are half a second old at
// most. The result must not be changed.
func (u *Usages) Of(now time.Time, pids ...int) map[int]Usage {
	u.mu.Lock()
	defer u.mu.Unlock()
	fresh := now.Sub(u.at) < usageAge
	of := make(map[int]Usage, len(pids))
	for _, pid := range pids {
		if _, twice := of[pid]; twice {
			continue
		}
		got, known := u.of[pid]
		if !known || !fresh {
			got = UsageOf(pid)
		}
		of[pid] = got
	}
	if u.of = of; !fresh {
		u.at = now
	}
	return of
}

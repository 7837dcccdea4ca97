package multiprolab

import (
	"os"
	"sync"
	"time"

	"github.com/multiprolab/multiprolab/internal/proc"
)

// usageAge is how old the figures of a process may be that a snapshot has.
const usageAge = 500 * time.Millisecond

// usages is what processes took when somebody last asked. It exists in main. Any goroutine may use
// it.
type usages struct {
	// mu guards every other field.
	mu sync.Mutex
	// at is when the figures were taken.
	at time.Time
	// of are the figures, by the pids of the processes.
	of map[int]proc.Usage
}

// fill writes the figures of all processes into a snapshot.
func (u *usages) fill(s *Stats) {
	u.mu.Lock()
	defer u.mu.Unlock()
	fresh := s.Time.Sub(u.at) < usageAge
	now := make(map[int]proc.Usage, len(s.Workers)+1)
	of := func(p *ProcessStats) {
		got, ok := now[p.PID]
		if !ok {
			if got, ok = u.of[p.PID]; !ok || !fresh {
				got = proc.UsageOf(p.PID)
			}
			now[p.PID] = got
		}
		p.CPU, p.Resident, p.Private = got.CPU, got.Resident, got.Private
	}
	s.Main.PID = os.Getpid()
	of(&s.Main)
	for i := range s.Workers {
		if p := &s.Workers[i].Process; p.PID > 0 {
			of(p)
		}
	}
	if u.of = now; !fresh {
		u.at = s.Time
	}
}

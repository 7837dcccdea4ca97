package life

import (
	"sync"

	"github.com/multiprolab/multiprolab/internal/proc"
)

// This file finds out whether the kernel has ended a worker because the machine, or the control
// group of the program, had no memory left. The kernel does not say so to a parent: all that is
// there are numbers of the processes that it has ended so. It all happens in main.

// KernelKills knows, for each control group, for how many of the kills that the kernel has counted
// a death of a worker was found. It exists in main; the goroutines of all lives share it.
type KernelKills struct {
	// groups finds the control groups. They have a lock of their own.
	groups *proc.MemoryGroups

	// mu guards known.
	mu sync.Mutex
	// known is the number of each group that is accounted for. mu guards it.
	known map[string]uint64
}

// KernelKill is what the kernel has taken a worker for.
type KernelKill struct {
	// Limit is the limit of its control group in bytes; 0 if it has none, or it is not known.
	Limit int64
	// Group is the path of its control group; empty if the kernel tells only of the whole machine.
	Group string
}

// memoryWatch is the control group of one life of a worker. It exists in main; only the goroutine
// of the life uses it.
type memoryWatch struct {
	// group is the control group.
	group *proc.MemoryGroup
	// count is the group's number when the watch began.
	count uint64
	// asked says that KernelKills.took has been asked, and has said took.
	asked bool
	// took says that the kernel has ended the worker.
	took bool
}

// NewKernelKills returns the deaths by the kernel of all workers, of which none is known yet.
func NewKernelKills(groups *proc.MemoryGroups) *KernelKills {
	return &KernelKills{groups: groups, known: map[string]uint64{}}
}

// watch begins the watch for a process that has been started. It returns nil if the system tells
// nothing.
func (k *KernelKills) watch(pid int) *memoryWatch {
	group := k.groups.Of(pid)
	count, ok := group.Kills()
	if !ok {
		return nil
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if _, ok := k.known[group.Name]; !ok {
		k.known[group.Name] = count
	}
	return &memoryWatch{group: group, count: count}
}

// again is watch at a time when the process may have been put into another group.
func (k *KernelKills) again(pid int, w *memoryWatch) *memoryWatch {
	if w != nil && k.groups.Of(pid).Same(w.group) {
		return w
	}
	return k.watch(pid)
}

// took reports whether the kernel has ended a process of the group since the watch began, whose end
// nobody else has been told of: the process of the worker, which has died of SIGKILL, for all that
// is known.
func (k *KernelKills) took(w *memoryWatch) bool {
	if w == nil || w.asked {
		return w != nil && w.took
	}
	count, ok := w.group.Kills()
	k.mu.Lock()
	defer k.mu.Unlock()
	w.asked = true
	if w.took = ok && count > w.count && count > k.known[w.group.Name]; w.took {
		k.known[w.group.Name]++
	}
	return w.took
}

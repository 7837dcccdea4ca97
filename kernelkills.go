package multiprolab

import (
	"sync"

	"github.com/multiprolab/multiprolab/internal/proc"
)

// This file finds out whether the kernel has ended a worker because the machine, or the control
// group of the program, had no memory left. The kernel does not say so to a parent: all that is
// there are numbers of the processes that it has ended so. It all happens in main.

// kernelKills knows for how many of these ends a death of a worker has been found, by control
// group. It exists in main; the supervisors share it.
type kernelKills struct {
	groups *proc.MemoryGroups

	mu    sync.Mutex
	known map[string]uint64 // the number of each group that is accounted for
}

// memoryWatch is the control group of one life of a worker, with the number that it had before. Its
// supervisor uses it.
type memoryWatch struct {
	group *proc.MemoryGroup
	count uint64
	asked bool // took has been asked, and has said took
	took  bool
}

// memoryGroups finds the control groups. Tests put others in its place.
var memoryGroups = proc.NewMemoryGroups

func newKernelKills() *kernelKills {
	return &kernelKills{groups: memoryGroups(), known: map[string]uint64{}}
}

// watch begins the watch for a process that has been started. It returns nil if the system tells
// nothing.
func (k *kernelKills) watch(pid int) *memoryWatch {
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
func (k *kernelKills) again(pid int, w *memoryWatch) *memoryWatch {
	if w != nil && k.groups.Of(pid).Same(w.group) {
		return w
	}
	return k.watch(pid)
}

// took reports whether the kernel has ended a process of the group since the watch began, whose end
// nobody else has been told of: the process of the worker, which has died of SIGKILL, for all that
// is known.
func (k *kernelKills) took(w *memoryWatch) bool {
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

// lackError is the error of a worker that the kernel has ended for lack of memory, or nil if it has
// not.
func (p *peer) lackError(d *WorkerDiedError) error {
	b, ok := p.body.(*processBody)
	unknown := d.Signal == "" && d.ExitCode == -1
	if !ok || p.why != "" || d.Signal != "SIGKILL" && !unknown || !p.slot.main.kernelKills.took(b.lack) {
		return nil
	}
	return &MemoryLimitError{Limit: b.lack.group.Limit(), Kernel: true, Group: b.lack.group.Name, Died: d}
}

// watchMemory looks again where the process is that has become ready: its setup function may have
// moved it.
func (p *peer) watchMemory() {
	if b, ok := p.body.(*processBody); ok {
		b.lack = p.slot.main.kernelKills.again(p.pid(), b.lack)
	}
}

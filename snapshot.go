package multiprolab

import (
	"cmp"
	"os"
	"slices"
	"time"

	"github.com/multiprolab/multiprolab/internal/fleet"
	"github.com/multiprolab/multiprolab/internal/goroutine"
	"github.com/multiprolab/multiprolab/internal/proc"
	"github.com/multiprolab/multiprolab/internal/queue"
)

// This file is how main takes a snapshot of itself: of its workers while it holds the lock of the
// rules of lives, and of its tasks while it holds that of the rules of tasks as well, so that what
// is in it belongs together.

// Stats returns what goes on at the moment. It is cheap enough to be called every second, under
// whatever load: what it takes grows with the number of workers, queues and types of tasks, and not
// with that of tasks. Any goroutine may call it, also a handler. Before Run or Start there are no
// workers, and when nothing is left of them, it returns the last figures. In the process of a
// worker, where the Main does not run, everything is zero.
func (m *Main) Stats() *Stats {
	s := &Stats{Time: time.Now(), Name: m.cfg.Name}
	if m.outside() != nil || m.fleet == nil {
		return s
	}
	m.fleet.survey(s, &m.history)
	m.history.fill(s)
	s.fillProcesses(&m.usages)
	s.Time = time.Now() // nothing in it is later
	m.rates.fill(s)
	return s
}

// fillProcesses writes the figures of all processes into a snapshot.
func (s *Stats) fillProcesses(usages *proc.Usages) {
	s.Main.PID = os.Getpid()
	processes, pids := []*ProcessStats{&s.Main}, []int{s.Main.PID}
	for i := range s.Workers {
		if p := &s.Workers[i].Process; p.PID > 0 {
			processes, pids = append(processes, p), append(pids, p.PID)
		}
	}
	of := usages.Of(s.Time, pids...)
	for _, p := range processes {
		got := of[p.PID]
		p.CPU, p.Resident, p.Private = got.CPU, got.Resident, got.Private
	}
}

// mostRunning is how much WorkerStats.Running has at most.
const mostRunning = 16

// survey writes the workers and the tasks into a snapshot.
func (w *workerFleet) survey(s *Stats, past *history) {
	w.mu.Lock()
	defer w.mu.Unlock()
	var slots []*slot
	if !w.epoch.IsZero() {
		s.Started = w.epoch
		slots = w.everyone()
	}
	for _, p := range w.registry.pools {
		pool := PoolStats{Name: p.name, Size: len(p.list()), Spares: p.cfg.Spare}
		if len(slots) > 0 {
			pool.Restarts = uint64(w.rules.Restarts(p.id))
		}
		s.Pools = append(s.Pools, pool)
	}
	for _, at := range slots {
		stats := w.statsOf(at)
		s.Workers = append(s.Workers, stats)
		s.Messages.Handled += stats.Messages
	}
	for _, at := range w.slots {
		if at.index >= 0 && !at.pool.has(at) { // it has left its pool, and goes on
			handled, blocked := at.out.Traffic()
			s.Messages.Handled += handled
			s.Wire.Blocked += blocked
		}
	}
	past.wiresOf(s, slots)
	w.broker.survey(s, slots)
	for i := range s.Workers {
		at := &s.Workers[i]
		if at.Pending > 0 && at.Index >= 0 {
			if one, ok := slots[i].handling(len(at.Running) > 0, s.Time); ok {
				at.Running = append(at.Running[:min(len(at.Running), mostRunning-1)], one)
			}
		}
		if at.State == StateReady && len(at.Running)+at.Assigned+at.Pending > 0 {
			at.State = StateBusy
		}
	}
}

// everyone returns the instances of all pools and their spares, in order. The caller holds mu.
func (w *workerFleet) everyone() []*slot {
	spares := map[*pool][]*slot{}
	for id, s := range w.slots {
		if s.index < 0 && w.rules.StateOf(id).State != fleet.Buried {
			spares[s.pool] = append(spares[s.pool], s)
		}
	}
	var all []*slot
	for _, p := range w.registry.pools {
		all = append(all, p.list()...)
		slices.SortFunc(spares[p], func(a, b *slot) int { return cmp.Compare(b.index, a.index) })
		all = append(all, spares[p]...)
	}
	return all
}

// statsOf returns what is known of an instance without its tasks. The caller holds mu.
func (w *workerFleet) statsOf(s *slot) WorkerStats {
	at := w.rules.StateOf(s.id)
	stats := WorkerStats{
		Name:     s.name,
		Pool:     s.pool.name,
		Index:    s.index,
		Life:     at.Lives,
		State:    stateOf(&at),
		Since:    w.epoch.Add(at.Since),
		Restarts: max(0, at.Lives-1),
	}
	stats.Messages, stats.Wire.Blocked = s.out.Traffic()
	stats.Pending, stats.Wire.Held = s.pending(), s.account.Held()
	if p := s.running(); p != nil && !goroutine.Closed(p.process.Done()) { // else another process may have its pid
		stats.Process.PID = p.pid()
	}
	return stats
}

// stateOf returns the word for a state of the rules of lives.
func stateOf(at *fleet.Standing) WorkerState {
	switch {
	case at.State == fleet.Buried && at.Failed:
		return StateFailed
	case at.State == fleet.Buried:
		return StateStopped
	case at.State >= fleet.Spawning && at.Led:
		return StateStopping
	}
	switch at.State {
	case fleet.Spawning, fleet.Starting:
		return StateStarting
	case fleet.Greeted:
		return StateSetup
	case fleet.Standby:
		return StateSpare
	case fleet.Ready:
		return StateReady
	}
	if at.Lives > 0 {
		return StateRestarting
	}
	return StateWaiting
}

// survey writes the tasks into a snapshot, and those of the workers, whose instances are slots.
func (b *broker) survey(s *Stats, slots []*slot) {
	b.mu.Lock()
	defer b.mu.Unlock()
	s.Tasks = taskStats(b.rules.Stats())
	now := b.now()
	for i, at := range slots {
		if at.index >= 0 {
			b.workerStats(&s.Workers[i], at)
		}
	}
	oldest := map[string]time.Duration{}
	for name, since := range b.rules.Oldest {
		oldest[name] = max(oldest[name], now-since)
	}
	throttled := map[string]uint64{}
	for name, n := range b.rules.HeldBack {
		throttled[name] += uint64(n)
	}
	for c := range b.rules.Queues {
		q := QueueStats{
			Name:      c.Name,
			TaskStats: taskStats(c.Stats),
			Delayed:   uint64(c.Delayed),
			Blocked:   uint64(c.Blocked),
			Assigned:  uint64(c.Assigned),
			Dead:      uint64(c.Dead),
			Oldest:    oldest[c.Name],
			Throttled: throttled[c.Name],
		}
		q.Ready = q.Queued - q.Delayed - q.Blocked - q.Assigned
		var until queue.Time
		if q.Paused, until = b.rules.Paused(c.Name); until > 0 {
			q.PausedUntil = b.epoch.Add(until)
		}
		s.Queues = append(s.Queues, q)
	}
	slices.SortFunc(s.Queues, func(a, b QueueStats) int { return cmp.Compare(a.Name, b.Name) })
	for c := range b.rules.Types {
		s.Types = append(s.Types, b.typeStats(c))
	}
	slices.SortFunc(s.Types, func(a, b TypeStats) int { return cmp.Compare(a.Type, b.Type) })
}

// typeStats returns the counts of a type. The caller holds the mutex.
func (b *broker) typeStats(c *queue.Counts) TypeStats {
	s := TypeStats{Type: c.Name, TaskStats: taskStats(c.Stats), Dead: uint64(c.Dead), Retried: uint64(c.Retried)}
	if c.Times == nil {
		return s
	}
	s.Run, s.Wait = histogramOf(&c.Times.Run), histogramOf(&c.Times.Wait)
	for took, slow := range c.Times.Slowest.All {
		t := SlowTask{ID: uint64(slow.Task), Run: took, Time: b.epoch.Add(slow.Ended)}
		if at := b.staff.slots[slow.Slot]; at != nil {
			t.Worker = at.name
		}
		s.Slowest = append(s.Slowest, t)
	}
	return s
}

// workerStats writes into the figures of an instance what it has to do with tasks. The caller holds
// the mutex.
func (b *broker) workerStats(s *WorkerStats, at *slot) {
	state := b.rules.StateOf(at.number)
	s.Tasks, s.Busy, s.Assigned = uint64(state.Ended), state.Busy, state.Assigned
	for _, t := range state.Running {
		s.Running = append(s.Running, RunningStats{
			Kind:    "task",
			Type:    t.Lane().Type,
			From:    jobOf(t).by(),
			ID:      uint64(t.ID()),
			Attempt: t.Attempt(),
			Items:   int(t.Items),
			Since:   b.epoch.Add(t.BegunAt()),
		})
	}
}

package multiprolab

import (
	"fmt"
	"slices"
	"strings"

	"github.com/multiprolab/multiprolab/internal/link"
	"github.com/multiprolab/multiprolab/internal/mail"
	"github.com/multiprolab/multiprolab/internal/wire"
)

// This file is what the waits of loops are for, in main: mail.Waits has the rule. A process is
// named by its instance, or MainName. The broker's mutex guards the waits: what a task waits for is
// what may become of it.

// forJob is the wait for the outcome of a task. One that nobody takes any more is about to get it.
func (b *broker) forJob(j *job) mail.Want[string] {
	return func(yield func(string) bool) {
		none := true
		b.workersFor(j, func(name string) bool {
			none = false
			return yield(name)
		})
		if none {
			yield(anybody)
		}
	}
}

// workersFor yields the workers of which each could bring a job further: the one that runs it, or
// that has its key, or those that may get it. A worker that is started may turn out to take it.
func (b *broker) workersFor(j *job, yield func(string) bool) {
	if k := b.keys[j.meta.Key]; j.meta.Key != "" && k != nil && k.owner != nil && k.owner != j {
		j = k.owner
	}
	if j.state == running {
		if j.holder.kind.types[j.lane.typ] == given {
			yield(j.holder.peer.slot.name)
		} else {
			yield(b.pulledBy(j)) // who has asked for a task may work on it beside its loop
		}
		return
	}
	for _, p := range b.pools {
		if !slices.Contains(p.cfg.Queues, j.lane.queue) {
			continue
		}
		for _, s := range p.list() {
			w := s.worker
			switch {
			case w == nil && s.whyGone() != nil:
				continue
			case w != nil && (slices.Contains(j.lane.waited, w) || w.retiring && s.leaving.Load()):
				continue
			case w != nil && !w.retiring && !w.kind.takes(j.lane.queue, j.lane.typ):
				continue
			case w != nil && w.kind.takes(j.lane.queue, j.lane.typ) && w.kind.types[j.lane.typ] != given:
				yield(anybody)
				return
			}
			if !yield(s.name) {
				return
			}
		}
	}
}

// pulledBy returns who brings a job further that a worker has asked for and works on: nobody's loop
// in particular, unless the loop of the worker waits for something that is done under the job.
func (b *broker) pulledBy(j *job) string {
	holder := j.holder.peer.slot.name
	for id, chain := range b.under[holder] {
		if b.waits.Find(holder, id) != nil && slices.Contains(strings.Split(chain, ","), j.submitter.name()) {
			return holder
		}
	}
	return anybody
}

// noteChain notes for whom the loop of a process is at work while it waits: see pulledBy.
func (b *broker) noteChain(by string, id uint64, chain string) {
	chains := b.under[by]
	for id := range chains {
		if b.waits.Find(by, id) == nil { // it is over
			delete(chains, id)
		}
	}
	if chains == nil {
		chains = map[uint64]string{}
		b.under[by] = chains
	}
	if len(chains) < mail.MaxWaits {
		chains[id] = chain
	}
}

// anybody is not the name of a process: it never waits.
const anybody = "*"

// forRoom is the wait for room in the queue: any worker may make it.
func (b *broker) forRoom() mail.Want[string] {
	return func(yield func(string) bool) {
		for _, p := range b.pools {
			for _, s := range p.list() {
				if (s.worker != nil || s.whyGone() == nil) && !yield(s.name) {
					return
				}
			}
		}
	}
}

// beginCall is beginWait for a call, which is made while the loops of its chain wait, or may.
func (b *broker) beginCall(by, to string, f *wire.Frame) error {
	b.mu.Mutex.Lock()
	defer b.mu.Mutex.Unlock()
	if f.Meta != by && b.waits.Count(by) < mail.MaxWaits {
		b.noteChain(by, f.ID, f.Meta)
		b.waits.Note(by, f.ID, mail.For(to)) // already, so that the chain counts
	}
	return b.beginWaitLocked(by, f.ID, mail.For(to), fmt.Sprintf("call %q to %s", f.Type, to))
}

// beginWait notes that the loop of a process waits, or returns a *sentinelError that wraps
// ErrCallCycle and says in which circle the wait would be. what is what waits, such as `call "x"`.
func (b *broker) beginWait(by string, id uint64, w mail.Want[string], what string) error {
	b.mu.Mutex.Lock()
	defer b.mu.Mutex.Unlock()
	return b.beginWaitLocked(by, id, w, what)
}

func (b *broker) beginWaitLocked(by string, id uint64, w mail.Want[string], what string) error {
	if b.waits.Begin(by, id, w) {
		return nil
	}
	return b.circleError(by, w, what)
}

func (b *broker) circleError(by string, w mail.Want[string], what string) error {
	return &sentinelError{
		fmt.Sprintf("multiprolab: %s would wait for itself (%s): let one of them use Send or Submit, "+
			"or wait in a goroutine", what, strings.Join(b.waits.Path(by, w), " -> ")),
		ErrCallCycle,
	}
}

// breakCircles refuses waits for tasks that have become parts of circles: workers have ended for
// good, or turned out to take other types.
func (b *broker) breakCircles() {
	for {
		stuck := b.waits.Stuck()
		if len(stuck) == 0 {
			return
		}
		var last *job // that was submitted, as if its submitter had waited last
		for _, j := range b.jobs {
			if (last == nil || j.id > last.id) && b.isStuck(j, stuck) {
				last = j
			}
		}
		if last == nil {
			return
		}
		b.refuse(last)
	}
}

// isStuck reports whether a stuck process waits for a job that no worker has begun with, and nobody
// else will bring it further.
func (b *broker) isStuck(j *job, stuck map[string]bool) bool {
	w := b.waits.Find(j.submitter.name(), j.submitterID)
	lives := j.submitter == nil || j.submitter.link.Load() != nil
	return lives && w != nil && j.state != running && j.condemned == nil && !w.Ends(stuck)
}

// refuse ends the wait for a job: the job as well if it was submitted to be waited for.
func (b *broker) refuse(j *job) {
	by := j.submitter.name()
	err := b.circleError(by, b.forJob(j), fmt.Sprintf("task %q", j.lane.typ))
	if j.meta.Waits && j.holder == nil {
		b.finish(j, &reply{err: err})
		return
	}
	b.waits.End(by, j.submitterID)
	if j.meta.Waits {
		b.condemn(j, err, 0, b.clock.now())
		return
	}
	if j.submitter != nil {
		j.submitter.answer(link.Soon, refusalFrame(j.submitterID, j.spell, err))
	} else if s := b.node.submission(j.submitterID, false); s != nil {
		s.refuse(j.spell, err)
	}
}

// refusalFrame tells a worker that its loop must not wait for a task.
func refusalFrame(id, spell uint64, err error) *wire.Frame {
	return wire.NewRefusal(id, spell, marshalError(err))
}

// endWait notes that a wait is over.
func (b *broker) endWait(by string, id uint64) {
	b.mu.Mutex.Lock()
	defer b.mu.Mutex.Unlock()
	b.waits.End(by, id)
}

// endWaits notes that the loop of a process waits for nothing of what it has begun to wait for.
func (b *broker) endWaits(by string) {
	b.mu.Mutex.Lock()
	defer b.mu.Mutex.Unlock()
	b.waits.EndAll(by)
}

// startWait is the number of the wait of an instance that is not started yet, because it needs
// others.
const startWait = 1<<63 + 1

// waitToStart notes that an instance cannot start before another one is ready, or that it waits for
// none any more if that is "". Who waits for the instance meanwhile waits for the other, too.
func (b *broker) waitToStart(name, other string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.waits.End(name, startWait)
	if other == "" {
		return
	}
	b.waits.Note(name, startWait, mail.For(other))
	if len(b.jobs) > 0 {
		b.breakCircles()
	}
}

// roomWait is the number of the wait of a worker for room, which no call and no task has: a worker
// that says many has one.
const roomWait = 1 << 63

// forCredit is the wait of a worker for room for what it sends. It is a wait for the queue if all
// that the worker has sent and that takes room is tasks that wait for the queue themselves.
func (b *broker) forCredit(c *client) mail.Want[string] {
	return func(yield func(string) bool) {
		kept := c.kept()
		for j := b.blocked.first; j != nil; j = j.next {
			if j.submitter == c {
				kept -= j.cost
			}
		}
		if kept > 0 {
			yield(anybody) // others have messages of it, and take them
			return
		}
		b.forRoom()(yield)
	}
}

// await notes that the loop of the submitter, nil for main, waits for the outcome of a task that it
// has submitted without, for the time with the number spell, or for room. A task that has its
// outcome is none.
func (b *broker) await(submitter *client, id, spell uint64, room bool) error {
	b.mu.Mutex.Lock()
	defer b.mu.Mutex.Unlock()
	if submitter != nil && submitter.link.Load() == nil { // its life has ended
		return nil
	}
	if room {
		return b.beginWaitLocked(submitter.name(), roomWait, b.forCredit(submitter), "a wait for room in the queue")
	}
	j := b.submitted[submissionKey{submitter, id}]
	if j == nil || b.store != nil { // other programs may work on it
		return nil
	}
	j.spell = spell
	return b.beginWaitLocked(submitter.name(), id, b.forJob(j), fmt.Sprintf("task %q", j.lane.typ))
}

// beginJoin notes that main's loop waits for all tasks: for each worker, as long as it runs one. It
// returns what notes the end of that.
func (b *broker) beginJoin() (over func(), err error) {
	b.mu.Mutex.Lock()
	defer b.mu.Mutex.Unlock()
	var ids []uint64
	begin := func(w mail.Want[string]) {
		if err == nil {
			id := b.node.nextID()
			ids = append(ids, id)
			if err = b.beginWaitLocked(MainName, id, w, "Join"); err == nil {
				b.waits.Note(MainName, id, w) // however many workers there are
			}
		}
	}
	for _, p := range b.pools {
		begin(b.forQueuesOf(p))
		for _, s := range p.list() {
			begin(b.forTasksOf(s))
		}
	}
	over = func() {
		for _, id := range slices.Backward(ids) { // the last began last: see mail.Waits.End
			b.endWait(MainName, id)
		}
	}
	if err != nil {
		for _, id := range ids {
			b.waits.End(MainName, id)
		}
	}
	return over, err
}

// forTasksOf is the wait for the tasks that a worker has.
func (b *broker) forTasksOf(s *slot) mail.Want[string] {
	return func(yield func(string) bool) {
		var ahead *job
		if w := s.worker; w != nil {
			for _, j := range w.held {
				if j.state == running {
					yield(s.name)
					return
				}
				ahead = j
			}
		}
		if ahead == nil {
			yield(anybody)
			return
		}
		b.forJob(ahead)(yield)
	}
}

// forQueuesOf is the wait for the tasks that no worker has yet, in the queues of a pool: for one of
// them, which stands for the others.
func (b *broker) forQueuesOf(p *pool) mail.Want[string] {
	return func(yield func(string) bool) {
		for _, l := range b.lanes {
			if l.open() && slices.Contains(p.cfg.Queues, l.queue) {
				b.forJob(l.jobs.first)(yield)
				return
			}
		}
		yield(anybody)
	}
}

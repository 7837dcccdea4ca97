package multiprolab

import (
	"fmt"
	"slices"
	"strings"

	"github.com/multiprolab/multiprolab/internal/link"
	"github.com/multiprolab/multiprolab/internal/mail"
	"github.com/multiprolab/multiprolab/internal/queue"
	"github.com/multiprolab/multiprolab/internal/wire"
)

// This file is who waits for whom, in main. The rule that no circle of waits may close is
// mail.Waits; here it is told for whom each wait is. A process is known by the name of its
// instance, or as MainName. The broker's mutex guards the waits, because a wait for a task depends
// on what may become of the task.

// named returns a wait for helpers that the rules of tasks name, of which one is enough to end it.
// The caller of the wait holds the broker's mutex.
func (b *broker) named(helpers func(yield func(queue.Helper) bool)) mail.Want[string] {
	return func(yield func(string) bool) {
		for h := range helpers {
			if !yield(b.nameOf(h)) {
				return
			}
		}
	}
}

// nameOf returns the name of the process whose loop brings a task further, or anybody.
func (b *broker) nameOf(h queue.Helper) string {
	s := b.staff.slots[h.Slot]
	switch {
	case s == nil:
		return anybody
	case h.Pulled != nil && !b.loops.waits.WaitsFor(s.name, jobOf(h.Pulled).by()):
		return anybody // a worker may work beside its loop on a task that it has asked for
	}
	return s.name
}

// forJob returns the wait for the outcome of a job.
func (b *broker) forJob(j *job) mail.Want[string] {
	return b.named(func(yield func(queue.Helper) bool) {
		if j.Ended() { // the submitter is about to get the outcome
			yield(queue.Helper{})
			return
		}
		b.rules.Helpers(&j.Task, yield)
	})
}

// anybody stands for a helper that never waits. It is not the name of a process.
const anybody = "*"

// forRoom returns the wait for room in the queue, which any worker may make.
func (b *broker) forRoom() mail.Want[string] { return b.named(b.rules.RoomHelpers) }

// beginCall is beginWait for a call; the caller is nil for main. The loops that the chain of the
// call names wait while the call is made, or may wait.
func (b *broker) beginCall(caller *client, to string, f *wire.Frame) error {
	b.mu.Mutex.Lock()
	defer b.mu.Mutex.Unlock()
	if caller.over() {
		return nil
	}
	by, want := caller.name(), mail.For(to)
	if f.Meta != by && b.loops.waits.Count(by) < mail.MaxWaits { // before the wait is tried, so that the chain counts
		b.loops.waits.NoteFor(by, f.ID, want, strings.Split(f.Meta, ","))
	}
	return b.beginWaitLocked(by, f.ID, want, fmt.Sprintf("call %q to %s", f.Type, to))
}

// beginWait notes that the loop of a process waits. If the wait would close a circle, it returns a
// *sentinelError instead that wraps ErrCallCycle and names the circle. what names what waits, such
// as `call "x"`.
func (b *broker) beginWait(by string, id uint64, w mail.Want[string], what string) error {
	b.mu.Mutex.Lock()
	defer b.mu.Mutex.Unlock()
	return b.beginWaitLocked(by, id, w, what)
}

// beginWaitLocked is beginWait for a caller that holds the mutex.
func (b *broker) beginWaitLocked(by string, id uint64, w mail.Want[string], what string) error {
	if b.loops.waits.Begin(by, id, w) {
		return nil
	}
	return b.circleError(by, w, what)
}

// circleError returns the error of a wait that would close a circle. The caller holds the mutex.
func (b *broker) circleError(by string, w mail.Want[string], what string) error {
	return &sentinelError{
		fmt.Sprintf("multiprolab: %s would wait for itself (%s): let one of them use Send or Submit, "+
			"or wait in a goroutine", what, strings.Join(b.loops.waits.Path(by, w), " -> ")),
		ErrCallCycle,
	}
}

// breakCircles refuses waits for tasks that have become parts of circles, because workers have
// ended for good or take other types of tasks than was known. The caller holds the mutex.
func (b *broker) breakCircles() {
	for {
		var last *job // the latest job of the circle: its submitter counts as the last that has begun to wait
		for name, id := range b.loops.waits.Lost {
			if j := b.awaited(name, id); j != nil && (last == nil || j.ID() > last.ID()) {
				last = j
			}
		}
		if last == nil {
			return
		}
		b.refuse(last)
	}
}

// awaited returns the job that a wait is for. It returns nil if the wait is for something else, if
// a worker has begun with the job, or if the end of the job is certain.
func (b *broker) awaited(name string, id uint64) *job {
	var c *client
	if name != MainName {
		if c = b.loops.clients[name]; c == nil || c.over() {
			return nil
		}
	}
	if j := b.submitted(c, id); j != nil && b.rules.MayRefuse(&j.Task) {
		return j
	}
	return nil
}

// refuse ends the wait for a job. If the job was submitted to be waited for, it ends as well.
func (b *broker) refuse(j *job) {
	err := b.circleError(j.by(), b.forJob(j), fmt.Sprintf("task %q", j.Lane().Type))
	b.loops.waits.End(j.by(), j.Number)
	switch {
	case j.waits:
		j.history().refusal = err
		b.rules.Refuse(&j.Task, b.now())
	case j.client != nil:
		j.client.answer(link.Soon, refusalFrame(j.Number, j.spell, err))
	case j.sub != nil:
		j.sub.refuse(j.spell, err)
	}
}

// endWait notes that a wait of the loop of a process is over.
func (b *broker) endWait(by string, id uint64) {
	b.mu.Mutex.Lock()
	defer b.mu.Mutex.Unlock()
	b.loops.waits.End(by, id)
}

// endWaits notes that the loop of a process waits for nothing any more.
func (b *broker) endWaits(by string) {
	b.mu.Mutex.Lock()
	defer b.mu.Mutex.Unlock()
	b.loops.waits.EndAll(by)
}

// startWait is the number of the wait of an instance whose next life cannot begin yet, because the
// instance needs others.
const startWait = 1<<63 + 1

// waitToStart notes that an instance cannot start before another one is ready or, if other is "",
// that it waits for no other any more. Whoever waits for the instance meanwhile waits for that
// other one, too.
func (b *broker) waitToStart(name, other string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.loops.waits.End(name, startWait)
	if other == "" {
		return
	}
	b.loops.waits.Note(name, startWait, mail.For(other))
	if b.rules.Live() > 0 {
		b.breakCircles()
	}
}

// forCredit returns the wait of a worker for room for what it sends. It is a wait for room in the
// queue, if all that takes room is tasks of the worker that wait for the queue themselves.
func (b *broker) forCredit(c *client) mail.Want[string] {
	return func(yield func(string) bool) {
		if c.lined == 0 || c.Kept() > c.lined {
			yield(anybody) // its messages take room, or did, and their receivers take them
			return
		}
		b.forRoom()(yield)
	}
}

// await notes that the loop of a submitter, which is nil for main, waits for the outcome of a task
// or, if room is set, for room. The task was submitted without a wait; spell is the number of this
// wait, see submission. If the task has its outcome, there is nothing to note.
func (b *broker) await(submitter *client, id, spell uint64, room bool) error {
	b.mu.Mutex.Lock()
	defer b.mu.Mutex.Unlock()
	if submitter.over() {
		return nil
	}
	if room {
		return b.beginWaitLocked(submitter.name(), roomWait, b.forCredit(submitter), "a wait for room in the queue")
	}
	j := b.submitted(submitter, id)
	if j == nil || b.store != nil { // other programs may work on a task in a Backend
		return nil
	}
	j.spell = spell
	return b.beginWaitLocked(submitter.name(), id, b.forJob(j), fmt.Sprintf("task %q", j.Lane().Type))
}

// beginJoin notes that the loop of main waits for all tasks: for each pool, and for each worker as
// long as it runs a task. It returns a function that notes the end of these waits.
func (b *broker) beginJoin() (over func(), err error) {
	b.mu.Mutex.Lock()
	defer b.mu.Mutex.Unlock()
	var ids []uint64
	begin := func(w mail.Want[string]) {
		if err == nil {
			id := b.node.nextID()
			ids = append(ids, id)
			if err = b.beginWaitLocked(MainName, id, w, "Join"); err == nil {
				b.loops.waits.Note(MainName, id, w) // also if there are more waits than mail.MaxWaits
			}
		}
	}
	for i, p := range b.staff.pools {
		pool := queue.Pool(i + 1)
		begin(b.named(func(yield func(queue.Helper) bool) { b.rules.PoolHelpers(pool, yield) }))
		for _, s := range p.list() {
			begin(b.named(func(yield func(queue.Helper) bool) { b.rules.SlotHelpers(s.number, yield) }))
		}
	}
	over = func() {
		for _, id := range slices.Backward(ids) { // in the reverse order of their begin: see mail.Waits.End
			b.endWait(MainName, id)
		}
	}
	if err != nil {
		for _, id := range ids {
			b.loops.waits.End(MainName, id)
		}
	}
	return over, err
}

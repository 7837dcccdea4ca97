package multiprolab

import (
	"fmt"
	"iter"
	"slices"
	"strings"

	"github.com/multiprolab/multiprolab/internal/link"
	"github.com/multiprolab/multiprolab/internal/mail"
	"github.com/multiprolab/multiprolab/internal/queue"
	"github.com/multiprolab/multiprolab/internal/wire"
)

// This file is what the waits of loops are for, in main: mail.Waits has the rule. A process is
// named by its instance, or MainName. The broker's mutex guards the waits: what a task waits for is
// what may become of it.

// namesIn yields the names in a chain.
func namesIn(chain string) iter.Seq[string] { return strings.SplitSeq(chain, ",") }

// named is a wait for those that the rules name, of which each suffices.
func (b *broker) named(helpers func(yield func(queue.Helper) bool)) mail.Want[string] {
	return func(yield func(string) bool) {
		for h := range helpers {
			if !yield(b.nameOf(h)) {
				return
			}
		}
	}
}

// nameOf names the process whose loop brings a task further.
func (b *broker) nameOf(h queue.Helper) string {
	s := b.staff.slots[h.Slot]
	switch {
	case s == nil:
		return anybody
	case h.Pulled != nil: // who has asked for a task may work on it beside its loop
		return b.pulledBy(s.name, jobOf(h.Pulled))
	}
	return s.name
}

// pulledBy returns who brings a job further that a worker has asked for and works on: nobody's loop
// in particular, unless the loop of the worker waits for something that is done under the job.
func (b *broker) pulledBy(holder string, j *job) string {
	for id, chain := range b.loops.under[holder] {
		if b.loops.waits.Find(holder, id) != nil && slices.Contains(strings.Split(chain, ","), j.by()) {
			return holder
		}
	}
	return anybody
}

// forJob is the wait for the outcome of a job.
func (b *broker) forJob(j *job) mail.Want[string] {
	return b.named(func(yield func(queue.Helper) bool) {
		if j.Ended() { // it is about to get it
			yield(queue.Helper{})
			return
		}
		b.rules.Helpers(&j.Task, yield)
	})
}

// noteChain notes for whom the loop of a process is at work while it waits: see pulledBy.
func (b *broker) noteChain(by string, id uint64, chain string) {
	chains := b.loops.under[by]
	for id := range chains {
		if b.loops.waits.Find(by, id) == nil { // it is over
			delete(chains, id)
		}
	}
	if chains == nil {
		chains = map[uint64]string{}
		b.loops.under[by] = chains
	}
	if len(chains) < mail.MaxWaits {
		chains[id] = chain
	}
}

// anybody is not the name of a process: it never waits.
const anybody = "*"

// forRoom is the wait for room in the queue: any worker may make it.
func (b *broker) forRoom() mail.Want[string] { return b.named(b.rules.RoomHelpers) }

// beginCall is beginWait for a call, which is made while the loops of its chain wait, or may.
func (b *broker) beginCall(by, to string, f *wire.Frame) error {
	b.mu.Mutex.Lock()
	defer b.mu.Mutex.Unlock()
	if f.Meta != by && b.loops.waits.Count(by) < mail.MaxWaits {
		b.noteChain(by, f.ID, f.Meta)
		b.loops.waits.Note(by, f.ID, mail.For(to)) // already, so that the chain counts
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
	if b.loops.waits.Begin(by, id, w) {
		return nil
	}
	return b.circleError(by, w, what)
}

func (b *broker) circleError(by string, w mail.Want[string], what string) error {
	return &sentinelError{
		fmt.Sprintf("multiprolab: %s would wait for itself (%s): let one of them use Send or Submit, "+
			"or wait in a goroutine", what, strings.Join(b.loops.waits.Path(by, w), " -> ")),
		ErrCallCycle,
	}
}

// breakCircles refuses waits for tasks that have become parts of circles: workers have ended for
// good, or turned out to take other types.
func (b *broker) breakCircles() {
	for {
		stuck := b.loops.waits.Stuck()
		if len(stuck) == 0 {
			return
		}
		var last *job // that was submitted, as if its submitter had waited last
		for name := range stuck {
			for id, want := range b.loops.waits.Of(name) {
				if want.Ends(stuck) {
					continue
				}
				if j := b.awaited(name, id); j != nil && (last == nil || j.ID() > last.ID()) {
					last = j
				}
			}
		}
		if last == nil {
			return
		}
		b.refuse(last)
	}
}

// awaited returns the job that a wait is for, if it is for one that no worker has begun with and
// whose end is not certain, and nil else.
func (b *broker) awaited(name string, id uint64) *job {
	var c *client
	if name != MainName {
		if c = b.loops.clients[name]; c == nil || c.link.Load() == nil {
			return nil
		}
	}
	if j := b.submitted(c, id); j != nil && b.rules.MayRefuse(&j.Task) {
		return j
	}
	return nil
}

// refuse ends the wait for a job: the job as well if it was submitted to be waited for.
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

// endWait notes that a wait is over.
func (b *broker) endWait(by string, id uint64) {
	b.mu.Mutex.Lock()
	defer b.mu.Mutex.Unlock()
	b.loops.waits.End(by, id)
}

// endWaits notes that the loop of a process waits for nothing of what it has begun to wait for.
func (b *broker) endWaits(by string) {
	b.mu.Mutex.Lock()
	defer b.mu.Mutex.Unlock()
	b.loops.waits.EndAll(by)
}

// startWait is the number of the wait of an instance that is not started yet, because it needs
// others.
const startWait = 1<<63 + 1

// waitToStart notes that an instance cannot start before another one is ready, or that it waits for
// none any more if that is "". Who waits for the instance meanwhile waits for the other, too.
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

// forCredit is the wait of a worker for room for what it sends. It is a wait for the queue if all
// that the worker has sent and that takes room is tasks that wait for the queue themselves.
func (b *broker) forCredit(c *client) mail.Want[string] {
	return func(yield func(string) bool) {
		if c.kept() > c.lined {
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
	j := b.submitted(submitter, id)
	if j == nil || b.store != nil { // other programs may work on it
		return nil
	}
	j.spell = spell
	return b.beginWaitLocked(submitter.name(), id, b.forJob(j), fmt.Sprintf("task %q", j.Lane().Type))
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
				b.loops.waits.Note(MainName, id, w) // however many workers there are
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
		for _, id := range slices.Backward(ids) { // the last began last: see mail.Waits.End
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

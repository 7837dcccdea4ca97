package multiprolab

import (
	"context"
	"fmt"
	"io"
	"log/slog"

	"github.com/multiprolab/multiprolab/internal/proc"
	"github.com/multiprolab/multiprolab/internal/wire"
)

// HookWire has the wire of every worker of this process go through wrap; see wrapWire.
func HookWire(wrap func(w *Worker, r io.Reader, out io.Writer) (io.Reader, io.Writer)) {
	wrapWire = wrap
}

// OptionsWith returns the options of a task with a chain, as they are on the wire.
func OptionsWith(chain string) string { return taskMeta{Chain: chain, Waits: true}.marshal() }

// AttemptOf returns which attempt the frame of a task asks for, from 1.
func AttemptOf(f *wire.Frame) int {
	meta, err := unmarshalTaskMeta(f.Meta)
	if err != nil {
		panic(err)
	}
	return max(1, meta.Attempt)
}

// Residue says what the queue still holds: nothing, when every task has had its outcome.
func (q *TaskQueue) Residue() (left []string) {
	b := q.main.broker
	b.mu.Lock()
	defer b.mu.Unlock()
	say := func(n int, what string) {
		if n != 0 {
			left = append(left, fmt.Sprintf("%d %s", n, what))
		}
	}
	say(len(b.jobs), "jobs")
	for _, j := range b.jobs {
		if len(left) < 20 {
			holder := "nobody"
			if j.holder != nil {
				holder = fmt.Sprintf(
					"%s/life %d (gone %v, suspect %d, held %d)",
					j.holder.peer.slot.name,
					j.holder.peer.life,
					j.holder.gone,
					j.holder.suspect,
					len(j.holder.held),
				)
			}
			left = append(
				left,
				fmt.Sprintf(
					"%v: state %d, held by %s, attempts %d, recalled %v, condemned %v, key %q",
					j,
					j.state,
					holder,
					j.attempts,
					j.recalled,
					j.condemned,
					j.meta.Key,
				),
			)
		}
	}
	say(len(b.submitted), "submissions")
	say(len(b.keys), "keys")
	say(b.waiting, "jobs that count as waiting")
	say(b.bytes, "bytes that count as waiting")
	say(len(b.joiners), "joiners")
	for _, w := range b.workers {
		say(len(w.held), "jobs held by "+w.peer.slot.name)
		say(w.suspect, "suspicions against "+w.peer.slot.name)
	}
	say(b.blocked.n, "jobs in the list of those that wait for room")
	say(len(b.batches), "batches that run")
	say(len(b.stirred)+len(b.woken), "lanes and workers to be looked after")
	for _, a := range b.agenda {
		if a.job != nil {
			say(1, fmt.Sprintf("alarm of %v", a.job))
		}
	}
	for _, k := range b.kinds {
		say(len(k.work)+len(k.circled), "lanes offered")
		for _, h := range k.pulled {
			say(len(h), "lanes offered to be pulled")
		}
	}
	for _, l := range b.lanes {
		say(l.total, "jobs of lane "+l.typ)
		say(l.jobs.n, "jobs in lane "+l.typ)
	}
	if b.store == nil {
		return left
	}
	b.store.mu.Lock()
	say(len(b.store.byID), "tasks that are to be fetched")
	say(len(b.store.leased), "tasks that are leased")
	say(len(b.store.dropped), "tasks that are to be dropped")
	say(b.store.todo.Len()+len(b.store.puts), "things to be told to the backend")
	b.store.mu.Unlock()
	for _, l := range b.lanes {
		d, err := b.store.backend.Depth(context.Background(), l.name)
		if err != nil {
			left = append(left, err.Error())
		}
		say(d.Ready, "tasks ready in "+l.name)
		say(d.Leased, "tasks leased in "+l.name)
		say(d.Delayed, "tasks delayed in "+l.name)
	}
	return left
}

// Pending returns the number of messages and calls that an instance has to handle, as main sees it.
func (m *Main) Pending(instance string) int {
	s, err := m.router.resolve(instance)
	if err != nil {
		return 0
	}
	return s.pending()
}

// Headline returns the line of a stderr that an error's text has.
func Headline(stderr string, exitCode int) string { return headline(stderr, exitCode) }

// Body returns the encoded body of the message.
func (m *Message) Body() []byte { return m.payload.Data }

// Body returns the encoded body of the task.
func (t *Task) Body() []byte { return t.payload.Data }

// LookForKernelKillsIn has each Main that starts from now on look into the files below a directory
// for the numbers of the processes that the kernel has ended for lack of memory, until restore is
// called.
func LookForKernelKillsIn(root string) (restore func()) {
	memoryGroups = func() *proc.MemoryGroups { return proc.MemoryGroupsIn(root) }
	return func() { memoryGroups = proc.NewMemoryGroups }
}

// AcrossAWire returns the error as it comes to another process.
func AcrossAWire(err error) error { return unmarshalError(marshalError(err)) }

// LevelOf returns the level of the record of an event, in a program that ends or in one that goes
// on.
func LevelOf(e Event, ending bool) slog.Level {
	m := &Main{milestones: newMilestones()}
	if ending {
		close(m.exitAsked)
	}
	level, _, _ := e.record()
	return m.levelNow(e, level)
}

// LeftLate returns the event of a worker that was killed because it did not leave in time.
func LeftLate(err error) *WorkerFailed { return &WorkerFailed{Err: err, Planned: true, late: true} }

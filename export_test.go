package multiprolab

import (
	"context"
	"fmt"
	"io"
	"log/slog"

	"github.com/multiprolab/multiprolab/internal/meta"
	"github.com/multiprolab/multiprolab/internal/proc"
	"github.com/multiprolab/multiprolab/internal/wire"
)

// HookWire has the wire of every worker of this process go through wrap; see wrapWire.
func HookWire(wrap func(w *Worker, r io.Reader, out io.Writer) (io.Reader, io.Writer)) {
	wrapWire = wrap
}

// OptionsWith returns the options of a task with a chain, as they are on the wire.
func OptionsWith(chain string) string { return meta.Task{Chain: chain, Waits: true}.Marshal() }

// AttemptOf returns which attempt the frame of a task asks for, from 1.
func AttemptOf(f *wire.Frame) int {
	o, err := meta.Unmarshal(f.Meta)
	if err != nil {
		panic(err)
	}
	return max(1, o.Attempt)
}

// Residue says what the queue still holds: nothing, when every task has had its outcome.
func (q *TaskQueue) Residue() (left []string) {
	b := q.main.(*broker)
	b.mu.Lock()
	defer b.mu.Unlock()
	say := func(n int, what string) {
		if n != 0 {
			left = append(left, fmt.Sprintf("%d %s", n, what))
		}
	}
	r := b.rules.Residue()
	say(r.Tasks, "tasks")
	say(r.Out, "tasks with workers")
	say(r.Submitted, "submissions of workers")
	say(r.Blocked, "tasks that wait for room")
	say(r.Waiting, "tasks that count as waiting")
	say(r.Bytes, "bytes that count as waiting")
	say(r.Assigned, "tasks that are assigned")
	say(r.Batches, "batches that run")
	say(r.Keys, "keys")
	say(r.Alarms, "alarms")
	say(r.Stirred+r.Woken, "lanes and workers to be looked after")
	say(len(b.joiners), "joiners")
	for _, p := range b.staff.peers {
		say(b.rules.Held(p.worker), "tasks held by "+p.slot().name)
		say(int(p.holds.Load()), "tasks counted for "+p.slot().name)
		say(int(p.client.lined), "bytes that hold credit of "+p.slot().name)
	}
	if b.store == nil {
		return left
	}
	stored := b.store.Residue()
	say(stored.Tasks, "tasks that the backend has")
	say(stored.Dropped, "tasks that are to be dropped")
	say(stored.Unsaid, "things to be told to the backend")
	for _, name := range stored.Queues {
		d, err := b.store.Backend.Depth(context.Background(), name)
		if err != nil {
			left = append(left, err.Error())
		}
		say(d.Ready, "tasks ready in "+name)
		say(d.Leased, "tasks leased in "+name)
		say(d.Delayed, "tasks delayed in "+name)
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
	ends := make(chan struct{})
	if ending {
		close(ends)
	}
	level, _, _ := e.record()
	return (&announcer{ends: ends}).levelNow(e, level)
}

// LeftLate returns the event of a worker that was killed because it did not leave in time.
func LeftLate(err error) *WorkerFailed { return &WorkerFailed{Err: err, Planned: true, late: true} }

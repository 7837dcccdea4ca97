// Package backend is where the queued tasks of a multiprolab program are kept, if that is to be
// elsewhere than in main's memory: see multiprolab.Config.Backend, whose nil is main's memory.
// Only who writes a Backend, or names one in a config, needs this package.
//
// A Backend that keeps tasks on a disk or on a server implements four methods, and its Lease seven.
// [Memory] is a plain one to learn from, and multiprolabtest.TestBackend checks any.
package backend

import (
	"context"
	"errors"
	"time"
)

var (
	// ErrClosed reports a Backend that has been closed.
	ErrClosed = errors.New("multiprolab: the backend is closed")
	// ErrLeaseLost reports that a lease has ended, so that the task may be in other hands.
	ErrLeaseLost = errors.New("multiprolab: the lease has ended")
)

// Backend stores the queued tasks. It lives in main, which alone talks to it: workers get their
// tasks over their pipes. Policy stays above it, so that tasks behave the same with every Backend:
// attempts, backoff, deadlines, priorities, keys, cancellation and results are the library's, which
// asks the Backend only to keep tasks and to hand each to one taker at a time.
//
// A Backend has any number of queues, each first in, first out, named with letters, digits, '_',
// '-' and '/'. They come into being with their first task. The library uses one for each type of
// task and priority of a queue of its users. All methods may be called from any goroutine.
// multiprolabtest.TestBackend checks an implementation.
type Backend interface {
	// Enqueue stores the tasks, in order, and returns a receipt for each when they are stored. On
	// an error none, or some of the first, are stored.
	Enqueue(ctx context.Context, tasks ...Task) ([]Receipt, error)
	// Fetch waits until the queue has a task that is due and then takes at least one and at most
	// credit of them. It returns the cause of ctx when ctx ends before, and an error, such as
	// ErrClosed, when the Backend is closed.
	Fetch(ctx context.Context, queue string, credit int) ([]Lease, error)
	// Depth counts the tasks of a queue. TaskQueue.TryGet asks for it.
	Depth(ctx context.Context, queue string) (Depth, error)
	// Close ends every Fetch and gives up what the Backend holds in this process. Stored tasks stay
	// stored where the Backend is durable.
	Close(ctx context.Context) error
}

// Task is a task as a Backend stores it.
type Task struct {
	ID        string // unique; a durable Backend stores a task with an ID that it has only once
	Queue     string
	Type      string
	Body      []byte    // encoded; complete in itself
	Options   string    // of the library; opaque: any bytes, and no text for JSON or a column of text
	NotBefore time.Time // zero: due at once
	Attempts  int       // used up before
	// Checkpoint is what Checkpointer has stored last; nil if nothing.
	Checkpoint []byte
}

// Receipt says that a task has been stored.
type Receipt struct {
	ID        string
	Duplicate bool // a task with the ID was there already, and nothing was stored
}

// Depth counts the tasks of a queue by what they wait for.
type Depth struct {
	Ready   int // due, and not leased
	Leased  int
	Delayed int // not due yet
	Dead    int // given up with Lease.Dead
}

// Lease is a task in the hands of one taker. It ends with Ack, Retry or Dead, or when its deadline
// passes: the Backend then hands the task to the next taker, and the methods return ErrLeaseLost.
type Lease interface {
	Task() Task
	// Attempt is 1 when the task is leased for the first time, and grows with each further lease.
	Attempt() int
	// Deadline is when the lease ends by itself; zero means never.
	Deadline() time.Time
	// Ack removes the task: it is done. It returns nil once that is certain.
	Ack(ctx context.Context) error
	// Retry gives the task back; it is due again after a time. With zero it goes to the front of
	// its queue.
	Retry(ctx context.Context, after time.Duration, cause string) error
	// Extend moves the deadline further off, by as much as a new lease would have.
	Extend(ctx context.Context) error
	// Dead gives the task up: it is kept, where the Backend keeps such tasks, and not leased again.
	Dead(ctx context.Context, reason string) error
}

// Returner is a Lease that can be given back as if it had not been: for a task that was fetched
// when nobody wanted it any more, since the call that was to have it was cancelled, a worker was
// gone or the program ended. A Lease need not be one: without it, Retry is called, and another main
// takes the lease for an attempt at the task.
type Returner interface {
	Lease
	// Return gives the task back, to the front of its queue. This lease does not count in the
	// Attempt of later ones.
	Return(ctx context.Context) error
}

// Checkpointer is a Lease that stores how far its task has got. A Lease need not be one: without
// it, a checkpoint is kept in main's memory alone, and a task that is leased again after main's
// death begins anew.
type Checkpointer interface {
	Lease
	// Checkpoint stores data with the task, in place of what was stored before: the next lease of
	// the task has it in Task.Checkpoint, however this one ends. data has at most some 64 KiB for
	// the value, and what is needed to decode it.
	Checkpoint(ctx context.Context, data []byte) error
}

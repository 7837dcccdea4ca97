package backend

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/multiprolab/multiprolab/internal/ring"
)

// Memory is a Backend in main's memory, for tests and as an example of one. Without a Backend in
// its config main keeps its tasks in its memory by itself, which costs less. Use NewMemory.
type Memory struct {
	// mu guards every other field, and everything in the queues.
	mu sync.Mutex
	// queues finds a queue by its name.
	queues map[string]*memQueue
	// closed says that Close was called.
	closed bool
}

// memQueue is one queue of a Memory, which guards it.
type memQueue struct {
	// ready are the tasks that can be fetched, the next one first.
	ready ring.Ring[*memTask]
	// delayed are the tasks that are not due yet, in the order of NotBefore.
	delayed []*memTask
	// timer calls ripen when the first of delayed becomes due; nil before its first use.
	timer *time.Timer
	// leased counts the tasks that are leased.
	leased int
	// dead counts the tasks that are dead.
	dead int
	// wake is closed when a task becomes ready, for the calls of Fetch that wait; nil if none
	// waits.
	wake chan struct{}
}

// memTask is a task of a Memory that is ready, or delayed.
type memTask struct {
	// task is the task as Enqueue got it, with the time of the last Retry.
	task Task
	// attempts is how many leases of the task there have been.
	attempts int
}

// memLease is a lease of a Memory. The mutex of the backend guards over, and the checkpoint of the
// task; its other fields do not change.
type memLease struct {
	// memTask is the task.
	memTask
	// backend is the Memory that the task is in.
	backend *Memory
	// over says that the lease has ended.
	over bool
}

// NewMemory returns an empty Memory.
func NewMemory() *Memory { return &Memory{queues: map[string]*memQueue{}} }

// queue returns the queue of this name, which it makes if there is none. The caller holds mu.
func (b *Memory) queue(name string) *memQueue {
	q := b.queues[name]
	if q == nil {
		q = &memQueue{}
		b.queues[name] = q
	}
	return q
}

// Enqueue implements Backend. It never waits.
func (b *Memory) Enqueue(_ context.Context, tasks ...Task) ([]Receipt, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return nil, ErrClosed
	}
	receipts := make([]Receipt, len(tasks))
	for i, t := range tasks {
		b.add(&memTask{task: t}, false)
		receipts[i].ID = t.ID
	}
	return receipts, nil
}

// add puts a task into its queue: among the delayed tasks if it is not due yet, otherwise at the
// front or at the end of those that are ready. The caller holds mu.
func (b *Memory) add(t *memTask, front bool) {
	q := b.queue(t.task.Queue)
	switch {
	case !t.task.NotBefore.IsZero() && time.Until(t.task.NotBefore) > 0:
		i, _ := slices.BinarySearchFunc(q.delayed, t, func(x, y *memTask) int {
			return cmp.Or(x.task.NotBefore.Compare(y.task.NotBefore), -1) // behind the tasks of the same time
		})
		q.delayed = slices.Insert(q.delayed, i, t)
		if i == 0 {
			b.arm(q)
		}
		return
	case front:
		q.ready.PushFront(t)
	default:
		q.ready.Push(t)
	}
	q.rouse()
}

// rouse wakes the calls of Fetch that wait for a task of the queue. The caller holds mu.
func (q *memQueue) rouse() {
	if q.wake != nil {
		close(q.wake)
		q.wake = nil
	}
}

// arm sets the timer of a queue for its first delayed task. The caller holds mu.
func (b *Memory) arm(q *memQueue) {
	if len(q.delayed) == 0 {
		return
	}
	wait := time.Until(q.delayed[0].task.NotBefore)
	if q.timer == nil {
		q.timer = time.AfterFunc(wait, func() { b.ripen(q) })
	} else {
		q.timer.Reset(wait)
	}
}

// ripen moves the delayed tasks that have become due to those that are ready. It runs on a
// goroutine of the timer.
func (b *Memory) ripen(q *memQueue) {
	b.mu.Lock()
	defer b.mu.Unlock()
	n := 0
	for now := time.Now(); n < len(q.delayed) && !q.delayed[n].task.NotBefore.After(now) && !b.closed; n++ {
		q.ready.Push(q.delayed[n])
	}
	q.delayed = slices.Delete(q.delayed, 0, n)
	if n > 0 {
		q.rouse()
	}
	if !b.closed {
		b.arm(q)
	}
}

// Fetch implements Backend.
func (b *Memory) Fetch(ctx context.Context, name string, credit int) ([]Lease, error) {
	for {
		b.mu.Lock()
		if b.closed {
			b.mu.Unlock()
			return nil, ErrClosed
		}
		q := b.queue(name)
		var leases []Lease
		for len(leases) < max(1, credit) {
			t := b.take(q)
			if t == nil {
				break
			}
			leases = append(leases, t)
		}
		if len(leases) == 0 && q.wake == nil {
			q.wake = make(chan struct{})
		}
		wake := q.wake
		b.mu.Unlock()
		if len(leases) > 0 {
			return leases, nil
		}
		select {
		case <-wake:
		case <-ctx.Done():
			return nil, cause(ctx)
		}
	}
}

// take leases the first task that is ready, or returns nil if there is none. The caller holds mu.
func (b *Memory) take(q *memQueue) *memLease {
	t, ok := q.ready.Pop()
	if !ok {
		return nil
	}
	t.attempts++
	q.leased++
	return &memLease{memTask: *t, backend: b}
}

// Depth implements Backend.
func (b *Memory) Depth(_ context.Context, name string) (Depth, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	q := b.queues[name]
	if q == nil {
		return Depth{}, nil
	}
	return Depth{Ready: q.ready.Len(), Leased: q.leased, Delayed: len(q.delayed), Dead: q.dead}, nil
}

// Close implements Backend. The tasks are lost.
func (b *Memory) Close(context.Context) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return nil
	}
	b.closed = true
	for _, q := range b.queues {
		if q.timer != nil {
			q.timer.Stop()
		}
		q.rouse()
	}
	return nil
}

// end ends the lease, and returns the queue of its task. It returns an error if the lease has ended
// before. The caller holds mu.
func (l *memLease) end() (*memQueue, error) {
	if l.over {
		return nil, ErrLeaseLost
	}
	l.over = true
	q := l.backend.queue(l.task.Queue)
	q.leased--
	return q, nil
}

// Task implements Lease.
func (l *memLease) Task() Task {
	l.backend.mu.Lock()
	defer l.backend.mu.Unlock()
	return l.task
}

// Attempt implements Lease.
func (l *memLease) Attempt() int { return l.attempts }

// Deadline implements Lease: a lease in main's memory does not end by itself.
func (l *memLease) Deadline() time.Time { return time.Time{} }

// Ack implements Lease.
func (l *memLease) Ack(context.Context) error {
	l.backend.mu.Lock()
	defer l.backend.mu.Unlock()
	_, err := l.end()
	return err
}

// Retry implements Lease.
func (l *memLease) Retry(_ context.Context, after time.Duration, _ string) error {
	l.backend.mu.Lock()
	defer l.backend.mu.Unlock()
	if _, err := l.end(); err != nil {
		return err
	}
	t := l.memTask
	t.task.NotBefore = time.Time{}
	if after > 0 {
		t.task.NotBefore = time.Now().Add(after)
	}
	l.backend.add(&t, true)
	return nil
}

// Return implements Returner.
func (l *memLease) Return(context.Context) error {
	l.backend.mu.Lock()
	defer l.backend.mu.Unlock()
	if _, err := l.end(); err != nil {
		return err
	}
	t := l.memTask
	t.attempts--
	l.backend.add(&t, true)
	return nil
}

// Extend implements Lease.
func (l *memLease) Extend(context.Context) error {
	l.backend.mu.Lock()
	defer l.backend.mu.Unlock()
	if l.over {
		return ErrLeaseLost
	}
	return nil
}

// Checkpoint implements Checkpointer.
func (l *memLease) Checkpoint(_ context.Context, data []byte) error {
	l.backend.mu.Lock()
	defer l.backend.mu.Unlock()
	if l.over {
		return ErrLeaseLost
	}
	l.task.Checkpoint = bytes.Clone(data)
	return nil
}

// Dead implements Lease. It only counts the task: the library itself keeps the list of dead
// letters.
func (l *memLease) Dead(context.Context, string) error {
	l.backend.mu.Lock()
	defer l.backend.mu.Unlock()
	q, err := l.end()
	if err == nil {
		q.dead++
	}
	return err
}

// cause returns why ctx has ended, as an error that matches its cause and what its Err says.
func cause(ctx context.Context) error {
	c, err := context.Cause(ctx), ctx.Err()
	if errors.Is(c, err) {
		return c
	}
	return fmt.Errorf("%w: %w", err, c)
}

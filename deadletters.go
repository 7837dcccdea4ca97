package multiprolab

import (
	"fmt"
	"slices"
	"time"

	"github.com/multiprolab/multiprolab/internal/codec"
)

// DeadTask is a task that has used up its attempts. It is kept in main, the newest Config.DeadLimit of them, until it is retried or dropped.
type DeadTask struct {
	ID    uint64
	Queue string
	Type  string
	Err   *AttemptsError // how each attempt ended
	At    time.Time      // when the last attempt ended

	payload codec.Payload
	meta    taskMeta
	node    *node
}

// Decode decodes the body of the task into the value that v points to; see Message.Decode.
func (t *DeadTask) Decode(v any) error {
	if err := t.node.codec.Decode(t.payload, v); err != nil {
		return &DecodeError{Receiver: MainName, Type: t.Type, Err: err}
	}
	return nil
}

// bury puts a job into the list of dead letters.
func (b *broker) bury(j *job, err *AttemptsError) {
	if len(b.dead) >= b.deadLimit {
		b.dead = slices.Delete(b.dead, 0, 1)
	}
	b.dead = append(b.dead, &DeadTask{ID: j.id, Queue: j.lane.queue, Type: j.lane.typ, Err: err, At: time.Now(),
		payload: j.payload, meta: j.meta, node: b.node})
}

// Dead returns the tasks that have used up their attempts, the oldest first. It works in main only; in a worker it returns nil.
func (q *TaskQueue) Dead() []*DeadTask {
	if q.main == nil {
		return nil
	}
	b := q.main.broker
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.dead)
}

// RetryDead puts the dead tasks with the ids back into their queues, all their attempts before them; without ids all. Nobody waits for
// their outcomes: a task that fails again comes back to the list. It returns the number that it found. It works in main only.
func (q *TaskQueue) RetryDead(ids ...uint64) (int, error) {
	if q.main == nil {
		return 0, errOnlyMain
	}
	b := q.main.broker
	n := 0
	for _, t := range b.takeDead(ids) {
		j := &job{payload: t.payload, meta: t.meta}
		j.meta.Delay = 0
		if err := b.submit(j, t.Type, true); err != nil {
			b.mu.Lock()
			b.dead = append(b.dead, t)
			b.mu.Unlock()
			return n, fmt.Errorf("multiprolab: dead task %q (id %d) stays dead: %w", t.Type, t.ID, err)
		}
		n++
	}
	return n, nil
}

// DropDead removes the dead tasks with the ids; without ids all. It returns the number that it found. It works in main only.
func (q *TaskQueue) DropDead(ids ...uint64) int {
	if q.main == nil {
		return 0
	}
	return len(q.main.broker.takeDead(ids))
}

// takeDead takes tasks out of the list of dead letters.
func (b *broker) takeDead(ids []uint64) (taken []*DeadTask) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.dead = slices.DeleteFunc(b.dead, func(t *DeadTask) bool {
		if len(ids) > 0 && !slices.Contains(ids, t.ID) {
			return false
		}
		taken = append(taken, t)
		return true
	})
	return taken
}

package multiprolab

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/multiprolab/multiprolab/internal/codec"
)

// DeadTask is a task that has used up its attempts. It is kept in main, the newest Config.DeadLimit
// of them, until it is retried or dropped.
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
	b.addDead(&DeadTask{ID: j.id, Queue: j.lane.queue, Type: j.lane.typ, Err: err, At: time.Now(),
		payload: j.payload, meta: j.meta, node: b.node})
}

// addDead adds a task to the list of dead letters.
func (b *broker) addDead(t *DeadTask) {
	if len(b.dead) >= b.deadLimit {
		b.dead = slices.Delete(b.dead, 0, 1)
	}
	b.dead = append(b.dead, t)
}

// Dead returns the tasks that have used up their attempts, the oldest first. It works in main only;
// in a worker it returns nil.
func (q *TaskQueue) Dead() []*DeadTask {
	if q.main == nil {
		return nil
	}
	b := q.main.broker
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.dead)
}

// RetryDead puts the dead tasks with the ids back into their queues, all their attempts before
// them; without ids all. They keep their ids. Nobody waits for their outcomes: a task that fails
// again comes back to the list, and so does one that no worker can be found for. It returns the
// number of tasks that it has put back, and an error for those that it could not, which stay in the
// list. It works in main only.
func (q *TaskQueue) RetryDead(ids ...uint64) (int, error) {
	if q.main == nil {
		return 0, errOnlyMain
	}
	return q.main.broker.retryDead(ids)
}

// retryDead is RetryDead.
func (b *broker) retryDead(ids []uint64) (n int, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	var stays []error
	retry := func(t *DeadTask) bool {
		j := &job{id: t.ID, payload: t.payload, meta: t.meta, dead: t}
		j.meta.Delay = 0
		j.meta.Waits, j.meta.Chain = false, "" // nobody does any more
		if err := b.admission(j, t.Type, true); err != nil {
			stays = append(stays, fmt.Errorf("multiprolab: dead task %q (id %d) stays dead: %w", t.Type, t.ID, err))
			return false
		}
		n++
		return true
	}
	b.dead = slices.DeleteFunc(b.dead, func(t *DeadTask) bool { return named(t, ids) && retry(t) })
	return n, errors.Join(stays...)
}

// named reports whether a task is one of those with the ids, which are all if there are none.
func named(t *DeadTask, ids []uint64) bool { return len(ids) == 0 || slices.Contains(ids, t.ID) }

// DropDead removes the dead tasks with the ids; without ids all. It returns the number that it
// found. It works in main only.
func (q *TaskQueue) DropDead(ids ...uint64) int {
	if q.main == nil {
		return 0
	}
	b := q.main.broker
	b.mu.Lock()
	defer b.mu.Unlock()
	before := len(b.dead)
	b.dead = slices.DeleteFunc(b.dead, func(t *DeadTask) bool { return named(t, ids) })
	return before - len(b.dead)
}

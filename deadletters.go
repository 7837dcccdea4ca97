package multiprolab

import (
	"errors"
	"fmt"
	"time"

	"github.com/multiprolab/multiprolab/internal/codec"
	"github.com/multiprolab/multiprolab/internal/queue"
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
	node    *node
}

// Decode decodes the body of the task into the value that v points to; see Message.Decode.
func (t *DeadTask) Decode(v any) error {
	if err := t.node.codec.Decode(t.payload, v); err != nil {
		return &DecodeError{Receiver: MainName, Type: t.Type, Err: err}
	}
	return nil
}

// addDead makes a dead letter of a job that has no attempt left.
func (b *broker) addDead(j *job) {
	to := j.Lane()
	j.past.dead = &DeadTask{ID: uint64(j.ID()), Queue: to.Queue, Type: to.Type, Err: j.past.all, At: time.Now(),
		payload: j.payload, node: b.node}
	j.past.all = nil
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
	var dead []*DeadTask
	for _, t := range b.rules.Dead() {
		dead = append(dead, jobOf(t).past.dead)
	}
	return dead
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
	n, stays := q.main.broker.retryDead(ids)
	return n, errors.Join(stays...)
}

// retryDead puts dead letters back into their queues; see TaskQueue.RetryDead.
func (b *broker) retryDead(ids []uint64) (n int, stays []error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	n = b.rules.RetryDead(queueIDs(ids), func(t *queue.Task, why queue.Refusal) {
		err := b.refusalError(why, t.Lane(), t.Size)
		stays = append(stays, fmt.Errorf("multiprolab: dead %s stays dead: %w", taskText(t), err))
	})
	return n, stays
}

// DropDead removes the dead tasks with the ids; without ids all. It returns the number that it
// found. It works in main only.
func (q *TaskQueue) DropDead(ids ...uint64) int {
	if q.main == nil {
		return 0
	}
	b := q.main.broker
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.rules.DropDead(queueIDs(ids))
}

// queueIDs are ids of tasks as the rules have them.
func queueIDs(ids []uint64) []queue.ID {
	all := make([]queue.ID, len(ids))
	for i, id := range ids {
		all[i] = queue.ID(id)
	}
	return all
}

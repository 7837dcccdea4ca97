package multiprolab

import (
	"fmt"
	"time"

	"github.com/multiprolab/multiprolab/internal/queue"
)

// This file is the list of dead letters, as the broker in main keeps it.

// addDead makes a dead letter of a job that has no attempt left. The caller holds the mutex.
func (b *broker) addDead(j *job) {
	to := j.Lane()
	j.past.dead = &DeadTask{ID: uint64(j.ID()), Queue: to.Queue, Type: to.Type, Err: j.past.all, At: time.Now(),
		payload: j.payload, checkpoint: j.past.checkpoint, node: b.node}
	j.past.all = nil
}

// deadTasks returns the dead letters; see TaskQueue.Dead.
func (b *broker) deadTasks() []*DeadTask {
	b.mu.Lock()
	defer b.mu.Unlock()
	var dead []*DeadTask
	for _, t := range b.rules.Dead() {
		dead = append(dead, jobOf(t).past.dead)
	}
	return dead
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

// dropDead removes dead letters; see TaskQueue.DropDead.
func (b *broker) dropDead(ids []uint64) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.rules.DropDead(queueIDs(ids))
}

// queueIDs returns numbers of tasks in the form in which the rules have them.
func queueIDs(ids []uint64) []queue.ID {
	all := make([]queue.ID, len(ids))
	for i, id := range ids {
		all[i] = queue.ID(id)
	}
	return all
}

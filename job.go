package multiprolab

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/multiprolab/multiprolab/internal/codec"
	"github.com/multiprolab/multiprolab/internal/wire"
)

// defaultGrace is the default of TaskOptions.Grace.
const defaultGrace = time.Second

// dumpTimeout is how long a worker that is about to be killed has to say where its goroutines are.
const dumpTimeout = 80 * time.Millisecond

type jobState int

const (
	blocked  jobState = iota // waits for room in the queue
	queued                   // waits for a worker, or for its time
	parked                   // waits for another task with its key
	assigned                 // sent to a worker
	running                  // the worker has said that it began
	ended
)

// job is a task as main sees it: from its submission to its one outcome. The broker's mutex guards it. This file is what becomes of one job; broker.go
// is who works on which.
type job struct {
	id          uint64 // in order of submission
	lane        *lane
	payload     codec.Payload
	batch       int // the number of items, or 0 if it is no batch
	meta        taskMeta
	submitter   *peer // nil for main
	submitterID uint64
	cost        int64         // what it holds of its submitter's credit while it is blocked
	admitted    chan struct{} // closed, and forgotten, when the queue has it or it has ended; only for a submitter in main
	state       jobState
	lease       Lease  // while it is parked, assigned or running, or returned to its lane
	storedAs    string // its id in a Backend of the user
	kept        bool   // it has ended only because the program did: the Backend keeps it for the next run
	holder      *taskWorker
	recalled    bool    // the holder was asked to give it back
	attempts    int     // that have begun and count
	failures    []error // how those that failed ended
	condemned   error   // the end of this attempt that is certain, while its handler still runs
	timer       *time.Timer
	began       time.Time
}

// size is the number of tasks that the job counts for.
func (j *job) size() int { return max(1, j.batch) }

func (j *job) String() string { return fmt.Sprintf("task %q (id %d)", j.lane.typ, j.id) }

// waitsFor reports whether the worker's own loop waits for the outcome of the job, so that it must not get it.
func (j *job) waitsFor(w *taskWorker) bool {
	return j.meta.Waits && inChain(j.meta.Chain, w.peer.slot.name)
}

// start notes that the holder has begun; the time of the attempt runs from now on.
func (b *broker) start(j *job, p *peer) {
	j.state, j.began = running, time.Now()
	j.attempts++
	if j.condemned != nil {
		b.allowGrace(j) // its cancellation came too late to keep it from starting
	} else if j.meta.Timeout > 0 {
		j.timer = time.AfterFunc(j.meta.Timeout, func() { b.expire(j, p) })
	}
}

// expire ends the time of a running job: its context is cancelled, and after the grace its worker killed.
func (b *broker) expire(j *job, p *peer) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if j.state != running || j.holder != p.tasks {
		return
	}
	b.condemn(j, &TimeoutError{Worker: p.slot.name, PID: p.pid(), Type: j.lane.typ, Timeout: j.meta.Timeout}, wire.FlagSoft)
}

// condemn cancels a job on its worker; the end of the attempt is certain now.
func (b *broker) condemn(j *job, end error, flags wire.Flags) {
	if errors.Is(end, ErrCancelled) && j.condemned != nil {
		j.condemned = end // cancelled while its time was up: it is not to be retried
	}
	if j.condemned != nil {
		return
	}
	p := j.holder.peer
	j.condemned = end
	j.holder.suspect++
	_ = p.link.post(&wire.Frame{Kind: wire.Cancel, Type: "task", ID: j.id, Flags: flags})
	j.stopTimer()
	if j.state == running { // else the worker drops it, whatever else it does
		b.allowGrace(j)
	}
}

// allowGrace gives a condemned job, which runs, the time to end by itself. Shortly before that is over the worker is asked for its stacks, so that
// the error can say where it was.
func (b *broker) allowGrace(j *job) {
	p := j.holder.peer
	grace := j.meta.Grace
	if grace == 0 {
		grace = defaultGrace
	}
	for _, other := range slices.SortedFunc(maps.Values(j.holder.held), func(x, y *job) int { return cmp.Compare(x.id, y.id) }) {
		if other.state == assigned && !other.recalled { // it must not be hit if the holder is killed
			b.recall(other)
		}
	}
	lead := min(dumpTimeout, grace/2)
	j.timer = time.AfterFunc(grace-lead, func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		if !b.stuck(j, p) {
			return
		}
		p.askStacks()
		j.timer = time.AfterFunc(lead, func() {
			b.mu.Lock()
			stuck, end := b.stuck(j, p), j.condemned
			if stuck {
				j.holder.doomed = true
			}
			b.mu.Unlock()
			if stuck {
				p.killWithStacks(fmt.Sprintf("%v did not return within the grace of %v: %s", j, grace, brief(end)))
			}
		})
	})
}

// stuck reports whether a condemned job still runs where it ran.
func (b *broker) stuck(j *job, p *peer) bool {
	return j.state == running && j.holder == p.tasks && j.condemned != nil
}

func (j *job) stopTimer() {
	if j.timer != nil {
		j.timer.Stop()
		j.timer = nil
	}
}

// release takes a job from its holder.
func (b *broker) release(j *job) *taskWorker {
	j.stopTimer()
	w := j.holder
	if w == nil {
		return nil
	}
	delete(w.held, j.id)
	w.peer.holds.Add(-1)
	if j.condemned != nil {
		w.suspect--
	}
	j.holder, j.recalled = nil, false
	return w
}

// conclude ends an attempt of a job: with a result, with another attempt to come, or with its last failure.
func (b *broker) conclude(j *job, r *reply) {
	w := b.release(j)
	steering := (*RemoteError)(nil)
	switch condemned := j.condemned; {
	case errors.Is(condemned, ErrCancelled):
		b.finish(j, &reply{err: condemned})
	case r.err == nil && condemned == nil:
		b.finish(j, r)
	case b.halted:
		b.finish(j, r)
	case condemned == nil && errors.As(r.err, &steering) && steering.after > 0:
		j.attempts--
		b.again(j, steering.after, r.err)
	case j.meta.Retry.retries(r.err) && j.meta.Attempts > j.attempts:
		j.failures = append(j.failures, r.err)
		b.again(j, j.meta.Retry.pause(j.attempts), r.err)
	case j.meta.Attempts > 1 && j.meta.Retry.retries(r.err):
		all := &AttemptsError{Type: j.lane.typ, Attempts: append(j.failures, r.err)}
		b.bury(j, all)
		if j.lease != nil {
			_ = j.lease.Dead(context.Background(), brief(all))
			j.lease = nil
		}
		b.finish(j, &reply{err: all})
	default:
		b.finish(j, r)
	}
	b.freeKey(j)
	if w != nil {
		b.feed(w)
		b.answerFetches(w)
		if b.store != nil {
			b.store.demand()
		}
	}
}

// again puts a job back into its queue, to be due after a time.
func (b *broker) again(j *job, after time.Duration, cause error) {
	j.state, j.condemned = queued, nil
	b.waiting++
	lease := j.lease
	j.lease = nil
	if b.store != nil {
		b.store.expect(j)
	}
	if err := lease.Retry(context.Background(), after, brief(cause)); err != nil {
		b.waiting--
		b.finish(j, &reply{err: fmt.Errorf("multiprolab: %v could not be put back into its queue: %w", j, err)})
	}
}

// finish gives a job its outcome. It is the only place that does.
func (b *broker) finish(j *job, r *reply) {
	if j.state == ended {
		return
	}
	b.tallyUp(j, r)
	switch j.state {
	case queued, parked:
		b.waiting--
	case blocked:
		if j.submitter != nil {
			j.submitter.grant(j.cost, 1)
		}
	}
	j.state = ended
	j.kept = errors.Is(r.err, ErrStopped)
	j.stopTimer()
	if j.admitted != nil {
		close(j.admitted)
		j.admitted = nil
	}
	switch {
	case j.lease == nil:
		if b.store != nil {
			b.store.drop(j, errors.Is(r.err, ErrStopped))
		}
	case errors.Is(r.err, ErrStopped):
		_ = j.lease.Retry(context.Background(), 0, "the program ended") // where the Backend is durable, the next run has it
	default:
		_ = j.lease.Ack(context.Background()) // a lease that was lost means that others may have worked on it too
	}
	j.lease = nil
	delete(b.jobs, j.id)
	delete(b.submitted, submissionKey{j.submitter, j.submitterID})
	switch {
	case j.submitterID == 0: // a dead letter that was retried: nobody waits
	case j.submitter == nil:
		b.node.resolve(j.submitterID, r)
	default:
		_ = j.submitter.link.post(replyFrame(wire.Result, j.submitterID, r)) // if it is gone, nobody waits
	}
	b.unblock()
	if len(b.jobs) == 0 {
		for _, done := range b.joiners {
			close(done)
		}
		b.joiners = nil
	}
}

// tallyUp counts the outcome of a job. Items of a batch that have none count as not received: Map submits them again.
func (b *broker) tallyUp(j *job, r *reply) {
	left := j.size()
	if j.batch > 0 {
		succeeded, failed := tally(r.payload.Data)
		b.stats.Succeeded += uint64(succeeded)
		b.stats.Failed += uint64(failed)
		left = max(0, left-succeeded-failed)
	}
	switch {
	case errors.Is(r.err, ErrCancelled), errors.Is(r.err, ErrStopped):
		b.stats.Cancelled += uint64(left)
	case r.died:
		left = max(1, left)
		b.stats.Failed++
		b.stats.Received -= uint64(left - 1)
	case r.err != nil:
		b.stats.Failed += uint64(left)
	case j.batch > 0:
		b.stats.Received -= uint64(left)
	default:
		b.stats.Succeeded++
	}
}

// takeKey lets a job run if no other with its key does, and else parks it.
func (b *broker) takeKey(j *job) bool {
	if j.meta.Key == "" {
		return true
	}
	k := b.keys[j.meta.Key]
	if k == nil {
		b.keys[j.meta.Key] = &keyState{owner: j}
		return true
	}
	if k.owner == nil || k.owner == j {
		k.owner = j
		return true
	}
	j.state = parked
	k.parked.push(j)
	return false
}

// freeKey lets the next job with the key of j run, unless j still holds it.
func (b *broker) freeKey(j *job) {
	k := b.keys[j.meta.Key]
	if k == nil || k.owner != j || j.state == assigned || j.state == running {
		return
	}
	k.owner = nil
	for next, ok := k.parked.pop(); ok; next, ok = k.parked.pop() {
		if next.state == parked {
			k.owner = next
			next.state = queued
			next.lane.returned.pushFront(next)
			b.place(next.lane)
			return
		}
	}
	delete(b.keys, j.meta.Key)
}

// keyState is the tasks of one key, of which one runs at a time.
type keyState struct {
	owner  *job // that runs, or is the next to
	parked queue[*job]
}

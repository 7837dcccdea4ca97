package multiprolab

import (
	"cmp"
	"errors"
	"fmt"
	"math"

	"github.com/multiprolab/multiprolab/internal/batch"
	"github.com/multiprolab/multiprolab/internal/queue"
	"github.com/multiprolab/multiprolab/internal/store"
)

// This file is the way from errors to what the rules of tasks decide by, and back, in main. All
// texts about tasks are here; the rules have none.

// verdictOf says for the rules what the outcome of an attempt is that a worker gives. If many is
// set, it is the result of a batch.
func verdictOf(r *reply, many bool) queue.Verdict {
	v := queue.Verdict{Late: r.late, Cause: r, Took: r.ran}
	if many && r.took < batch.MaxTook { // else it is of one item, and is no measure; see Task.endFirst
		v.Took = r.took
	}
	var remote *RemoteError
	switch {
	case r.err == nil && many:
		v.Batch = true
		if o, wellFormed := batch.Whole(r.payload.Data); wellFormed {
			v.Items = tallyOf(&o)
		}
	case r.err == nil:
	case errors.Is(r.err, ErrCancelled):
		v.Kind = queue.Cancelled
	case errors.As(r.err, &remote):
		v.Kind, v.Final, v.After = queue.Failed, remote.final, remote.after
	default: // a body that cannot be decoded, or a type without a handler, stays so
		v.Kind, v.Final = queue.Failed, true
	}
	return v
}

// tallyOf counts the outcomes of a batch for the rules.
func tallyOf(o *batch.Outcomes) queue.Tally {
	few := func(n int) int32 { return int32(min(n, math.MaxInt32)) }
	return queue.Tally{OK: few(o.OK), Failed: few(o.Failed), Later: few(o.Later)}
}

// death is the end of a worker that had tasks. It exists in main, and does not change once the
// rules have it.
type death struct {
	// peer is the life of the worker.
	peer *peer
	// how is the error that the life has ended with; nil if the worker said goodbye.
	how error
	// outcomes are the outcomes of the batch that the worker worked on, as the body of a result.
	outcomes []byte
}

// outcome returns the outcome of a job, or of one attempt at it, as its submitter gets it.
func (b *broker) outcome(j *job, e *queue.Effect) *reply {
	switch cause := e.Verdict.Cause.(type) {
	case *reply:
		return cause
	case *death:
		r := &reply{err: b.errorOf(j, e)}
		if e.Verdict.Kept {
			r.payload.Data, r.vouch, r.died = cause.outcomes, cause.peer.vouchError, true
		}
		return r
	}
	return &reply{err: b.errorOf(j, e)}
}

// errorOf returns the error that an attempt at a job, or the job itself, has ended with.
func (b *broker) errorOf(j *job, e *queue.Effect) error {
	v, to := &e.Verdict, j.Lane()
	switch cause := v.Cause.(type) {
	case *reply:
		return cause.err
	case *store.Failure:
		return fmt.Errorf("multiprolab: %v %s: %w", j, cause.What, cause.Err)
	}
	cause, _ := v.Cause.(error)
	switch v.Kind {
	case queue.Cancelled:
		return ErrCancelled
	case queue.Stopped:
		return b.stopped
	case queue.Died:
		return v.Cause.(*death).of(j)
	case queue.TimedOut:
		return b.timedOut(j, e)
	case queue.NoWorker:
		return &NoWorkerError{Type: to.Type, Err: cause}
	case queue.Unknown:
		return &UnknownTypeError{Verb: "task", Type: to.Type, Queue: to.Queue, Known: b.rules.Known(to.Queue)}
	case queue.Cycle:
		if j.past != nil && j.past.refusal != nil {
			return j.past.refusal
		}
		return b.callCycle(to.Type, b.rules.Waiting(&j.Task))
	}
	return cause
}

// of returns the error of a job that the worker had begun with when it ended. Each job has an error
// of its own.
func (d *death) of(j *job) error {
	p := d.peer
	what := fmt.Sprintf("task %q (attempt %d of %d)", j.Lane().Type, j.Attempt()-1, j.allowed())
	var died *WorkerDiedError
	if errors.As(d.how, &died) { // it may be wrapped in an error that says more
		return during(d.how, what)
	}
	return &WorkerDiedError{Worker: p.slot().name, PID: p.pid(), Life: p.life(), During: what,
		Reason: "it ended without an outcome for the task: end each task from TaskQueue.Get with Done or Fail"}
}

// timedOut returns the error of an attempt that has run past its time.
func (b *broker) timedOut(j *job, e *queue.Effect) error {
	end, _ := e.Verdict.Cause.(*death)
	err := &TimeoutError{Type: j.Lane().Type, Timeout: j.timeout()}
	if p := b.staff.peers[e.Worker]; p != nil {
		err.Worker, err.PID = p.slot().name, p.pid()
	}
	var died *WorkerDiedError
	if end != nil && errors.As(end.how, &died) {
		err.Killed, err.Stderr, err.Stopped = true, cmp.Or(end.peer.dumped(), died.Stderr), died.Stopped
	}
	return err
}

// refusalError says why the queue has not taken a task, whose body has so many bytes. The caller
// holds the mutex.
func (b *broker) refusalError(r queue.Refusal, to queue.Lane, bytes int) error {
	switch r.Kind {
	case queue.RefusedStop:
		return b.stopped
	case queue.RefusedBytes:
		return &sentinelError{fmt.Sprintf("multiprolab: task %q of %d bytes was not taken: the queue holds %d bytes "+
			"already (Config.QueueBytes)", to.Type, bytes, r.Bytes), ErrQueueFull}
	case queue.RefusedFull:
		return &sentinelError{fmt.Sprintf("multiprolab: task %q was not taken: the queue holds %d tasks already "+
			"(Config.QueueLimit)", to.Type, r.Tasks), ErrQueueFull}
	case queue.RefusedLost:
		cause, _ := r.Cause.(error)
		return &NoWorkerError{Type: to.Type, Err: cause}
	case queue.RefusedCircle:
		return b.callCycle(to.Type, r.Waiting)
	}
	return &UnknownTypeError{Verb: "task", Type: to.Type, Queue: to.Queue, Known: b.rules.Known(to.Queue)}
}

// callCycle returns the error of a task that is taken only by workers that wait for it.
func (b *broker) callCycle(typ string, waiting []queue.Worker) error {
	text := fmt.Sprintf("multiprolab: task %q would wait for itself: every worker that takes it waits for its "+
		"outcome (%s): have more workers, or submit it without waiting", typ, b.staff.names(waiting))
	return &sentinelError{text, ErrCallCycle}
}

// accuse returns the error of a lie, or nil if the worker was honest. did is what the worker says
// that it did.
func accuse(l queue.Lie, did string) error {
	task, items := "", int32(0)
	if l.Task != nil {
		task, items = taskText(l.Task), l.Task.Items
	}
	switch l.Kind {
	case queue.Honest:
		return nil
	case queue.NotReady:
		return lie("it %s a task before it was ready", did)
	case queue.TooManyTypes:
		return lie("it takes %d types of tasks, and %d are allowed", l.N, queue.MaxTypes)
	case queue.TwiceAType:
		return lie("it takes a type of tasks twice")
	case queue.NotHeld:
		return lie("it %s a task (id %d) that it does not have", did, l.N)
	case queue.BegunTwice:
		return lie("it started %s twice", task)
	case queue.NotBegun:
		return lie("it ended %s, which it had not begun", task)
	case queue.SavedEarly:
		return lie("it %s %s, which it had not begun", did, task)
	case queue.NotABatch:
		return lie("%s is a batch, or it is none, and its result is not", task)
	case queue.NoOutcomes:
		return lie("the result of %s, which is %d tasks, is garbled or has no outcome", task, items)
	case queue.TooMany:
		return lie("the result of %s, which is %d tasks, has %d outcomes", task, items, l.N)
	case queue.ReturnedBegun:
		return lie("it gave back %s, which it had begun", task)
	case queue.NotRecalled:
		return lie("it %s %s, which it was not asked for", did, task)
	case queue.SplitTwice:
		return lie("it split %s twice", task)
	case queue.SplitBeyond:
		return lie("it split %s, which is %d tasks, behind number %d", task, items, l.N)
	case queue.AskedTwice:
		return lie("it asked twice for a task under the number %d", l.N)
	case queue.AskedTooOften:
		return lie("it asked for more than %d tasks at a time", maxFetches)
	case queue.NotDeclared:
		return lie("it asked for a task of type %.50q, which it has not declared in PullTasks", l.Type)
	}
	return lie("it submitted a task under the number %d, which it has used, or which is none", l.N)
}

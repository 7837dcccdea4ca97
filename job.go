package multiprolab

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/multiprolab/multiprolab/internal/codec"
	"github.com/multiprolab/multiprolab/internal/link"
	"github.com/multiprolab/multiprolab/internal/wire"
)

// defaultGrace is the default of TaskOptions.Grace.
const defaultGrace = time.Second

// dumpTimeout is how long a worker that is about to be killed has to say where its goroutines are.
const dumpTimeout = 80 * time.Millisecond

// The states of a job, and what each event does in each of them. TestJobTable and TestStoreTable
// try every cell. What is not named leaves the job as it is. "Ends" means with its one outcome,
// after which nothing of the job remains in the broker.
//
//	blocked    waits for room in the queue
//	delayed    waits for its time; with a Backend of the user's it does so there
//	stored     is in a Backend of the user's, and due
//	queued     is in its lane, and waits for a worker; with a Backend, it is leased from here on
//	parked     has come to the front of its lane while another job had its key
//	assigned   was sent to a worker, its holder; it may be recalled, or condemned, or both
//	running    the holder has said Start; any may be condemned, a batch recalled, and then cut
//	ended      has its outcome; a Backend may keep it for the next run
//
// What a submitter does:
//
//	Submit     makes it blocked if the queue is full, else as "admitted". It is refused, and there
//	           is no job, if the program ends, if no worker takes it nor may turn out to, if all
//	           who do wait for it, or if the queue is full and the submitter does not wait. A
//	           number that a worker uses already is a lie.
//	admitted   blocked: delayed if it has a delay, else queued; with a Backend delayed or stored,
//	           and the submitter is told when it is there. An error of Enqueue ends the job.
//	Cancel     blocked to parked: ends. assigned, running: condemned; if it was condemned by its
//	           timeout, it is not retried. ended: came late, and is dropped.
//	dies       nothing: the job goes on, and nobody waits for it any more.
//
// What comes by time:
//
//	due        delayed: queued; with a Backend when it has been fetched.
//	timeout    running: condemned, and its context ends.
//	grace      running, condemned: the holder is asked for its stacks, and then killed.
//	lookout    running, a batch of some time: recalled, if another worker has nothing to do.
//
// What the holder does:
//
//	Start      assigned: running; if it is condemned, its grace begins. Else a lie.
//	Result     running: ends. After an error with attempts left: delayed, or queued if there is no
//	           pause; after the last of several it is a dead letter as well. With RetryAfter:
//	           delayed, and the attempt does not count. What has condemned a job is how its
//	           attempt ends, whatever comes. Behind its timeout by the holder's clock: that is
//	           how it ends. assigned: ErrCancelled ends it if it is condemned.
//	           All else is a lie (and the job has begun, whatever the holder says); so are more
//	           outcomes than a batch has items, and none at all. One that comes when the holder is
//	           being killed for the job is dropped: the death is how the attempt ends.
//	Returned   assigned, recalled: queued, before those that have not been out; if it is
//	           condemned it ends. Else a lie.
//	Split      running, recalled, a batch: cut, and smaller by what has not begun. A second one,
//	           one that is out of range, and all else is a lie.
//	Progress   running: goes to the submitter. Else it is of an attempt that is over, and dropped.
//	dies,      assigned: queued, before those that have not been out; if it is condemned it ends.
//	leaves     running: as a Result with the death; what a batch had finished stands.
//	retires    assigned: recalled. The holder gets nothing new, and ends with its last job.
//	lies       the holder is ended, and so it dies. To speak of a job that it does not have is a
//	           lie, for nothing but its own word takes a job from it. Only Cancel, FetchCancel and
//	           Progress may come late from an honest worker.
//
// What others do:
//
//	room       blocked: admitted, in order.
//	a worker   queued: assigned, if it is the next that the worker may have: of its queues and
//	gets room  types, not paused, not waited for by itself; of the highest priority the oldest. If
//	           its key is taken: parked, and the next is looked at. If there is none for a worker
//	           with nothing to do, what others were given ahead, or a batch, is recalled for it.
//	key freed  parked: queued, the first of each lane.
//	Pause      assigned, of the queue: recalled. Resume lets the queue's workers look for jobs.
//	types      blocked to parked: ends, if no worker is left that takes it or may turn out to: with
//	learnt, or *UnknownTypeError, with *NoWorkerError if one that took it has gone, with
//	all gone   ErrCallCycle if those that take it wait for it. A Backend keeps what nobody in this
//	           run has submitted.
//	Cancel-    blocked to parked, of the queue: ends.
//	 Pending
//	stop       without drain, blocked to parked: ends with ErrStopped, and a Backend that has it
//	           keeps it.
//	           assigned: the same when it comes back. running: the attempt is the last; a Backend
//	           keeps the job if it would have had another. With drain no new task is taken.
//	end        ends with ErrStopped, whatever it is; a Backend that has it keeps it.
//
// What a Backend does:
//
//	fetched    delayed, stored: queued. ended: the Backend is told. Any other: its lease was lost,
//	           and this is the new one. A job of an earlier run: queued if a worker takes it,
//	           without those who waited for it then; else it is given back.
//	lease      nothing: the job goes on, and may run elsewhere as well. It is logged.
//	lost
//	error      of Retry: delayed, stored: ends with the error. Of the others: the job has ended.
//	           All are logged.
type jobState uint8

const (
	fresh    jobState = iota // not in the queue's books yet
	blocked                  // waits for room in the queue
	delayed                  // waits for its time; with a Backend of the user's, it does so there
	stored                   // is in a Backend of the user's, and due
	queued                   // is in its lane, and waits for a worker; with a Backend it is leased from here on
	parked                   // waits for another job with its key
	assigned                 // was sent to a worker
	running                  // the worker has said that it began
	ended                    // has its outcome
)

// waits reports whether a job in this state counts for Config.QueueLimit.
func (s jobState) waits() bool { return s == stored || s == queued || s == parked }

// weighs reports whether a job in this state counts for Config.QueueBytes.
func (s jobState) weighs() bool { return s == delayed || s.waits() }

// job is a task as main sees it: from its submission to its one outcome. The broker's mutex guards
// it. This file is what becomes of one job; broker.go is who works on which.
type job struct {
	id          uint64 // in order of submission
	lane        *lane
	payload     codec.Payload
	batch       int // the number of items, or 0 if it is no batch
	meta        taskMeta
	limit       *timeLimit    // of who waits for the outcome; or nil
	submitter   *client       // nil for main
	submitterID uint64        // the submitter's number for it; 0: nobody waits for the outcome
	spell       uint64        // the submitter's number for the time that its loop waits for it, see Submission
	cost        int64         // what it holds of its submitter's credit while it is blocked
	admitted    chan struct{} // of a submitter in main: closed, and forgotten, when the queue has it or it has ended
	state       jobState      // changed by broker.move alone

	in         *jobList // the one list that it waits in, or nil; changed by the list alone
	prev, next *job     // its neighbours there
	front      bool     // it has been given back: in its lane it stands before those that have not been out

	lease    *storedLease // of a Backend, while the job is queued, parked, assigned or running; nil without a Backend
	storedAs string       // its id in a Backend
	kept     bool         // it has ended only because the program did: the Backend keeps it for the next run

	holder    *taskWorker // while it is assigned or running
	sat       uint8       // how often it was recalled because its holder had not begun with it for some time
	recalled  bool        // the holder was asked to give it back, or of a batch that runs the items that have not begun
	cut       bool        // the holder has answered that with Split
	attempts  int         // that have begun and count
	failures  []error     // how those that failed ended
	condemned error       // the end of this attempt that is certain, while its holder still has it
	began     moment      // when it began to run
	dead      *DeadTask   // that it was, and becomes again if it does not succeed; or nil
	alarm     alarm       // what it waits for in time: while it is delayed, assigned, or runs
}

// size is the number of tasks that the job counts for.
func (j *job) size() int { return max(1, j.batch) }

// jobCost is what a job counts for beyond its body, in bytes.
const jobCost = 1 << 10

// bytes is what the job counts for in Config.QueueBytes.
func (j *job) bytes() int { return jobCost + len(j.payload.Data) }

func (j *job) String() string { return fmt.Sprintf("task %q (id %d)", j.lane.typ, j.id) }

// foreign reports whether nobody in this run of the program waits for the job: it was found in the
// Backend.
func (j *job) foreign() bool { return j.submitterID == 0 && j.storedAs != "" && j.dead == nil }

// move brings a job into another state. It is the only place that does, and keeps the counts.
func (b *broker) move(j *job, to jobState) {
	n := uint64(j.size())
	switch j.state {
	case fresh, ended:
	case running:
		b.stats.Running -= n
	default:
		b.stats.Queued -= n
	}
	switch to {
	case fresh, ended:
	case running:
		b.stats.Running += n
	default:
		b.stats.Queued += n
	}
	if j.state.waits() {
		b.waiting--
	}
	if to.waits() {
		b.waiting++
	}
	if j.state.weighs() {
		b.bytes -= j.bytes()
	}
	if to.weighs() {
		b.bytes += j.bytes()
	}
	b.inState[j.state]--
	b.inState[to]++
	j.state = to
}

// lineUp puts a job into its lane: behind all others or, if it is to go before those that have not
// been out yet, among the first, of which the oldest goes first, in whatever order they come.
func (b *broker) lineUp(j *job, front bool) {
	l := j.lane
	j.front = front
	b.move(j, queued)
	var before *job
	if front {
		for before = l.jobs.first; before != nil && before.front && before.id < j.id; {
			before = before.next
		}
	}
	l.jobs.insert(j, before)
	if l.jobs.first == j { // else those before it wait for the same workers
		l.changed()
		b.stir(l)
	}
}

// leaveLine takes a job out of the list that it waits in.
func (b *broker) leaveLine(j *job) {
	if j.in == nil {
		return
	}
	first := j.lane.jobs.first == j
	j.in.remove(j)
	if first {
		j.lane.changed()
	}
}

// start notes that the holder has begun; the time of the attempt runs from now on.
func (b *broker) start(j *job) {
	now := b.clock.now()
	b.move(j, running)
	j.holder.away, j.sat = false, 0
	j.began = now
	j.attempts++
	if j.batch > 1 {
		b.batches = append(b.batches, j)
	}
	if j.condemned != nil {
		b.allowGrace(j, now) // its cancellation came too late to keep it from starting
	} else if b.agenda.drop(&j.alarm); j.meta.Timeout > 0 {
		b.agenda.set(&j.alarm, timesOut, later(now, j.meta.Timeout))
	}
}

// timeOut ends the time of a running job: its context is cancelled, and after the grace its worker
// killed.
func (b *broker) timeOut(j *job, now moment) {
	b.condemn(j, j.timedOut(), wire.FlagSoft, now)
}

// timedOut is the end of an attempt that has run past its time.
func (j *job) timedOut() error {
	p := j.holder.peer
	return &TimeoutError{Worker: p.slot.name, PID: p.pid(), Type: j.lane.typ, Timeout: j.meta.Timeout}
}

// condemn cancels a job on its worker; the end of the attempt is certain now.
func (b *broker) condemn(j *job, end error, flags wire.Flags, now moment) {
	if j.condemned != nil {
		if errors.Is(end, ErrCancelled) { // while its time was up: it is not to be retried
			j.condemned = end
		}
		return
	}
	j.condemned = end
	j.holder.suspect++
	j.holder.peer.link.Tell(link.Soon, &wire.Frame{Kind: wire.Cancel, Type: "task", ID: j.id, Flags: flags})
	b.agenda.drop(&j.alarm)
	if j.state == running { // else the worker drops it, whatever else it does
		b.allowGrace(j, now)
	}
}

// allowGrace gives a condemned job, which runs, the time to end by itself. Shortly before that is
// over the worker is asked for its stacks, so that the error can say where it was.
func (b *broker) allowGrace(j *job, now moment) {
	for _, other := range slices.SortedFunc(maps.Values(j.holder.held), byAge) {
		if other.state == assigned && !other.recalled { // it must not be hit if the holder is killed
			b.recall(other)
		}
	}
	b.agenda.set(&j.alarm, dumps, later(now, j.grace()-j.lead()))
}

// grace is the time that a condemned attempt has to end by itself.
func (j *job) grace() time.Duration { return cmp.Or(j.meta.Grace, defaultGrace) }

// lead is the end of the grace, in which the worker can say where it is.
func (j *job) lead() time.Duration { return min(dumpTimeout, j.grace()/2) }

// askForStacks asks the holder of a condemned job, which still runs, where it is.
func (b *broker) askForStacks(j *job, now moment) (kill func()) {
	j.holder.peer.askStacks()
	b.agenda.set(&j.alarm, kills, later(now, j.lead()))
	return nil
}

// graceOver returns what kills the holder of a condemned job, which still runs.
func (b *broker) graceOver(j *job) (kill func()) {
	p := j.holder.peer
	j.holder.doomed = true
	why := fmt.Sprintf("%v did not return within the grace of %v: %s", j, j.grace(), brief(j.condemned))
	return func() { p.killWithTask(why) }
}

// byAge orders jobs by their submission.
func byAge(x, y *job) int { return cmp.Compare(x.id, y.id) }

// release takes a job from its holder, if it has one, and lets others with its key go on.
func (b *broker) release(j *job) {
	w := j.holder
	if w == nil {
		return
	}
	b.agenda.drop(&j.alarm)
	if j.state == running && j.batch > 0 {
		b.batches = slices.DeleteFunc(b.batches, func(o *job) bool { return o == j })
	}
	delete(w.held, j.id)
	w.peer.holds.Add(-1)
	if j.condemned != nil {
		w.suspect--
	}
	j.holder, j.recalled, j.cut = nil, false, false
	b.wake(w)
	b.freeKey(j)
}

// conclude ends an attempt of a job: with a result, with another attempt to come, or with its last
// failure.
func (b *broker) conclude(j *job, r *reply) {
	b.release(j)
	steering := (*RemoteError)(nil)
	retries := r.err != nil && j.meta.Retry.retries(r.err)
	switch condemned := j.condemned; {
	case errors.Is(condemned, ErrCancelled):
		b.finish(j, &reply{err: condemned})
	case r.err == nil && condemned == nil:
		b.finish(j, r)
	case condemned == nil && errors.As(r.err, &steering) && steering.after > 0 && b.halted:
		b.finishAs(j, r, keep)
	case condemned == nil && errors.As(r.err, &steering) && steering.after > 0:
		j.attempts--
		b.again(j, steering.after, r.err)
	case retries && j.meta.Attempts > j.attempts && b.halted:
		b.finishAs(j, r, keep) // a later run has the attempts that are left, where the Backend is durable
	case retries && j.meta.Attempts > j.attempts:
		j.failures = append(j.failures, r.err)
		b.again(j, j.meta.Retry.pause(j.attempts), r.err)
	case (retries || j.dead != nil) && j.meta.Attempts > 1:
		all := &AttemptsError{Type: j.lane.typ, Attempts: append(j.failures, r.err)}
		b.bury(j, all)
		b.finishAs(j, &reply{err: all}, giveUp)
	default:
		b.finish(j, r)
	}
}

// again puts a job back into its queue, to be due after a time.
func (b *broker) again(j *job, after time.Duration, cause error) {
	j.condemned = nil
	switch {
	case j.lease != nil:
		to := stored
		if after > 0 {
			to = delayed
		}
		b.move(j, to)
		lease := j.lease
		j.lease = nil
		b.store.expect(j)
		lease.giveBack(after, brief(cause), func(err error) { b.lost(j, err) })
	case after > 0:
		b.move(j, delayed)
		b.agenda.set(&j.alarm, ripens, later(b.clock.now(), after))
	default:
		b.lineUp(j, true)
	}
}

// lost ends a job that was to wait in a Backend, and about which that could not be told.
func (b *broker) lost(j *job, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if j.state == stored || j.state == delayed { // else it has been fetched all the same, or has ended
		b.finish(j, &reply{err: fmt.Errorf("multiprolab: %v could not be put back into its queue: %w", j, err)})
	}
}

// settlement is what a Backend is told about a job that ends.
type settlement uint8

const (
	done   settlement = iota // it is done, and removed
	keep                     // the next run is to have it
	giveUp                   // it has used up its attempts
)

// finish gives a job its outcome.
func (b *broker) finish(j *job, r *reply) {
	how := done
	if errors.Is(r.err, ErrStopped) || j.foreign() && nobodyTakes(r.err) {
		how = keep
	}
	b.finishAs(j, r, how)
}

// nobodyTakes reports whether an outcome says that no worker takes the task.
func nobodyTakes(err error) bool {
	var gone *NoWorkerError
	var unknown *UnknownTypeError
	return errors.As(err, &gone) || errors.As(err, &unknown) && unknown.Receiver == ""
}

// finishAs gives a job its outcome, wherever the job is. It is the only place that does.
func (b *broker) finishAs(j *job, r *reply, how settlement) {
	if j.state == ended {
		return
	}
	b.release(j)
	b.leaveLine(j)
	b.agenda.drop(&j.alarm)
	b.tallyUp(j, r)
	if j.state == blocked && j.submitter != nil {
		j.submitter.grant(j.cost)
	}
	b.move(j, ended)
	b.freeKey(j)
	j.lane.total--
	b.dropLane(j.lane)
	j.kept = how == keep
	if j.admitted != nil {
		close(j.admitted)
		j.admitted = nil
	}
	if b.store != nil {
		b.store.settle(j, how, r.err)
	}
	if j.dead != nil && r.err != nil && how != giveUp && !errors.Is(r.err, ErrCancelled) {
		b.addDead(j.dead)
	}
	delete(b.jobs, j.id)
	delete(b.submitted, submissionKey{j.submitter, j.submitterID})
	if j.submitter == nil || j.submitter.link.Load() != nil {
		b.waits.End(j.submitter.name(), j.submitterID)
	}
	switch {
	case j.submitterID == 0: // it was found in the Backend, or is a dead letter that was retried: nobody waits
	case j.submitter == nil:
		b.node.resolve(j.submitterID, r)
	default:
		j.submitter.answer(link.Soon, replyFrame(wire.Result, j.submitterID, r))
	}
	if len(b.jobs) == 0 {
		for _, done := range b.joiners {
			close(done)
		}
		b.joiners = nil
	}
}

// tallyUp counts the outcome of a job.
func (b *broker) tallyUp(j *job, r *reply) {
	t := tally(j.batch, r)
	b.stats.Succeeded += uint64(t.Succeeded)
	b.stats.Failed += uint64(t.Failed)
	b.stats.Cancelled += uint64(t.Cancelled)
	b.stats.Received -= uint64(t.NotReceived)
}

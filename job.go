package multiprolab

import (
	"cmp"
	"fmt"
	"time"

	"github.com/multiprolab/multiprolab/internal/codec"
	"github.com/multiprolab/multiprolab/internal/queue"
)

// job is a task as main sees it, from its submission to its one outcome. It exists in main. The
// rules alone know what is to become of it, by the queue.Task; the rest is what they need not know,
// and the broker's mutex guards it. A million of them may wait, so that its size is held by a test.
type job struct {
	queue.Task

	payload  codec.Payload // the body; that of a batch may be lent, see mapping.sendBatch
	limit    *timeLimit    // of who waits for the outcome; or nil
	client   *client       // who has submitted it and waits for the outcome; nil for main, or nobody
	sub      *Submission   // the same in main; nil for a worker, or nobody
	chain    string        // the names of the loops that wait for the outcome, or may, with commas between them
	spell    uint64        // the submitter's number for the time that its loop waits for it, see Submission
	cost     int64         // what it holds of its submitter's credit while it waits for room, in bytes
	storedAs string        // its id in a Backend; "" without one
	lease    jobLease      // from when it was fetched from a Backend to the end of the attempt; else nil
	past     *past         // what only few jobs have; or nil
	waits    bool          // the loops in chain do wait: nothing else happens there until the outcome is there
	admitted bool          // its submitter was told that the queue has it
}

// jobLease is the lease of a Backend under which a job is worked on; see storedLease. No method
// waits.
type jobLease interface {
	// done says that the job has its outcome.
	done()
	// giveUp says that no attempt is left, and why.
	giveUp(reason string)
	// giveBack makes the job ready again after a time. failed is called if that cannot be; it may
	// be nil.
	giveBack(after time.Duration, reason string, failed func(err error))
	// forget says that the lease was lost.
	forget()
}

// past is what is kept of a job because of what has happened to it. It exists in main; the broker's
// mutex guards it.
type past struct {
	failures []error        // how the attempts that failed have ended, in order
	all      *AttemptsError // all of them, from when no attempt is left to the outcome; else nil
	refusal  error          // the circle of waits that the job was refused for; or nil
	dead     *DeadTask      // the dead letter that it is, or was before it was retried; or nil
}

// newJob makes a job of a body. The caller says who waits for its outcome.
func newJob(p codec.Payload, meta *taskMeta) *job {
	j := &job{payload: p, chain: meta.Chain, waits: meta.Waits}
	j.Data, j.Size = j, len(p.Data)
	return j
}

// jobOf returns the job that a task of the rules belongs to.
func jobOf(t *queue.Task) *job { return t.Data.(*job) }

func (j *job) String() string { return taskText(&j.Task) }

// taskText names a task in errors and logs.
func taskText(t *queue.Task) string { return fmt.Sprintf("task %q (id %d)", t.Lane().Type, t.ID()) }

// by is the name of the process that has submitted the job.
func (j *job) by() string { return j.client.name() }

// history returns what is kept of what has happened to the job.
func (j *job) history() *past {
	if j.past == nil {
		j.past = &past{}
	}
	return j.past
}

// forget forgets who has submitted the job: nobody waits for it any more.
func (j *job) forget() {
	if j.sub != nil {
		j.sub.job = nil
	}
	j.sub, j.client, j.limit, j.chain, j.waits, j.spell = nil, nil, nil, "", false, 0
}

// laneOf is where a task waits that has some options.
func (m *taskMeta) laneOf(typ string) queue.Lane {
	return queue.Lane{Queue: cmp.Or(m.Queue, DefaultQueue), Type: typ, Priority: queue.Priority(m.Priority)}
}

// options are those of the task as the rules have them, or nil if all are the defaults.
func (m *taskMeta) options() *queue.Options {
	if o := m.rules(); o != (queue.Options{}) {
		return &o
	}
	return nil
}

// rules are the options of the task as the rules have them.
func (m *taskMeta) rules() queue.Options {
	return queue.Options{
		Timeout:  m.Timeout,
		Grace:    m.Grace,
		Delay:    m.Delay,
		Attempts: m.Attempts,
		Key:      m.Key,
		On:       queue.Fault(m.Retry.On),
		First:    m.Retry.First,
		Factor:   m.Retry.Factor,
		Max:      m.Retry.Max,
	}
}

// The faults of the rules are those of RetryPolicy; else this does not compile.
const (
	_ = -uint8(RetryDeaths ^ RetryOn(queue.Deaths))
	_ = -uint8(RetryTimeouts ^ RetryOn(queue.Timeouts))
	_ = -uint8(RetryErrors ^ RetryOn(queue.Errors))
)

// stored is the options of the job as a Backend keeps them: all but who waits for it, who does not
// in another run.
func (j *job) stored() string {
	to, m := j.Lane(), taskMeta{}
	if to.Queue != DefaultQueue {
		m.Queue = to.Queue
	}
	m.Priority = Priority(to.Priority)
	if o := j.Options; o != nil {
		m.Timeout, m.Grace, m.Attempts, m.Delay, m.Key = o.Timeout, o.Grace, o.Attempts, o.Delay, o.Key
		m.Retry = RetryPolicy{On: RetryOn(o.On), First: o.First, Factor: o.Factor, Max: o.Max}
	}
	return m.marshal()
}

// timeout is the limit of an attempt at the job, or 0.
func (j *job) timeout() time.Duration {
	if j.Options == nil {
		return 0
	}
	return j.Options.Timeout
}

// allowed is how many attempts the job has.
func (j *job) allowed() int {
	if j.Options == nil {
		return 1
	}
	return max(1, j.Options.Attempts)
}

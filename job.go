package multiprolab

import (
	"fmt"
	"time"

	"github.com/multiprolab/multiprolab/backend"
	"github.com/multiprolab/multiprolab/internal/codec"
	"github.com/multiprolab/multiprolab/internal/contexts"
	"github.com/multiprolab/multiprolab/internal/meta"
	"github.com/multiprolab/multiprolab/internal/queue"
	"github.com/multiprolab/multiprolab/internal/store"
)

// job is a task as main sees it, from its submission to its one outcome. It exists in main, and the
// broker's mutex guards it. The rules of tasks know of it only its queue.Task, by which they decide
// what becomes of it. There may be a million jobs that wait, so a test keeps the size of this type.
type job struct {
	// Entry is the job as the rules know it, with its place in a Backend.
	store.Entry

	// payload is the body. The body of a batch may be lent, see mapping.Range.
	payload codec.Payload
	// limit is the deadline of the submitter, who waits for the outcome; or nil.
	limit *contexts.Limit
	// client is the life of the worker that has submitted the job and waits for the outcome; nil if
	// main has submitted it, or nobody waits.
	client *client
	// sub is the submission of main that waits for the outcome; nil if a worker has submitted the
	// job, or nobody waits.
	sub *submission
	// chain is the names of the processes whose loops wait for the outcome, or may wait, with
	// commas between them.
	chain string
	// spell is the number of the submitter's present wait for the outcome, see submission.
	spell uint64
	// cost is how many bytes of credit of its submitter the job holds while it waits for room.
	cost int64
	// past is what only few jobs have; nil for all others.
	past *past
	// waits says that the loops in chain do wait: nothing else runs on them before the outcome.
	waits bool
	// stream says that a worker has submitted the job, and that its outcome comes in pieces.
	stream bool
	// admitted says that the submitter was told that the queue has the job.
	admitted bool
}

// past is what main keeps of few jobs: headers, and what has happened to the job. It exists in
// main; the broker's mutex guards it.
type past struct {
	// failures are the errors of the attempts that have failed, in order.
	failures []error
	// all holds the errors of all attempts, from when no attempt is left until the outcome;
	// otherwise nil.
	all *AttemptsError
	// refusal says in which circle of waits the job would have been; or nil.
	refusal error
	// putOff is how many attempts were put off, if the outcome comes in pieces.
	putOff int
	// header is the packed headers of the task, or "".
	header string
	// checkpoint is the last checkpoint of its attempts; or nil. What it points to never changes.
	checkpoint *codec.Payload
	// dead is the dead letter that the job is, or that it was before it was retried; or nil.
	dead *DeadTask
}

// newJob makes a job of a body. The caller sets who waits for its outcome.
func newJob(p codec.Payload, o *meta.Task) *job {
	j := &job{payload: p, chain: o.Chain, waits: o.Waits}
	j.Data, j.Size = j, len(p.Data)+len(o.Header)
	if o.Header != "" {
		j.history().header = o.Header
	}
	return j
}

// jobOf returns the job that a task of the rules belongs to.
func jobOf(t *queue.Task) *job { return t.Data.(*job) }

func (j *job) String() string { return taskText(&j.Task) }

// taskText names a task in errors and in the log.
func taskText(t *queue.Task) string { return fmt.Sprintf("task %q (id %d)", t.Lane().Type, t.ID()) }

// header returns the packed headers of the job, or "".
func (j *job) header() string {
	if j.past == nil {
		return ""
	}
	return j.past.header
}

// promised reports whether the submitter takes it that the queue has the job: in a worker a
// submission that does not wait for the outcome does not wait for main, either.
func (j *job) promised() bool { return j.admitted || j.client != nil && !j.waits }

// streams reports whether who waits for the outcome of the job takes it in pieces.
func (j *job) streams() bool { return j.stream || j.sub != nil && j.sub.streams }

// run returns which run at the job this is, or was: the number of its attempt, but that attempts
// that were put off count as well.
func (j *job) run() int {
	if j.past == nil {
		return j.Begun()
	}
	return j.Begun() + j.past.putOff
}

// by returns the name of the process that has submitted the job.
func (j *job) by() string { return j.client.name() }

// history returns the past of the job, which it makes if there is none.
func (j *job) history() *past {
	if j.past == nil {
		j.past = &past{}
	}
	return j.past
}

// keptJob makes a job of what another run has kept of a task: its options, its body, and its
// checkpoint or nothing, which the codec has packed. Nobody waits for its outcome here.
func keptJob(c *codec.Codec, options string, body, checkpoint []byte) (*job, *meta.Task, error) {
	o, err := meta.Unmarshal(options)
	if err != nil {
		return nil, nil, fmt.Errorf("its options: %w", err)
	}
	o.Waits, o.Chain = false, ""
	p, err := c.Unpack(body)
	if err != nil {
		return nil, nil, err
	}
	j := newJob(p, &o)
	if len(checkpoint) == 0 {
		return j, &o, nil
	}
	last, err := c.Unpack(checkpoint)
	if err != nil || len(last.Data) > MaxCheckpoint {
		return nil, nil, fmt.Errorf("its checkpoint of %d bytes is none: %w", len(checkpoint), err)
	}
	j.history().checkpoint, j.Saved = &last, queue.SizeSaved(len(last.Data))
	return j, &o, nil
}

// foreignEntry makes a job of a task in the Backend that was stored in an earlier run, or by
// another main.
func foreignEntry(c *codec.Codec, t backend.Task) (*store.Entry, error) {
	j, o, err := keptJob(c, t.Options, t.Body, t.Checkpoint)
	if err != nil {
		return nil, err
	}
	j.Options = new(meta.Recent).Of(o)
	return &j.Entry, nil
}

// forget forgets who has submitted the job, because nobody waits for its outcome any more.
func (j *job) forget() {
	if j.sub != nil {
		j.sub.job = nil
	}
	j.sub, j.client, j.limit, j.chain, j.waits, j.spell = nil, nil, nil, "", false, 0
}

// The bits of queue.Fault are those of RetryOn: if they were not, this would not compile.
const (
	_ = -uint8(RetryDeaths ^ RetryOn(queue.Deaths))
	_ = -uint8(RetryTimeouts ^ RetryOn(queue.Timeouts))
	_ = -uint8(RetryErrors ^ RetryOn(queue.Errors))
)

// stored returns the options of the job as another run of the program reads them.
func (j *job) stored() string { return meta.Kept(j.Lane(), j.Options, j.header()).Marshal() }

// timeout returns how long an attempt at the job may take, or 0 if there is no limit.
func (j *job) timeout() time.Duration {
	if j.Options == nil {
		return 0
	}
	return j.Options.Timeout
}

// allowed returns how many attempts the job has.
func (j *job) allowed() int {
	if j.Options == nil {
		return 1
	}
	return max(1, j.Options.Attempts)
}

package multiprolab

import (
	"context"

	"github.com/multiprolab/multiprolab/internal/goroutine"
	"github.com/multiprolab/multiprolab/internal/lockorder"
	"github.com/multiprolab/multiprolab/internal/ring"
)

// This file is the parts of a submission that change while the task is on its way. Each has one
// owner, and lies in the submission by value.

// queuedTask is the task of a submission as main's queue has it. It exists in main, and the
// broker's mutex guards it; in a worker it stays empty.
type queuedTask struct {
	job any // the *job, until the outcome; otherwise nil
}

// taskOutcome is what a task has come to. It exists in the process of the submitter. Any goroutine
// may use it.
type taskOutcome struct {
	done chan struct{} // closed when outcome is set; does not change

	mu lockorder.Mutex[lockorder.Outcome] // guards outcome and then
	// outcome is nil until done is closed, and then does not change: who has seen that done is
	// closed reads it without the lock.
	outcome *reply
	then    func() // the function of onDone, or nil
}

// resolve sets the outcome. A second outcome is dropped.
func (o *taskOutcome) resolve(r *reply) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.outcome != nil {
		return
	}
	o.outcome = r
	close(o.done)
	if o.then != nil {
		o.then()
	}
}

// onDone calls fn once, when the outcome is there. fn must not wait, nor use the outcome's methods.
func (o *taskOutcome) onDone(fn func()) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.outcome != nil {
		fn()
		return
	}
	o.then = fn
}

// maxProgress is how many reports of progress, the newest, are kept for a submission that nobody
// waits for. Reports that come while somebody waits are all kept; in main they hold credit of the
// worker.
const maxProgress = 1024

// taskReports is the reports of a task's progress that its submitter has not taken. It exists in
// the process of the submitter. Any goroutine may use it.
type taskReports struct {
	// progress is TaskOptions.OnProgress, or nil. It does not change once the task is submitted.
	progress func(ctx context.Context, m *Message)
	// news has room for one: there are reports. It is nil without OnProgress, and does not change
	// once the task is submitted.
	news chan struct{}

	// streams says that the reports are the pieces of a stream. It does not change once the task is
	// submitted.
	streams bool

	mu      lockorder.Mutex[lockorder.Outcome] // guards waiters, reports and over
	waiters int                                // how many goroutines wait for the outcome, and get the reports
	reports ring.Ring[*Message]                // the reports that were not handed on
	over    bool                               // nobody takes pieces any more
}

// report hands the reports that have come to the submitter's function.
func (r *taskReports) report(ctx context.Context) {
	for {
		r.mu.Lock()
		m, ok := r.reports.Pop()
		r.mu.Unlock()
		if !ok {
			return
		}
		r.progress(ctx, m)
		m.leaveInbox()
	}
}

// listen counts the goroutines that wait for the outcome, and so for reports. Reports that are kept
// while nobody waits hold no credit, because the worker must not wait for them to be taken.
func (r *taskReports) listen(by int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.waiters += by; r.waiters > 0 {
		return
	}
	for m := range r.reports.All() {
		m.giveBack()
	}
}

// giveAllBack gives back the credit of all reports, because no further one comes of this run: their
// worker may be at something else, for which the submitter waits before it takes them.
func (r *taskReports) giveAllBack() {
	if r.news == nil { // there are none
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for m := range r.reports.All() {
		m.giveBack()
	}
}

// addProgress keeps a report until it is handed on.
func (r *taskReports) addProgress(m *Message) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.progress == nil && !r.streams || r.over {
		m.leaveInbox()
		return
	}
	r.reports.Push(m)
	goroutine.Wake(r.news) // this also serves somebody who begins to wait later
	if r.waiters > 0 {
		return
	}
	m.giveBack()
	for r.reports.Len() > maxProgress {
		old, _ := r.reports.Pop()
		(*r.reports.First()).Missed += old.Missed + 1
	}
}

// loopWait is the waits for an outcome for which the loop of the submitter waits, too, apart from
// those that main knows of from the start. It exists in the process of the submitter. Any goroutine
// may use it.
type loopWait struct {
	// mu guards loops. It is held while main is told that the loop waits, or waits no longer. It is
	// taken before every other lock.
	mu      lockorder.Mutex[lockorder.Loops]
	loops   int     // how many goroutines wait so that the loop waits
	refusal refusal // whether the loop must not wait
}

// refusal is main's word that the loop of a submitter must not wait for an outcome, because the
// wait would close a circle. It exists in the process of the submitter. Any goroutine may use it.
type refusal struct {
	mu    lockorder.Mutex[lockorder.Outcome] // guards every other field
	spell uint64                             // the number of the spell in which the loop waits, or has waited last
	err   error                              // why the loop must not wait in this spell, or nil
	came  chan struct{}                      // closed when err is set; nil before the first spell
}

// begin begins a spell of waiting, and returns its number.
func (r *refusal) begin() (spell uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.spell++
	r.err, r.came = nil, make(chan struct{})
	return r.spell
}

// refuse ends the waits of a spell, with an error. It does nothing if the spell is over.
func (r *refusal) refuse(spell uint64, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if spell == r.spell && r.err == nil && r.came != nil {
		r.err = err
		close(r.came)
	}
}

// refused returns the channel that is closed if the loop must not wait in this spell.
func (r *refusal) refused() <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.came
}

// why returns why the loop must not wait in this spell, or nil.
func (r *refusal) why() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.err
}

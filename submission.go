package multiprolab

import (
	"context"
	"fmt"
	"sync/atomic"

	"github.com/multiprolab/multiprolab/internal/lockorder"
	"github.com/multiprolab/multiprolab/internal/ring"
)

// maxProgress is how many reports of progress, the newest, are kept for a submission that nobody
// waits for. Reports that come while somebody waits are all kept; in main they hold credit of the
// worker.
const maxProgress = 1024

// Submission is a task as its submitter sees it: an outcome to come. All its methods may be called
// from any goroutine. It exists in the process of the submitter, main or a worker. A field that no
// lock guards does not change once the task has been submitted, and any goroutine may read it.
type Submission struct {
	values *values       // how the process of the submitter decodes
	up     taskKeeper    // the way to the queue
	id     uint64        // the number of the task, unique in this process
	typ    string        // the type of the task
	done   chan struct{} // closed when outcome is set
	// accepted is closed when the queue has taken the task; in main it is also closed when the task
	// has ended before that.
	accepted chan struct{}
	// lines says that the submission does not wait for room in the queue: the task stands in line.
	// Only main sets it.
	lines    bool
	news     chan struct{}                         // has room for one: there are reports
	progress func(ctx context.Context, m *Message) // TaskOptions.OnProgress, or nil
	batch    int                                   // the number of items of a batch; 0 if the task is no batch
	awaited  bool                                  // main knows from the start that the loop of the submitter waits
	// cancelled says that this worker has told main to cancel the task. Any goroutine may set it.
	cancelled atomic.Bool
	// split is called when only so many items of the batch are still in it. It must not wait. It is
	// nil if the task is no batch.
	split func(count int)

	// job is the task as the queue has it, in main and until the outcome: a *job. The broker's
	// mutex guards it.
	job any

	// loopMu guards loops. It is held while main is told that the loop waits, or waits no longer.
	// It is taken before every other lock.
	loopMu lockorder.Mutex[lockorder.Loops]
	// loops is how many goroutines wait for the outcome so that the loop of the submitter waits,
	// not counting awaited.
	loops int

	// mu guards waiters, reports, outcome, then, spell, refusal and refused.
	mu      lockorder.Mutex[lockorder.Outcome]
	waiters int                 // how many goroutines wait for the outcome, and get the reports
	reports ring.Ring[*Message] // the reports of progress that were not handed on
	outcome *reply              // the outcome; nil until done is closed, and then it does not change
	then    func()              // the function of onDone, or nil
	// spell is the number of the spell in which loops is above zero, or was last.
	spell   uint64
	refusal error         // why the loop must not wait in this spell, or nil
	refused chan struct{} // closed when refusal is set; nil before the first spell
}

// taskKeeper is the way to the queue as a Submission needs it. It exists in main and in each
// worker.
type taskKeeper interface {
	// cancelTask cancels a task of this process. soft says that its deadline has passed.
	cancelTask(id uint64, soft bool)
	// awaits says that the loop begins to wait for a task, which was submitted without saying so.
	// spell is the number of this wait. If the loop must not wait, the error is returned here, or
	// comes through Submission.refuse.
	awaits(s *Submission, spell uint64) error
	// awaitsNoMore says that the loop does not wait any more for a call or task that has no
	// outcome.
	awaitsNoMore(id uint64)
}

// ID returns the number of the task, unique among those of its submitter.
func (s *Submission) ID() uint64 { return s.id }

// Done returns a channel that is closed when the outcome is there.
func (s *Submission) Done() <-chan struct{} { return s.done }

// Cancel cancels the task. If the task is queued, it never runs. If it runs, its context is
// cancelled, and if its handler does not return within the grace its worker is killed. The outcome
// is ErrCancelled, unless it was there before.
func (s *Submission) Cancel() { s.up.cancelTask(s.id, false) }

// giveUp cancels the task because somebody waited for its outcome under ctx, which has ended.
func (s *Submission) giveUp(ctx context.Context) { s.up.cancelTask(s.id, expired(ctx)) }

// Result waits for the outcome and decodes it into the value that v points to; v may be nil. The
// end of ctx ends the waiting, not the task.
func (s *Submission) Result(ctx context.Context, v any) error {
	if err := s.wait(ctx); err != nil {
		return err
	}
	if v == nil {
		return s.values.recognise(s.outcome.err)
	}
	return s.values.decodeReply(s.typ, s.outcome, v, s.values.codec.Decode)
}

// wait waits for the outcome, and hands reports of progress on meanwhile. If the outcome is there,
// the end of ctx does not matter.
func (s *Submission) wait(ctx context.Context) error {
	select {
	case <-s.done:
		s.report(ctx)
		return nil
	default:
	}
	defer stall(ctx)()
	s.listen(1)
	defer s.listen(-1)
	var refused <-chan struct{} // nil unless the loop waits, and main does not know it yet
	if loop := scopeOf(ctx); loop != nil && !s.awaited {
		refused = s.beginLoop()
		defer s.endLoop()
		loop.goesOn(s.up, s.id)
	}
	for {
		select {
		case <-s.done:
			s.report(ctx)
			return nil
		case <-refused:
			s.mu.Lock()
			defer s.mu.Unlock()
			return s.refusal
		case <-s.news:
			s.report(ctx)
		case <-ctx.Done():
			return fmt.Errorf("multiprolab: task %q: %w", s.typ, causeOf(ctx))
		}
	}
}

// beginLoop tells main that the loop waits for the outcome. It returns a channel that is closed if
// the loop must not wait. If several goroutines of the loop's function wait at a time, main is told
// only of the first.
func (s *Submission) beginLoop() (refused <-chan struct{}) {
	s.loopMu.Lock()
	defer s.loopMu.Unlock()
	s.loops++
	if s.loops > 1 {
		return s.refused
	}
	s.mu.Lock()
	s.spell++
	s.refusal, s.refused = nil, make(chan struct{})
	spell := s.spell
	s.mu.Unlock()
	if err := s.up.awaits(s, spell); err != nil {
		s.refuse(spell, err)
	}
	return s.refused
}

// endLoop notes that the wait that beginLoop has noted is over.
func (s *Submission) endLoop() {
	s.loopMu.Lock()
	defer s.loopMu.Unlock()
	s.loops--
	if s.loops == 0 && !closed(s.done) {
		s.up.awaitsNoMore(s.id)
	}
}

// refuse ends the waits of the loop for the outcome, because they would close a circle. It does
// nothing if this spell of waiting has ended.
func (s *Submission) refuse(spell uint64, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if spell == s.spell && s.refusal == nil && s.refused != nil {
		s.refusal = err
		close(s.refused)
	}
}

// report hands the reports that have come to the submitter's function.
func (s *Submission) report(ctx context.Context) {
	for {
		s.mu.Lock()
		m, ok := s.reports.Pop()
		s.mu.Unlock()
		if !ok {
			return
		}
		s.progress(ctx, m)
		m.leaveInbox()
	}
}

// listen counts the goroutines that wait for the outcome, and so for reports. Reports that are kept
// while nobody waits hold no credit, because the worker must not wait for them to be taken.
func (s *Submission) listen(by int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.waiters += by; s.waiters > 0 {
		return
	}
	for m := range s.reports.All() {
		m.giveBack()
	}
}

// addProgress keeps a report until it is handed on.
func (s *Submission) addProgress(m *Message) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.progress == nil {
		m.leaveInbox()
		return
	}
	s.reports.Push(m)
	wakeUp(s.news) // this also serves somebody who begins to wait later
	if s.waiters > 0 {
		return
	}
	m.giveBack()
	for s.reports.Len() > maxProgress {
		old, _ := s.reports.Pop()
		(*s.reports.First()).Missed += old.Missed + 1
	}
}

// resolve sets the outcome. A second outcome is dropped.
func (s *Submission) resolve(r *reply) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.outcome != nil {
		return
	}
	s.outcome = r
	close(s.done)
	if s.then != nil {
		s.then()
	}
}

// onDone calls fn once, when the outcome is there. fn must not wait, nor call a method of s.
func (s *Submission) onDone(fn func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.outcome != nil {
		fn()
		return
	}
	s.then = fn
}

// Future is a Submission whose result has the type R.
type Future[R any] struct{ *Submission }

// Wait waits for the outcome of the task. The end of ctx ends the waiting, not the task.
func (f *Future[R]) Wait(ctx context.Context) (R, error) {
	var r R
	err := f.Result(ctx, &r)
	return r, err
}

package multiprolab

import (
	"context"
	"fmt"
	"sync/atomic"

	"github.com/multiprolab/multiprolab/internal/contexts"
	"github.com/multiprolab/multiprolab/internal/goroutine"
)

// submission is a task as its submitter sees it: an outcome to come. All its methods may be called
// from any goroutine. It exists in the process of the submitter, main or a worker. Its own fields
// do not change once the task has been submitted, and any goroutine may read them; each of its
// parts says who may touch it.
type submission struct {
	values *values    // how the process of the submitter decodes
	up     taskKeeper // the way to the queue
	id     uint64     // the number of the task, unique in this process
	typ    string     // the type of the task
	batch  int        // the number of items of a batch; 0 if the task is no batch
	// split is called when only so many items of the batch are still in it. It must not wait. It is
	// nil if the task is no batch.
	split func(count int)
	// accepted is closed when the queue has taken the task; in main it is also closed when the task
	// has ended before that.
	accepted chan struct{}
	awaited  bool // main knows from the start that the loop of the submitter waits
	// lines says that the submission does not wait for room in the queue: the task stands in line.
	// Only main sets it.
	lines bool
	// cancelled says that this worker has told main to cancel the task. Any goroutine may set it.
	cancelled atomic.Bool

	queuedTask           // the task as main's queue has it
	taskReports          // the reports of its progress
	taskOutcome          // its outcome
	waits       loopWait // the waits of the loop for its outcome
}

// taskKeeper is the way to the queue as a submission needs it. It exists in main and in each
// worker.
type taskKeeper interface {
	// cancelTask cancels a task of this process. soft says that its deadline has passed.
	cancelTask(id uint64, soft bool)
	// awaits says that the loop begins to wait for a task, which was submitted without saying so.
	// spell is the number of this wait. If the loop must not wait, the error is returned here, or
	// comes through submission.refuse.
	awaits(s *submission, spell uint64) error
	// awaitsNoMore says that the loop does not wait any more for a call or task that has no
	// outcome.
	awaitsNoMore(id uint64)
}

// cancel cancels the task because its submitter says so.
func (s *submission) cancel() { s.up.cancelTask(s.id, false) }

// giveUp cancels the task because somebody waited for its outcome under ctx, which has ended.
func (s *submission) giveUp(ctx context.Context) { s.up.cancelTask(s.id, contexts.Expired(ctx)) }

// result waits for the outcome and decodes it into the value that v points to; v may be nil. The
// end of ctx ends the waiting, not the task.
func (s *submission) result(ctx context.Context, v any) error {
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
func (s *submission) wait(ctx context.Context) error {
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
			return s.waits.refusal.why()
		case <-s.news:
			s.report(ctx)
		case <-ctx.Done():
			return fmt.Errorf("multiprolab: task %q: %w", s.typ, contexts.CauseOf(ctx))
		}
	}
}

// beginLoop tells main that the loop waits for the outcome. It returns a channel that is closed if
// the loop must not wait. If several goroutines of the loop's function wait at a time, main is told
// only of the first.
func (s *submission) beginLoop() (refused <-chan struct{}) {
	w := &s.waits
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.loops++; w.loops == 1 {
		spell := w.refusal.begin()
		if err := s.up.awaits(s, spell); err != nil {
			w.refusal.refuse(spell, err)
		}
	}
	return w.refusal.refused()
}

// endLoop notes that the wait that beginLoop has noted is over.
func (s *submission) endLoop() {
	s.waits.mu.Lock()
	defer s.waits.mu.Unlock()
	s.waits.loops--
	if s.waits.loops == 0 && !goroutine.Closed(s.done) {
		s.up.awaitsNoMore(s.id)
	}
}

// refuse ends the waits of the loop for the outcome, because they would close a circle. It does
// nothing if this spell of waiting has ended.
func (s *submission) refuse(spell uint64, err error) { s.waits.refusal.refuse(spell, err) }

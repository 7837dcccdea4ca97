package multiprolab

import (
	"context"
	"fmt"
	"sync/atomic"

	"github.com/multiprolab/multiprolab/internal/lockorder"
	"github.com/multiprolab/multiprolab/internal/ring"
)

// maxProgress is how many reports of progress are kept for a submission that nobody waits for: the
// newest. Those that come while somebody waits are all kept; in main they hold credit of the
// worker.
const maxProgress = 1024

// Submission is a task as its submitter sees it: an outcome to come. All its methods may be called
// from any goroutine.
type Submission struct {
	node      *node
	id        uint64
	typ       string
	done      chan struct{} // closed with the outcome
	accepted  chan struct{} // closed when the queue has taken it; in main also when it has ended before
	lines     bool          // its submission in main does not wait for room in the queue: the task stands in line
	news      chan struct{} // there is progress
	progress  func(ctx context.Context, m *Message)
	batch     int             // the number of items, or 0 if it is no batch
	awaited   bool            // main knows from the start that the loop of the submitter waits for it
	cancelled atomic.Bool     // main has been told, by a worker, to cancel it
	split     func(count int) // called when only so many items of the batch remain in it; must not wait

	loopMu lockorder.Mutex[lockorder.Loops] // held while main is told of loops; guards loops; taken before all others
	loops  int                              // waits of the loop of the submitter that main was told of

	mu      lockorder.Mutex[lockorder.Outcome]
	waiters int // that reports are for
	reports ring.Ring[*Message]
	outcome *reply
	then    func()
	spell   uint64        // number of the time, with loops above zero, that is now or was last
	refusal error         // why the loop must not wait, in this spell; or nil
	refused chan struct{} // closed with refusal
}

// ID returns the number of the task, unique among those of its submitter.
func (s *Submission) ID() uint64 { return s.id }

// Done returns a channel that is closed when the outcome is there.
func (s *Submission) Done() <-chan struct{} { return s.done }

// Cancel cancels the task. One that is queued never runs; the context of one that runs is
// cancelled, and if its handler does not return within the grace its worker is killed. The outcome
// is ErrCancelled, unless it was there before.
func (s *Submission) Cancel() { s.node.up.cancelTask(s.id, false) }

// giveUp cancels the task because ctx has ended, under which somebody waited for its outcome.
func (s *Submission) giveUp(ctx context.Context) { s.node.up.cancelTask(s.id, expired(ctx)) }

// Result waits for the outcome and decodes it into the value that v points to; v may be nil. The
// end of ctx ends the waiting, not the task.
func (s *Submission) Result(ctx context.Context, v any) error {
	if err := s.wait(ctx); err != nil {
		return err
	}
	if v == nil {
		return s.node.recognise(s.outcome.err)
	}
	return s.node.take(s.typ, s.outcome, v, s.node.codec.Decode)
}

// wait waits for the outcome and hands progress on meanwhile. An outcome that is there counts more
// than the end of ctx.
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
	var refused <-chan struct{} // nil if no loop waits
	if loop := scopeOf(ctx); loop != nil && !s.awaited {
		refused = s.beginLoop()
		defer s.endLoop()
		s.node.goesOn(loop, s.id)
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

// beginLoop tells main that the loop waits for the outcome, and returns a channel that is closed if
// it must not. Several goroutines may wait for the loop at a time: main is told of the first.
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
	if err := s.node.up.awaits(s, spell); err != nil {
		s.refuse(spell, err)
	}
	return s.refused
}

// endLoop ends what beginLoop has begun.
func (s *Submission) endLoop() {
	s.loopMu.Lock()
	defer s.loopMu.Unlock()
	s.loops--
	if s.loops == 0 && !closed(s.done) {
		s.node.up.awaitsNoMore(s.id)
	}
}

// refuse ends the waits of the loop for the outcome, which would be in a circle. It does nothing if
// they have ended since.
func (s *Submission) refuse(spell uint64, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if spell == s.spell && s.refusal == nil && s.refused != nil {
		s.refusal = err
		close(s.refused)
	}
}

// report hands the progress that has come to the submitter's function.
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

// listen counts who waits for the outcome, and so for reports. What is kept when nobody does holds
// no credit, for the worker must not wait for it.
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

// addProgress keeps a report until somebody waits.
func (s *Submission) addProgress(m *Message) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.progress == nil {
		m.leaveInbox()
		return
	}
	s.reports.Push(m)
	wakeUp(s.news) // also of who will wait
	if s.waiters > 0 {
		return
	}
	m.giveBack()
	for s.reports.Len() > maxProgress {
		old, _ := s.reports.Pop()
		(*s.reports.First()).Missed += old.Missed + 1
	}
}

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

// onDone has fn called once, when the outcome is there. fn must not wait, nor call a method of s.
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

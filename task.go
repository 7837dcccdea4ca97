package multiprolab

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/multiprolab/multiprolab/internal/codec"
	"github.com/multiprolab/multiprolab/internal/pack"
	"github.com/multiprolab/multiprolab/internal/ring"
)

// maxProgress is how many reports of progress are kept for a submission that nobody waits for: the
// newest. Those that come while somebody waits are all kept; in main they hold credit of the
// worker.
const maxProgress = 1024

// TaskOptions are the options of one task. Nil, and the zero value, are good defaults.
type TaskOptions struct {
	// Timeout limits each attempt, from its start on a worker. At its end the context of the
	// handler is cancelled; a handler that does not return within Grace is killed with its worker.
	// Defaults to no limit.
	Timeout time.Duration
	// Grace is the time between the cancellation of a handler's context, by Timeout or by the
	// submitter, and the kill. Defaults to 1 second.
	Grace time.Duration
	// Queue names the queue; workers take tasks from those in their WorkerConfig.Queues. Defaults
	// to DefaultQueue.
	Queue string
	// Priority puts the task before those with a lower one. Defaults to PriorityNormal.
	Priority Priority
	// Delay is the time before which the task is not started. Defaults to none.
	Delay time.Duration
	// Key, if not empty, makes the task wait while another one with the same key, of whatever type
	// or queue, runs.
	Key string
	// Attempts is how often the task may be started. An attempt that fails, be it by the death of
	// its worker, by Timeout, or by an error of the handler, uses up one; Retry says which failures
	// are worth another, and when it comes. Once all are used up, the outcome is an *AttemptsError,
	// and the task goes to the list of dead letters, see TaskQueue.Dead. Defaults to 1, so that a
	// task runs at most once.
	Attempts int
	// Retry says which failures are worth another attempt, and after what pause.
	Retry RetryPolicy
	// OnProgress gets what the handler reports with Progress, in order and before the outcome. It
	// is called by the goroutine that waits for the outcome, and gets all that is reported
	// meanwhile: in main, a handler that reports faster than OnProgress takes it has to wait; a
	// worker that submits keeps in its memory what OnProgress has not taken. Of what is reported
	// while nobody waits, the newest 1024 are kept, and Message.Missed of the first of them says
	// how many there were before. Defaults to none.
	OnProgress func(ctx context.Context, m *Message)
}

func (o *TaskOptions) check() error {
	if o == nil {
		return nil
	}
	return o.meta("").check()
}

// Priority orders tasks that wait for the same workers.
type Priority int8

// The priorities.
const (
	PriorityLow    Priority = -1
	PriorityNormal Priority = 0
	PriorityHigh   Priority = 1
)

// taskMeta is what travels with a task beside its body.
type taskMeta struct {
	Timeout  time.Duration
	Grace    time.Duration
	Attempts int // allowed
	Retry    RetryPolicy
	Queue    string
	Priority Priority
	Delay    time.Duration
	Key      string
	Attempt  int    // this one, from 1; 0 means 1
	Chain    string // loops that wait for it, or may
	Waits    bool   // they do: nothing else happens there until the outcome is there
}

func (o *TaskOptions) meta(chain string) taskMeta {
	if o == nil {
		return taskMeta{Chain: chain}
	}
	return taskMeta{
		Timeout:  o.Timeout,
		Grace:    o.Grace,
		Attempts: o.Attempts,
		Retry:    o.Retry,
		Queue:    o.Queue,
		Priority: o.Priority,
		Delay:    o.Delay,
		Key:      o.Key,
		Chain:    chain,
	}
}

// check names the first option that makes no sense. A worker's are checked again in main.
func (m taskMeta) check() error {
	err := cmp.Or(
		notNegative("TaskOptions.Timeout", m.Timeout),
		notNegative("TaskOptions.Grace", m.Grace),
		notNegative("TaskOptions.Attempts", m.Attempts),
		notNegative("TaskOptions.Delay", m.Delay),
		m.Retry.check(),
	)
	switch {
	case err != nil:
		return err
	case m.Priority < PriorityLow || m.Priority > PriorityHigh:
		return &ConfigError{"TaskOptions.Priority", m.Priority, "use PriorityLow, PriorityNormal or PriorityHigh"}
	case len(m.Key) > maxNameLen:
		return &ConfigError{
			"TaskOptions.Key",
			m.Key[:20] + "...",
			fmt.Sprintf("it has %d bytes: use at most %d", len(m.Key), maxNameLen),
		}
	case m.Queue != "" && checkQueueName(m.Queue) != nil:
		return &ConfigError{"TaskOptions.Queue", m.Queue, checkQueueName(m.Queue).Error()}
	case m.Attempt < 0:
		return &ConfigError{"the attempt", m.Attempt, "it cannot be negative"}
	case checkChain(m.Chain) != nil:
		return checkChain(m.Chain)
	}
	return nil
}

func (o *TaskOptions) marshal(chain string, waits bool) string {
	m := o.meta(chain)
	m.Waits = waits && chain != ""
	return m.marshal()
}

// metaVersion is the first byte of options in their packed form. Others are from another build of
// the program, by way of a Backend.
const metaVersion = 1

// marshal lays out the options: as nothing if all of them are the defaults.
func (m taskMeta) marshal() string {
	if m == (taskMeta{}) {
		return ""
	}
	return string(append([]byte{metaVersion}, pack.Marshal(&m)...))
}

// Pack describes the layout.
func (m *taskMeta) Pack(p *pack.Packing) {
	on, priority, factor := int(m.Retry.On), int(m.Priority), int64(math.Float64bits(m.Retry.Factor))
	pack.Number(p, &m.Timeout)
	pack.Number(p, &m.Grace)
	pack.Number(p, &m.Attempts)
	pack.Number(p, &on)
	pack.Number(p, &m.Retry.First)
	pack.Number(p, &factor)
	pack.Number(p, &m.Retry.Max)
	pack.Text(p, &m.Queue)
	pack.Number(p, &priority)
	pack.Number(p, &m.Delay)
	pack.Text(p, &m.Key)
	pack.Number(p, &m.Attempt)
	pack.Text(p, &m.Chain)
	pack.Flag(p, &m.Waits)
	if on < 0 || on > math.MaxUint8 || priority < math.MinInt8 || priority > math.MaxInt8 {
		p.Fail()
	}
	m.Retry.On, m.Priority, m.Retry.Factor = RetryOn(on), Priority(priority), math.Float64frombits(uint64(factor))
}

// unmarshalTaskMeta reads what marshal wrote. It trusts nothing.
func unmarshalTaskMeta(s string) (m taskMeta, err error) {
	switch {
	case s == "":
	case s[0] != metaVersion:
		err = fmt.Errorf("they have version %d, this program knows version %d", s[0], metaVersion)
	default:
		err = pack.Unmarshal([]byte(s[1:]), &m)
	}
	return m, err
}

// Task is a task on the worker that works on it. It exists in the worker process.
type Task struct {
	ID        uint64 // unique in the life of main
	Type      string
	Submitter string // name of the process that submitted it
	Attempt   int    // 1 for the first
	payload   codec.Payload
	decoded   atomic.Bool // see Message
	worker    *Worker
	chain     string
	timed     bool          // main must know when it begins
	batch     bool          // payload is that of the item that runs
	lone      bool          // the item is all that is worked on of the batch: it was taken with GetTask
	begun     atomic.Uint64 // items of the batch that have, and batchCut
	timeout   time.Duration // of this attempt, or 0
	expires   time.Time     // by the timeout, once the task runs
	limit     *timeLimit    // of its context, or nil; before it runs, that of who waits for the outcome
	ctx       *scope

	// early is the outcome of the item that runs, if its handler has called Done or Fail; nil else.
	early atomic.Pointer[reply]

	mu   sync.Mutex
	done bool
}

// Decode decodes the body of the task into the value that v points to; see Message.Decode.
func (t *Task) Decode(v any) error {
	decode := t.worker.codec.Take
	if !t.decoded.CompareAndSwap(false, true) {
		decode = t.worker.codec.Decode
	}
	if err := decode(t.payload, v); err != nil {
		return &DecodeError{Receiver: t.worker.Name(), Type: t.Type, Err: err}
	}
	return nil
}

// Context ends when the task is cancelled or past its deadline, with the reason as its cause.
func (t *Task) Context() context.Context { return t.ctx }

// Done ends a task that was taken with GetTask: result goes to the submitter. A result that cannot
// be encoded goes to the submitter as that error, which Done returns as well. To end a task twice
// is an error.
func (t *Task) Done(result any) error {
	r := t.worker.outcome(nil, t.Type, result, nil)
	return cmp.Or(t.finish(r), r.err)
}

// Fail ends a task that was taken with GetTask: err goes to the submitter. To end a task twice is
// an error.
func (t *Task) Fail(err error) error {
	if err == nil {
		return fmt.Errorf(
			"multiprolab: Fail of task %q (id %d) was called with a nil error: call Done instead",
			t.Type,
			t.ID,
		)
	}
	return t.finish(t.worker.outcome(nil, t.Type, nil, err))
}

// TaskHandler works on one task; what it returns goes to the submitter.
type TaskHandler func(ctx context.Context, t *Task) (result any, err error)

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
	job       *job            // in main, until the outcome: as the queue has it; guarded by the broker's mutex

	loopMu sync.Mutex // held while main is told of loops; guards loops; taken before all others
	loops  int        // waits of the loop of the submitter that main was told of

	mu      sync.Mutex
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

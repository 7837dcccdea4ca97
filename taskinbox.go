package multiprolab

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/multiprolab/multiprolab/internal/codec"
	"github.com/multiprolab/multiprolab/internal/contexts"
	"github.com/multiprolab/multiprolab/internal/link"
	"github.com/multiprolab/multiprolab/internal/lockorder"
	"github.com/multiprolab/multiprolab/internal/meta"
	"github.com/multiprolab/multiprolab/internal/shop"
	"github.com/multiprolab/multiprolab/internal/wire"
)

// taskInbox holds the tasks that main has handed to a worker, and the worker's task handlers. It
// exists in the worker process. The loop calls work; the goroutine that reads the wire delivers.
type taskInbox struct {
	worker *Worker   // the worker; does not change
	epoch  time.Time // from when its clock counts; does not change

	mu       lockorder.Mutex[lockorder.Inbox] // guards handlers and shop
	handlers map[string]*taskHandler          // the handlers, by the types of tasks
	shop     shop.Shop[*Task, chan<- *Task]   // the rules of the tasks, and where the answers to TaskQueue.Get go
	saved    shop.Ahead[*codec.Payload]       // the checkpoint of the next task; for who reads the wire
	pushed   time.Time                        // when results were last written between two tasks; only the loop uses it
}

// pushTime is how long the result of a task may wait for the results of the next tasks, so that
// they are written together.
const pushTime = 200 * time.Microsecond

// taskHandler is what a worker does with the tasks of a type. It never changes.
type taskHandler struct {
	fn    TaskHandler // the handler; nil for a type that is pulled
	items itemHandler // works on the items of batches
	site  *site       // where the handler was registered
}

// register registers the handler of a type of tasks, or with a nil fn a type that is pulled. late
// says that it is too late.
func (b *taskInbox) register(typ string, fn TaskHandler, at *site, late bool) {
	b.registerItems(typ, fn, b.worker.items(fn), at, late)
}

// registerItems is register for a handler that has another function for the items of batches.
func (b *taskInbox) registerItems(typ string, fn TaskHandler, items itemHandler, at *site, late bool) {
	if err := checkName("task type", typ); err != nil {
		registrationPanic("%v (%s)", err, at)
	}
	if late {
		registrationPanic("task type %q is registered after the setup function of worker %s has returned: "+
			"main has been told the types by then; register it in the setup function (%s)", typ, b.worker.name(), at)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if old := b.handlers[typ]; old != nil {
		registrationPanic("task type %q is registered twice in worker %s, at %s and at %s: remove one", typ,
			b.worker.name(), old.site, at)
	}
	if b.handlers == nil {
		b.handlers = map[string]*taskHandler{}
	}
	b.handlers[typ] = &taskHandler{fn, items, at}
}

// types returns the types that have a handler, and the types that are pulled.
func (b *taskInbox) types() (tasks, pulls []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, typ := range slices.Sorted(maps.Keys(b.handlers)) {
		if b.handlers[typ].fn != nil {
			tasks = append(tasks, typ)
		} else {
			pulls = append(pulls, typ)
		}
	}
	return tasks, pulls
}

// deliver takes in a task from main: for a handler, or as the answer to a fetch. It runs on the
// goroutine that reads the wire.
func (b *taskInbox) deliver(f *wire.Frame) error {
	o, err := meta.Unmarshal(f.Meta)
	if err != nil {
		return lie("the options of a task cannot be read: %v", err)
	}
	header, err := meta.UnmarshalHeader(f.Header)
	if err != nil {
		return lie("%v", err)
	}
	t := &Task{ID: f.ID, Type: f.Type, Submitter: f.From, Attempt: max(1, o.Attempt), Header: header,
		chain: o.Chain, timeout: o.Timeout, limit: contexts.Within(f.Left), payload: link.Body(f), node: b.worker.node,
		home: b, last: b.saved.Take(f.ID), batch: f.Flags&wire.FlagBatch != 0, timed: f.Flags&wire.FlagTimed != 0}
	get, asked, err := f.FetchID()
	if err != nil {
		return lie("%v", err)
	}
	if asked && t.batch { // main did not know that tasks of the type are asked for; it gives out the other items again
		if err := t.takeFirst(); err != nil {
			return err
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if !asked {
		if b.shop.Put(t.ID, t.batchItems(), t) {
			b.worker.receiver.wakeLoop()
		}
	} else if answer, ok := b.shop.Answer(get, t.ID, t.batchItems(), t); ok {
		b.start(t, b.worker.whole)
		b.worker.link.Tell(link.Lazily, &wire.Frame{Kind: wire.Start, ID: t.ID})
		answer <- t
	}
	return nil // if the shop has not taken the task, main sees in the end that it was never started
}

// start makes the scope of a task that has begun. The caller holds mu, and tells main.
func (b *taskInbox) start(t *Task, ctx context.Context) *scope {
	s := b.worker.enter(ctx, t)
	t.startClock()
	t.began = time.Since(b.epoch)
	t.ctx, s.Limit = s, t.limit
	return s
}

// work runs the next task or, as long as the loop has nothing else to do, the next batches. It
// reports whether there was a task.
func (b *taskInbox) work(ctx context.Context) bool {
	t, h := b.next(ctx, false)
	if t == nil {
		return false
	}
	for t != nil {
		b.run(t, h)
		if !t.batch {
			break
		}
		t, h = b.next(ctx, true)
	}
	b.push(t == nil)
	return true
}

// next takes the next task and starts it. behind says that the result of a batch is still to be
// written: then next takes only another batch, and only if that is the next thing for the loop to
// do.
func (b *taskInbox) next(ctx context.Context, behind bool) (*Task, *taskHandler) {
	if behind && (ctx.Err() != nil || b.worker.loop.atOnce.Load() || b.worker.hasOtherWork()) {
		return nil, nil
	}
	b.mu.Lock()
	t, ok := b.shop.Next(behind)
	if !ok {
		b.mu.Unlock()
		return nil, nil
	}
	h := b.handlers[t.Type]
	// Before b.mu is let go: a cancellation finds the task waiting or running, and main hears
	// that a batch has begun before it hears that the rest of it is given back.
	b.start(t, ctx).begin()
	how := link.Lazily
	if t.batch && b.pushDue() { // main hears of it together with the result of the last batch
		how = link.Quietly
		defer b.push(false)
	}
	// If this worker dies, main reads the mark, and the outcomes that were noted since. It is there
	// before main can know that the task has begun: or all items of a batch would be to blame.
	b.worker.link.Mark(t.ID)
	b.worker.link.Tell(how, &wire.Frame{Kind: wire.Start, ID: t.ID})
	b.mu.Unlock()
	return t, h
}

// run runs the handler of a task that has been started.
func (b *taskInbox) run(t *Task, h *taskHandler) {
	// Main must know which task a death of this worker costs an attempt, before the death can
	// happen. If main cannot be told, another worker has the task by now.
	tell := b.worker.link.Secure
	if t.timed { // main must know it even if the process is stopped, or blocks in the kernel, at its first step
		tell = b.worker.link.Flush
	}
	if err := tell(); err != nil {
		_ = t.end(&reply{err: err})
		if !t.batch { // the mark of a batch says that no item has been finished
			b.worker.link.Mark(0)
		}
		return
	}
	b.handle(t, h)
	if t.batch && !b.worker.role.process && b.worker.link.Flush() != nil {
		return // what was posted does not outlive the worker, and the mark stays, as it does after a panic
	}
	b.worker.link.Mark(0)
}

// handle runs the handler of a task that main knows to have begun.
func (b *taskInbox) handle(t *Task, h *taskHandler) {
	if h == nil || h.fn == nil {
		_ = t.end(&reply{err: &UnknownTypeError{Receiver: b.worker.name(), Verb: "task", Type: t.Type}})
		return
	}
	fn, items := h.fn, h.items
	if mws := &b.worker.handling; !mws.none() {
		fn = func(ctx context.Context, t *Task) (any, error) { return handleThrough(ctx, mws, t.arriving(), h.fn, t) }
		items = b.worker.items(fn)
	}
	if t.batch {
		b.worker.workBatch(t, items)
		return
	}
	value, err := fn(t.ctx, t)
	_ = t.giveOutcome(b.worker.outcome(nil, t.Type, value, err)) // an error: the handler has called Done or Fail
	b.worker.weigh()
}

// push writes what was posted. So a result waits for the next task only if that is short. now says
// that nothing else will write what was posted.
func (b *taskInbox) push(now bool) {
	if now || b.pushDue() {
		b.worker.link.Push()
		b.pushed = time.Now()
	}
}

// pushDue reports whether the last push is longer ago than pushTime.
func (b *taskInbox) pushDue() bool { return time.Since(b.pushed) > pushTime }

// cancel ends the context of a task, or drops the task if it has not been started. soft says that
// its deadline has passed.
func (b *taskInbox) cancel(id uint64, soft bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch t, at := b.shop.Cancel(id); at {
	case shop.Running:
		t.ctx.GiveUp(soft, ErrCancelled)
	case shop.Waiting:
		b.worker.link.Answer(link.Soon, replyFrame(wire.Result, id, &reply{err: ErrCancelled}))
	}
}

// giveBack gives a task back to main if it has not been started. If it is a batch that runs, it
// gives back the items that have not begun.
func (b *taskInbox) giveBack(id uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch rest, at := b.shop.Recall(id); at {
	case shop.Running:
		b.worker.link.Tell(link.Soon, wire.NewSplit(id, rest))
	case shop.Waiting:
		b.worker.link.Tell(link.Soon, &wire.Frame{Kind: wire.Returned, ID: id})
	}
}

// seal drops the tasks that have not been started, which main gives to other workers, and takes no
// further task.
func (b *taskInbox) seal() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, answer := range b.shop.Seal() {
		answer <- nil
	}
}

// isSealed reports whether no further task is taken.
func (b *taskInbox) isSealed() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.shop.IsSealed()
}

// noTask tells the call of TaskQueue.Get that has asked that there is no task.
func (b *taskInbox) noTask(get uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if answer, ok := b.shop.NoTask(get); ok {
		answer <- nil
	}
}

// fetch implements taskSource.
func (b *taskInbox) fetch(ctx context.Context, wait bool, types []string) (*Task, error) {
	if ctx.Err() != nil {
		return nil, contexts.CauseOf(ctx)
	}
	_, pulls := b.types()
	if len(pulls) == 0 {
		return nil, fmt.Errorf(
			"multiprolab: worker %s pulls no tasks: declare their types in its setup function with PullTasks",
			b.worker.name(),
		)
	}
	for _, typ := range types {
		if !slices.Contains(pulls, typ) {
			return nil, fmt.Errorf(
				"multiprolab: worker %s does not pull tasks of type %q: declare it in its setup function with "+
					"PullTasks (declared are %s)",
				b.worker.name(),
				typ,
				strings.Join(pulls, ", "),
			)
		}
	}
	if len(types) == 0 {
		types = pulls
	}
	// Main takes a list that is longer than the list of declared types for a lie.
	types = slices.Compact(slices.Sorted(slices.Values(types)))
	select {
	case <-b.worker.said: // before that, main does not know which tasks this worker takes
	case <-ctx.Done():
		return nil, contexts.CauseOf(ctx)
	case <-b.worker.whole.Done():
		return nil, b.worker.stopCause()
	}
	answer := make(chan *Task, 1) // one answer comes, and nobody waits to give it
	b.mu.Lock()
	id, asked := b.shop.Ask(answer, maxFetches)
	b.mu.Unlock()
	switch asked {
	case shop.Sealed:
		return nil, b.worker.stopCause()
	case shop.TooMany:
		return nil, fmt.Errorf("multiprolab: %d calls of TaskQueue.Get wait in worker %s already: "+
			"have fewer goroutines call it", maxFetches, b.worker.name())
	}

	f := &wire.Frame{Kind: wire.Fetch, ID: id, Meta: strings.Join(types, ",")}
	if wait {
		f.Flags |= wire.FlagWait
	}
	if err := b.worker.link.Post(link.Soon, f); err != nil {
		b.noTask(id) // main will not answer, because it was not asked
		return nil, fmt.Errorf("multiprolab: a task could not be asked for: %w", err)
	}
	defer stall(ctx)()
	var cancelled error
	done := ctx.Done()
	for {
		select {
		case t := <-answer:
			switch {
			case t != nil: // even if ctx has ended meanwhile, because the task was taken
				return t, b.worker.link.Secure() // see run
			case b.isSealed() || b.worker.ctx.Err() != nil:
				return nil, b.worker.stopCause()
			case cancelled != nil || !wait:
				return nil, cmp.Or(cancelled, ErrNoTask)
			}
			select { // main gives this worker no further task, because it is about to end it
			case <-b.worker.ctx.Done():
				return nil, b.worker.stopCause()
			case <-done:
				return nil, contexts.CauseOf(ctx)
			}
		case <-done:
			cancelled, done = contexts.CauseOf(ctx), nil
			b.worker.link.Tell(link.Soon, &wire.Frame{Kind: wire.FetchCancel, ID: id}) // main answers in any case
		case <-b.worker.whole.Done():
			return nil, b.worker.stopCause()
		}
	}
}

// runs implements taskHome. It is more than 0.
func (b *taskInbox) runs(t *Task) time.Duration { return max(1, time.Since(b.epoch)-t.began) }

// ended implements taskHome.
func (b *taskInbox) ended(t *Task, how link.Haste, outcome *wire.Frame) {
	b.mu.Lock()
	b.shop.End(t.ID)
	b.mu.Unlock()
	b.worker.link.Answer(how, outcome)
}

// report implements taskHome.
func (b *taskInbox) report(ctx context.Context, f *wire.Frame) error {
	return b.worker.out.Send(ctx, f, nil, nil, link.Soon)
}

// save implements taskHome. It does not wait.
func (b *taskInbox) save(f *wire.Frame) error {
	err := b.worker.link.Post(link.Lazily, f)
	if err == link.ErrClosed {
		return b.worker.stopCause()
	}
	return err
}

// secure implements taskHome.
func (b *taskInbox) secure() error { return b.worker.link.Secure() }

package multiprolab

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/multiprolab/multiprolab/internal/link"
	"github.com/multiprolab/multiprolab/internal/lockorder"
	"github.com/multiprolab/multiprolab/internal/proc"
	"github.com/multiprolab/multiprolab/internal/ring"
	"github.com/multiprolab/multiprolab/internal/wire"
)

// taskInbox holds the tasks that main has handed to a worker, and the worker's task handlers. It
// exists in the worker process. The loop calls work; the goroutine that reads the wire delivers.
type taskInbox struct {
	worker *Worker

	mu       lockorder.Mutex[lockorder.Inbox]
	handlers map[string]*taskHandler
	waiting  ring.Ring[*Task]
	active   map[uint64]*Task      // started and not ended
	fetches  map[uint64]chan *Task // calls of GetTask that wait for main's answer
	lastID   uint64
	sealed   bool
	pushed   time.Time // when results were last written between two tasks; used by the loop
}

// pushTime is how long the result of a task may wait for those of the next ones, which are written
// together.
const pushTime = 200 * time.Microsecond

type taskHandler struct {
	fn    TaskHandler // nil for a type that is pulled
	items itemHandler // works on the items of batches
	site  *site
}

func (b *taskInbox) register(typ string, fn TaskHandler, at *site, late bool) {
	b.registerItems(typ, fn, b.worker.items(fn), at, late)
}

// registerItems is register with a function of its own for the items of batches.
func (b *taskInbox) registerItems(typ string, fn TaskHandler, items itemHandler, at *site, late bool) {
	if err := checkName("task type", typ); err != nil {
		registrationPanic("%v (%s)", err, at)
	}
	if late {
		registrationPanic("task type %q is registered after the setup function of worker %s has returned: "+
			"main has been told the types by then; register it in the setup function (%s)", typ, b.worker.name, at)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if old := b.handlers[typ]; old != nil {
		registrationPanic(
			"task type %q is registered twice in worker %s, at %s and at %s: remove one",
			typ,
			b.worker.name,
			old.site,
			at,
		)
	}
	if b.handlers == nil {
		b.handlers = map[string]*taskHandler{}
	}
	b.handlers[typ] = &taskHandler{fn, items, at}
}

// types returns the types that are handled and those that are pulled.
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

// deliver takes a task from main in: for a handler, or as the answer to a fetch.
func (b *taskInbox) deliver(f *wire.Frame) error {
	meta, err := unmarshalTaskMeta(f.Meta)
	if err != nil {
		return lie("the options of a task cannot be read: %v", err)
	}
	t := &Task{ID: f.ID, Type: f.Type, Submitter: f.From, Attempt: max(1, meta.Attempt), chain: meta.Chain,
		timeout: meta.Timeout, limit: limitIn(f), payload: payloadOf(f), node: b.worker.node, home: b,
		batch: f.Flags&wire.FlagBatch != 0, timed: f.Flags&wire.FlagTimed != 0}
	id, asked, err := f.FetchID()
	if err != nil {
		return lie("%v", err)
	}
	if asked {
		if t.batch { // main did not know that tasks of the type are asked for: the others go out again
			if err := t.takeFirst(); err != nil {
				return err
			}
		}
		b.mu.Lock()
		b.start(t, b.worker.whole)
		b.worker.link.Tell(link.Lazily, &wire.Frame{Kind: wire.Start, ID: t.ID})
		b.mu.Unlock()
		b.answer(id, t)
		return nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.sealed { // else main sees that it was never started
		b.waiting.Push(t)
		b.worker.receiver.wakeLoop()
	}
	return nil
}

// start makes the task one that runs. The caller holds b.mu, and tells main.
func (b *taskInbox) start(t *Task, ctx context.Context) *scope {
	s := b.worker.enter(ctx, t)
	t.startClock()
	t.ctx, s.limit = s, t.limit
	if b.active == nil {
		b.active = map[uint64]*Task{}
	}
	b.active[t.ID] = t
	return s
}

// work runs the next task, or the next batches as long as the loop has nothing else to do, and
// reports whether there was one.
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

// next takes the next task and starts it. Behind a batch the result of which is still to be
// written, it takes only another batch, and only if that is the next thing to do.
func (b *taskInbox) next(ctx context.Context, behind bool) (*Task, *taskHandler) {
	if behind && (ctx.Err() != nil || b.worker.loop.over.Load() || b.worker.hasOtherWork()) {
		return nil, nil
	}
	b.mu.Lock()
	first := b.waiting.First()
	if first == nil || behind && !(*first).batch {
		b.mu.Unlock()
		return nil, nil
	}
	t, _ := b.waiting.Pop()
	h := b.handlers[t.Type]
	b.start(t, ctx).begin() // before b.mu is let go: a cancellation finds the task either waiting or active
	b.mu.Unlock()
	started := &wire.Frame{Kind: wire.Start, ID: t.ID}
	if t.batch && b.pushDue() { // main hears of it together with what the last one has ended with
		b.worker.link.Tell(link.Quietly, started)
		b.push(false)
	} else {
		b.worker.link.Tell(link.Lazily, started)
	}
	return t, h
}

// run runs the handler of a task that has been started.
func (b *taskInbox) run(t *Task, h *taskHandler) {
	// Main must know whom a death of this worker costs an attempt, before it can happen. If it
	// cannot be told, the task is another worker's by now.
	tell := b.worker.tellFirst
	if t.timed { // the process may be stopped, or block in the kernel, from its first step on
		tell = b.worker.link.Flush
	}
	if err := tell(); err != nil {
		_ = t.end(&reply{err: err})
		return
	}
	b.worker.link.Mark(t.ID) // which main reads if this process dies, with the outcomes that are noted after it
	defer b.worker.link.Mark(0)
	if h == nil || h.fn == nil {
		_ = t.end(&reply{err: &UnknownTypeError{Receiver: b.worker.name, Verb: "task", Type: t.Type}})
		return
	}
	if t.batch {
		b.workBatch(t, h.items)
		return
	}
	value, err := h.fn(t.ctx, t)
	_ = t.finish(b.worker.outcome(nil, t.Type, value, err)) // a second end is the handler's own Done or Fail
	b.worker.weigh()
}

// push writes what was posted: what is finished does not wait for what comes next, unless that is
// short. Now says that nothing else will write it.
func (b *taskInbox) push(now bool) {
	if now || b.pushDue() {
		b.worker.link.Push()
		b.pushed = time.Now()
	}
}

// pushDue reports whether it is some time since the last push.
func (b *taskInbox) pushDue() bool { return time.Since(b.pushed) > pushTime }

// cancel ends the context of a task, or drops it if it has not been started. soft says that its
// deadline has passed.
func (b *taskInbox) cancel(id uint64, soft bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if t := b.active[id]; t != nil {
		t.ctx.giveUp(soft, ErrCancelled)
		t.begun.Or(batchCut) // if it is a batch: no further item begins
		return
	}
	b.waiting.Remove(func(t *Task) bool {
		if t.ID == id {
			b.worker.link.Answer(link.Soon, replyFrame(wire.Result, id, &reply{err: ErrCancelled}))
		}
		return t.ID == id
	})
}

// giveBack returns a task to main that has not been started; one that has is kept.
func (b *taskInbox) giveBack(id uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if t := b.active[id]; t != nil && t.batch {
		b.cutBatch(t)
	}
	b.waiting.Remove(func(t *Task) bool {
		if t.ID == id {
			b.worker.link.Tell(link.Soon, &wire.Frame{Kind: wire.Returned, ID: id})
		}
		return t.ID == id
	})
}

// weigh asks main to replace this worker once it holds more memory than it may after a task.
func (w *Worker) weigh() {
	if w.maxRSS <= 0 || w.heavy {
		return
	}
	if rss, err := proc.RSS(); err == nil && rss > w.maxRSS {
		w.heavy = true
		w.link.Tell(link.Soon, &wire.Frame{Kind: wire.Retire})
	}
}

// seal drops the tasks that have not been started; main gives them to others.
func (b *taskInbox) seal() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.sealed = true
	b.waiting.Remove(func(*Task) bool { return true })
	for id, answer := range b.fetches {
		answer <- nil
		delete(b.fetches, id)
	}
}

func (b *taskInbox) isSealed() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.sealed
}

// answer hands main's answer to the call of GetTask that asked; nil says that there is no task.
func (b *taskInbox) answer(id uint64, t *Task) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if answer := b.fetches[id]; answer != nil {
		answer <- t
		delete(b.fetches, id)
	}
}

func (b *taskInbox) tryFetch(ctx context.Context, wait bool, types []string) (*Task, error) {
	if ctx.Err() != nil {
		return nil, causeOf(ctx)
	}
	_, pulls := b.types()
	if len(pulls) == 0 {
		return nil, fmt.Errorf(
			"multiprolab: worker %s pulls no tasks: declare their types in its setup function with PullTasks",
			b.worker.name,
		)
	}
	for _, typ := range types {
		if !slices.Contains(pulls, typ) {
			return nil, fmt.Errorf(
				"multiprolab: worker %s does not pull tasks of type %q: declare it in its setup function with "+
					"PullTasks (declared are %s)",
				b.worker.name,
				typ,
				strings.Join(pulls, ", "),
			)
		}
	}
	if len(types) == 0 {
		types = pulls
	}
	// Main takes a list that is longer than what was declared for a lie.
	types = slices.Compact(slices.Sorted(slices.Values(types)))
	select {
	case <-b.worker.said: // before, main knows no tasks of this worker
	case <-ctx.Done():
		return nil, causeOf(ctx)
	case <-b.worker.whole.Done():
		return nil, b.worker.stopCause()
	}
	answer := make(chan *Task, 1)
	b.mu.Lock()
	if b.sealed {
		b.mu.Unlock()
		return nil, b.worker.stopCause()
	}
	if len(b.fetches) >= maxFetches {
		b.mu.Unlock()
		return nil, fmt.Errorf("multiprolab: %d calls of GetTask wait in worker %s already: "+
			"have fewer goroutines call it", maxFetches, b.worker.name)
	}
	if b.fetches == nil {
		b.fetches = map[uint64]chan *Task{}
	}
	b.lastID++
	id := b.lastID
	b.fetches[id] = answer
	b.mu.Unlock()

	f := &wire.Frame{Kind: wire.Fetch, ID: id, Meta: strings.Join(types, ",")}
	if wait {
		f.Flags |= wire.FlagWait
	}
	if err := b.worker.link.Post(link.Soon, f); err != nil {
		b.answer(id, nil) // nobody else will
		return nil, fmt.Errorf("multiprolab: a task could not be asked for: %w", err)
	}
	defer stall(ctx)()
	var cancelled error
	done := ctx.Done()
	for {
		select {
		case t := <-answer:
			switch {
			case t != nil: // even if ctx has ended meanwhile: it has been taken
				return t, b.worker.tellFirst() // as in work
			case b.isSealed() || b.worker.ctx.Err() != nil:
				return nil, b.worker.stopCause()
			case cancelled != nil || !wait:
				return nil, cmp.Or(cancelled, ErrNoTask)
			}
			select { // main gives this worker nothing more, and is about to end it
			case <-b.worker.ctx.Done():
				return nil, b.worker.stopCause()
			case <-done:
				return nil, causeOf(ctx)
			}
		case <-done:
			cancelled, done = causeOf(ctx), nil
			b.worker.link.Tell(link.Soon, &wire.Frame{Kind: wire.FetchCancel, ID: id}) // main answers in any case
		case <-b.worker.whole.Done():
			return nil, b.worker.stopCause()
		}
	}
}

// ended is part of taskHome.
func (b *taskInbox) ended(t *Task, how link.Haste, outcome *wire.Frame) {
	b.mu.Lock()
	delete(b.active, t.ID)
	b.mu.Unlock()
	b.worker.link.Answer(how, outcome)
}

// report is part of taskHome.
func (b *taskInbox) report(ctx context.Context, f *wire.Frame) error {
	return b.worker.out.send(ctx, f, nil, false)
}

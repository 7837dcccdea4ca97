package multiprolab

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
	"weak"

	"github.com/multiprolab/multiprolab/internal/goroutine"
	"github.com/multiprolab/multiprolab/internal/inspect"
	"github.com/multiprolab/multiprolab/internal/link"
	"github.com/multiprolab/multiprolab/internal/lockorder"
	"github.com/multiprolab/multiprolab/internal/logbook"
	"github.com/multiprolab/multiprolab/internal/outbox"
	"github.com/multiprolab/multiprolab/internal/proc"
	"github.com/multiprolab/multiprolab/internal/shared"
	"github.com/multiprolab/multiprolab/internal/wire"
)

// Worker is a worker's own view of itself. It exists in the worker process only, where the setup
// function gets it. Handlers, tasks and actions of one worker run one at a time; all methods may be
// called from any goroutine, but those that register something only in the setup function.
type Worker struct {
	*node            // what a worker has in common with main
	pool  string     // the name that was registered; does not change
	role  workerRole // what the process was started as; does not change
	// link is this end of the wire to main. It is nil in a process that only passes through this
	// setup function, see passThrough. It does not change once the worker is connected.
	link  *link.Link
	queue *TaskQueue     // this worker's door to the queue; for any goroutine
	inbox taskInbox      // the tasks that main has handed to the worker, with a lock of its own
	logs  logbook.Outlet // the way of the worker's log to main, which guards itself
	// shares is the shared data. It guards itself, and the field does not change.
	shares *shared.Subscriber

	workerContexts // the contexts of what users' functions do
	workerSetup    // what the worker is told before its setup function runs, and what that asks for
	workerMail     // what it sends main, and what it tells main of what has come
	workerKnown    // what main has told it about other workers
	workerReader   // what belongs to the goroutine that reads the wire
	workerEnd      // how the worker ends
	workerPlace    // which instance the worker is
}

// workerContexts is the contexts of a worker. It exists in the worker process. It does not change
// after newWorker; any goroutine may use it.
type workerContexts struct {
	ctx    context.Context         // ends when exit is requested
	cancel context.CancelCauseFunc // ends ctx
	whole  context.Context         // ends when the worker must end at once, and ctx with it
	kill   context.CancelCauseFunc // ends whole
}

// workerMail is the worker's end of messages, calls and tasks that go between it and main. It
// exists in the worker process. Its parts guard themselves; any goroutine may use it.
type workerMail struct {
	out      *outbox.Outbox  // what is sent to main; does not change after newWorker
	starving outbox.Starving // its loop's waits for room in out
	receipts outbox.Receipts // what main is told of the messages that have come
}

// workerKnown is what main has told the worker about other workers. It exists in the worker
// process. Any goroutine may use it.
type workerKnown struct {
	knownMu lockorder.Mutex[lockorder.Leaf] // guards every other field
	known   []string                        // the names of the pools and of main, for the texts of errors
	pools   map[string]int                  // the sizes of the pools
}

// workerReader is what belongs to the goroutine that reads the worker's wire. It exists in the
// worker process.
type workerReader struct {
	// seen is what ran on the loop when main last asked for a sign of life. It may have ended
	// since: a weak pointer does not keep its body in memory.
	seen weak.Pointer[scope]
	// seenAt is when main asked for the first time while seen was running.
	seenAt time.Time
	// came is how many one-way messages have come.
	came uint64
	// waiting says that the loop waits while somebody else reads the wire. The loop writes it.
	waiting atomic.Bool
	// answers are the stacks and profiles that main has asked for. They guard themselves.
	answers inspect.Answers
}

// workerEnd is how the worker ends. It exists in the worker process. Any goroutine may use it.
type workerEnd struct {
	exitReq   sync.Once                  // asks main only once for the end of the program
	recycle   sync.Once                  // asks main only once to replace the worker
	leave     sync.Once                  // tells main only once that the worker leaves
	exitValue atomic.Pointer[wire.Frame] // the exit value, which is sent behind everything else; nil if there is none
	ended     atomic.Bool                // the exit value has been sent
	why       atomic.Pointer[error]      // why the worker has to end, as main says it; nil until main does
	// die ends the worker at once, see Worker.live. With Config.InProcess it returns. It does not
	// change once the worker lives.
	die func(report string)
	// died is closed by die with Config.InProcess; it is nil in a process of its own. It does not
	// change once the worker lives.
	died chan struct{}
}

// Name returns the name of this instance, such as "thumbnailer/2". A spare, see WorkerConfig.Spare,
// is called "thumbnailer/spare.0" or so until it gets a place; that is before its first handler,
// task or action, but mostly after its setup function.
func (w *Worker) Name() string { return w.name() }

// Pool returns the name that was registered, such as "thumbnailer".
func (w *Worker) Pool() string { return w.pool }

// Index returns the number of this instance, from 0. It is -1 as long as the worker is a spare that
// has no place.
func (w *Worker) Index() int { return max(w.numbers.Load().index, -1) }

// Life returns 1 in the first process of this instance, 2 in its replacement, and so on. As long as
// the worker is a spare that has no place, it is the number of that spare's process.
func (w *Worker) Life() int { return w.numbers.Load().life }

// Receiver returns the receiver of this worker.
func (w *Worker) Receiver() *MessageReceiver { return w.receiver }

// Router returns this worker's way to main and the other workers, to send messages without the
// generic functions.
func (w *Worker) Router() *MessageRouter { return &w.routes }

// Tasks returns this worker's door to the task queue.
func (w *Worker) Tasks() *TaskQueue { return w.queue }

func (w *Worker) self() *node { return w.node }

// Action runs fn at once and then at the interval every; what it misses while a handler runs is
// left out. An interval of zero runs fn on every turn of the loop, between two of which the waiting
// messages and one task are handled: the worker then never sleeps unless fn does. fn's context ends
// when exit is requested. An error ends the worker, which is then replaced as its config says.
func (w *Worker) Action(every time.Duration, fn func(ctx context.Context) error) {
	w.addAction("Action", every, fn)
}

// After runs fn once, after the time d. Otherwise it is like Action, but it may be called at any
// time, also by fn, which then runs again: an interval after its end, say.
func (w *Worker) After(d time.Duration, fn func(ctx context.Context) error) {
	w.addAction("After", d, fn)
}

// Loop gives the main thread of the process to fn once the setup function has returned: for an
// event loop that wants one, such as that of a GUI toolkit or an HTTP server. Messages, tasks and
// actions are handled beside it, on another goroutine. fn's context ends when exit is requested; fn
// should return then. If it returns before, the worker ends: with its error, or as one that has
// left.
func (w *Worker) Loop(fn func(ctx context.Context) error) {
	if fn == nil {
		registrationPanic("Loop: the function is nil (%s)", callSite())
	}
	if w.foreign != nil {
		at := callSite()
		registrationPanic("Loop is called twice in worker %s: one process has one main thread (%s)", w.name(), at)
	}
	w.foreign = fn
}

// OnExit registers a function that is called once when the worker ends gracefully, after its last
// handler; the last registered is called first. Its context ends after Config.TeardownTimeout. An
// error is reported to main. No handler, task or action runs any more, but the worker still is
// connected:
//
//	in the function                the worker alone ends, or is replaced  the program ends
//	SetExitValue                   works                                  works
//	Send, Broadcast, Call to main  works                                  works
//	... to a worker that it Needs  works                                  works
//	... to another worker          works                                  until its end, then a
//	                                                                      DeadLetter, or ErrStopped
//	Send to itself                 its replacement gets the message       a DeadLetter
//	Call to itself                 waits until the context ends           ErrStopped
//	Submit, Do, Map                works, if another worker takes it      the outcome is ErrStopped
//	Get, TryGet of a task          ErrStopped                             ErrStopped
//	Exit                           works                                  has no effect
//	Action, After                  has no effect                          has no effect
func (w *Worker) OnExit(fn func(ctx context.Context) error) {
	if fn == nil {
		registrationPanic("OnExit: the function is nil (%s)", callSite())
	}
	w.onExit = append(w.onExit, fn)
}

// SetExitValue leaves a value to main, which gets it with the event WorkerStopped when this worker
// ends gracefully. It may be called at any time, in an OnExit function as well; the last value
// counts.
func (w *Worker) SetExitValue(v any) error {
	p, err := w.encode(MainName, "exit value", v)
	if err != nil {
		return err
	}
	if w.link == nil {
		return ErrNotWorker
	}
	f := &wire.Frame{Kind: wire.ExitValue}
	link.SetBody(f, p)
	if w.ended.Load() {
		return fmt.Errorf("multiprolab: worker %s has ended, its exit value is not taken any more: %w", w.name(),
			w.stopCause())
	}
	w.exitValue.Store(f)
	return nil
}

// Exit asks for the end of the whole program, as Main.Exit does.
func (w *Worker) Exit() {
	if w.link != nil {
		w.exitReq.Do(func() { w.link.Tell(link.Soon, &wire.Frame{Kind: wire.ExitRequest}) })
	}
}

// Recycle asks main to replace this worker by a fresh one, as MaxTasks does: it gets no further
// tasks, finishes the task and the messages that it has, gives back the tasks that it has not
// started, and ends. It costs no task an attempt, and does not count as a restart. Recycle returns
// at once. It may be called at any time; before the worker is ready it counts from then on. Between
// lives that end so within WorkerConfig.RestartDelay, and have done nothing, there are pauses,
// which grow as those between failures do and count from when the worker became ready.
func (w *Worker) Recycle() { w.askToGo(&w.recycle, 0) }

// Leave is Recycle for a worker that is not to be replaced: its place stays empty, as with
// RestartNever, and the others go on. What is sent to it after that fails; a spare takes no place.
func (w *Worker) Leave() { w.askToGo(&w.leave, wire.FlagForGood) }

// askToGo asks main, once, to let the worker go: at once, or when it has said that it is ready.
func (w *Worker) askToGo(once *sync.Once, how wire.Flags) {
	if w.link == nil {
		return
	}
	once.Do(func() {
		ask := func() { w.link.Tell(link.Soon, &wire.Frame{Kind: wire.Retire, Flags: how}) }
		if goroutine.Closed(w.said) {
			ask()
			return
		}
		go func() { // ends when the worker is ready, or when it ends
			select {
			case <-w.said:
				ask()
			case <-w.whole.Done():
			}
		}()
	})
}

// HandleTask registers the handler of a task type. It panics if the type has a handler already; the
// text names both places. The function HandleTask is its typed form.
func (w *Worker) HandleTask(typ string, fn TaskHandler) {
	if fn == nil {
		registrationPanic("the handler of task type %q is nil (%s)", typ, callSite())
	}
	w.inbox.register(typ, fn, callSite(), w.ready)
}

// PullTasks declares that this worker takes the tasks of the types with TaskQueue.Get and TryGet,
// in its own time, instead of having a handler called. Call it in the setup function.
func (w *Worker) PullTasks(types ...string) {
	for _, typ := range types {
		w.inbox.register(typ, nil, callSite(), w.ready)
	}
}

// stopCause returns the error of everything that comes too late in this worker: ErrStopped, with
// the cause of the end if main has told it.
func (w *Worker) stopCause() error {
	if why := w.why.Load(); why != nil {
		return *why
	}
	return ErrStopped
}

// weigh asks main to replace this worker once it holds more memory than it may after a task.
func (w *Worker) weigh() {
	if w.maxRSS <= 0 || w.heavy {
		return
	}
	if rss, err := proc.RSS(); err == nil && rss-w.shares.Size() > w.maxRSS {
		w.heavy = true
		w.link.Tell(link.Soon, &wire.Frame{Kind: wire.Retire})
	}
}

package multiprolab

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
	"weak"

	"github.com/multiprolab/multiprolab/internal/link"
	"github.com/multiprolab/multiprolab/internal/lockorder"
	"github.com/multiprolab/multiprolab/internal/mail"
	"github.com/multiprolab/multiprolab/internal/wire"
)

// Worker is a worker's own view of itself. It exists in the worker process only, where the setup
// function gets it. Handlers, tasks and actions of one worker run one at a time; all methods may be
// called from any goroutine, but those that register something only in the setup function.
type Worker struct {
	*node
	pool  string     // the name that was registered
	index int        // the number of this instance, from 0
	life  int        // 1 in the first process of this instance
	role  workerRole // what the process was started as
	link  *link.Link // nil in a process that only passes through this setup function: see passThrough
	out   *outbox    // what is sent to main
	queue *TaskQueue // this worker's door to the queue
	inbox taskInbox  // the tasks that main has handed to it

	ctx    context.Context         // ends when exit is requested
	cancel context.CancelCauseFunc // of ctx
	whole  context.Context         // the whole life: ends when the worker must end at once; above ctx
	kill   context.CancelCauseFunc // of whole

	workerSetup
	workerReceipts
	workerReader
	workerEnd
}

// workerReceipts is what the worker tells main of its messages, and what main has told it of other
// workers. It exists in the worker process. Any goroutine may use it.
type workerReceipts struct {
	ackMu    lockorder.Mutex[lockorder.Receipts] // guards every other field
	receipts mail.Receipts                       // what main is to be told of the messages that have left the inbox
	window   int64                               // of main's messages, in bytes
	starving map[uint64]chan error               // where main's refusal goes, by the number of the wait for room
	known    []string                            // the receivers that there are, for errors
	pools    map[string]int                      // the sizes of the pools
}

// workerReader is what belongs to who reads the worker's wire. It exists in the worker process.
type workerReader struct {
	// seen is what ran when main last asked for a sign of life, which may have ended since: its
	// body is not kept.
	seen weak.Pointer[scope]
	// seenAt is when that was.
	seenAt time.Time
	// came is how many one-way messages have come.
	came uint64
	// waiting says that the loop waits for somebody else to read the wire. The loop writes it.
	waiting atomic.Bool
}

// workerEnd is how the worker ends. It exists in the worker process. Any goroutine may use it.
type workerEnd struct {
	exitReq   sync.Once                  // main is asked for the end of the program once
	exitValue atomic.Pointer[wire.Frame] // to be sent behind everything else; nil if there is none
	ended     atomic.Bool                // the exit value has been sent
	why       atomic.Pointer[error]      // it is told to end, as main says it; nil until then
	die       func(report string)        // ends it at once, see Worker.live; with Config.InProcess it returns
	died      chan struct{}              // closed by die then; nil in a process of its own
}

// Name returns the name of this instance, such as "thumbnailer/2".
func (w *Worker) Name() string { return w.name }

// Pool returns the name that was registered, such as "thumbnailer".
func (w *Worker) Pool() string { return w.pool }

// Index returns the number of this instance, from 0.
func (w *Worker) Index() int { return w.index }

// Life returns 1 in the first process of this instance, 2 in its replacement, and so on.
func (w *Worker) Life() int { return w.life }

// Receiver returns the receiver of this worker.
func (w *Worker) Receiver() *MessageReceiver { return w.receiver }

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

// Every runs fn at the interval every, the first time after one interval. Otherwise it is like
// Action.
func (w *Worker) Every(every time.Duration, fn func(ctx context.Context) error) {
	w.addAction("Every", every, fn)
}

// After runs fn once, after the time d. Otherwise it is like Action.
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
		registrationPanic("Loop is called twice in worker %s: one process has one main thread (%s)", w.name, callSite())
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
//	GetTask, TryGetTask            ErrStopped                             ErrStopped
//	Exit                           works                                  has no effect
//	Action, Every, After           has no effect                          has no effect
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
	setPayload(f, p)
	if w.ended.Load() {
		return fmt.Errorf(
			"multiprolab: worker %s has ended, its exit value is not taken any more: %w",
			w.name,
			w.stopCause(),
		)
	}
	w.exitValue.Store(f)
	return nil
}

// Exit asks main to end the whole program, as Main.Exit does.
func (w *Worker) Exit() {
	if w.link != nil {
		w.exitReq.Do(func() { w.link.Tell(link.Soon, &wire.Frame{Kind: wire.ExitRequest}) })
	}
}

// HandleTask registers the handler of a task type. It panics if the type has one already, with both
// places. The function HandleTask is its typed form.
func (w *Worker) HandleTask(typ string, fn TaskHandler) {
	if fn == nil {
		registrationPanic("the handler of task type %q is nil (%s)", typ, callSite())
	}
	w.inbox.register(typ, fn, callSite(), w.ready)
}

// PullTasks declares that this worker takes the tasks of the types with GetTask and TryGetTask, in
// its own time, instead of having a handler called. Call it in the setup function.
func (w *Worker) PullTasks(types ...string) {
	for _, typ := range types {
		w.inbox.register(typ, nil, callSite(), w.ready)
	}
}

// tellFirst makes sure that main will know what was posted, whatever happens to this process from
// now on.
func (w *Worker) tellFirst() error {
	if w.link.Recorded() {
		return nil
	}
	return w.link.Flush()
}

// stopCause returns what ends everything that comes too late in this worker: ErrStopped, with the
// cause of the end if main has told it.
func (w *Worker) stopCause() error {
	if why := w.why.Load(); why != nil {
		return *why
	}
	return ErrStopped
}

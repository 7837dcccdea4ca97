package multiprolab

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"
	"weak"

	"github.com/multiprolab/multiprolab/internal/codec"
	"github.com/multiprolab/multiprolab/internal/life"
	"github.com/multiprolab/multiprolab/internal/link"
	"github.com/multiprolab/multiprolab/internal/mail"
	"github.com/multiprolab/multiprolab/internal/pack"
	"github.com/multiprolab/multiprolab/internal/proc"
	"github.com/multiprolab/multiprolab/internal/wire"
)

// Worker is a worker's own view of itself. It exists in the worker process only, where the setup
// function gets it. Handlers, tasks and actions of one worker run one at a time; all methods may be
// called from any goroutine, but those that register something only in the setup function.
type Worker struct {
	*node
	pool  string
	index int
	life  int
	role  workerRole
	link  *link.Link // nil in a process that only passes through this setup function: see passThrough
	out   *outbox
	queue *TaskQueue
	inbox taskInbox

	ctx    context.Context // ends when exit is requested
	cancel context.CancelCauseFunc
	whole  context.Context // the whole life: ends when the worker must end at once; above ctx
	kill   context.CancelCauseFunc

	known    []string       // receivers, for errors
	pools    map[string]int // their sizes
	teardown time.Duration
	left     func(m *Message, bytes int64, gone bool) // ack
	window   int64                                    // of main's messages, in bytes; guarded by ackMu
	ackMu    sync.Mutex                               // guards receipts, window, starving, known and pools
	// receipts is what main is to be told of the messages that have left the inbox; guarded by
	// ackMu.
	receipts mail.Receipts
	// starving is the waits of the loop for room, by their numbers: where main's refusal goes;
	// guarded by ackMu.
	starving map[uint64]chan error

	foreign func(context.Context) error
	onExit  []func(context.Context) error
	ready   bool
	maxRSS  int64 // bytes; 0: none
	heavy   bool  // it has asked to be replaced; used by the loop
	// seen is what ran when main last asked for a sign of life, which may have ended since: its
	// body is not kept. It is used by the reader, as is seenAt.
	seen      weak.Pointer[scope]
	seenAt    time.Time
	waiting   atomic.Bool   // the loop waits for somebody else to read the wire
	came      uint64        // one-way messages so far; used by who reads
	said      chan struct{} // closed when main has been told that the worker is ready
	exitReq   sync.Once
	exitValue atomic.Pointer[wire.Frame] // to be sent behind everything else; nil if there is none
	ended     atomic.Bool                // the exit value has been sent
	why       atomic.Pointer[error]      // it is told to end, as main says it; nil until then
	die       func(report string)        // ends it at once, see Worker.live; with Config.InProcess it returns
	died      chan struct{}              // closed by die then; nil in a process of its own
	// notes that the calling goroutine is one of this worker's; nil in a process of its own
	aboard  func() (leave func())
	welcome *life.Welcome // set before the setup function runs
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

// applyLimits limits this process as its config says, before user code of the worker runs.
func applyLimits(wl *life.Welcome) error {
	if wl.MemoryLimit > 0 {
		if err := proc.LimitMemory(wl.MemoryLimit); err != nil {
			return fmt.Errorf(
				"multiprolab: WorkerConfig.MemoryLimit of %d bytes cannot be set: %w",
				wl.MemoryLimit,
				err,
			)
		}
	}
	if err := wl.Limits.Apply(); err != nil {
		return NoRetry(fmt.Errorf("multiprolab: the worker's process cannot be set up: %w", err))
	}
	return nil
}

// newWorker makes the worker of a role. Its wire is connected by run.
func newWorker(role workerRole, c *codec.Codec, cfg *Config) *Worker {
	w := &Worker{role: role, pool: role.pool, index: role.index, life: role.life, window: int64(cfg.Window),
		said: make(chan struct{})}
	w.node = newNode(instanceName(role.pool, role.index), c, cfg.MaxMessageSize, cfg.Window)
	w.up, w.receiver.mute = (*workerUplink)(w), true
	w.stopped = w.stopCause
	w.overdue, w.mostCalls = w.reportOverdue, maxCalls
	w.left = w.ack
	w.queue = &TaskQueue{node: w.node}
	w.inbox.worker = w
	w.loop.task = w.inbox.work
	w.out = newOutbox(int64(cfg.Window), false)
	w.out.starve = w.starve
	w.whole, w.kill = context.WithCancelCause(context.Background())
	w.ctx, w.cancel = context.WithCancelCause(w.whole)
	return w
}

// serve is the life of a worker from hello to goodbye, on the calling goroutine, which in a worker
// process is the main one. It returns when everything has been said; the wire is flushed by its
// owner. what is for live.
func (w *Worker) serve(setup func(context.Context, *Worker) error, identity string, what *string) error {
	say := func(kind wire.Kind, v pack.Packed) error {
		defer w.link.Push() // here, so that nobody has to be woken for it
		return w.link.Post(link.Quietly, packedFrame(kind, v))
	}
	if err := say(wire.Hello, &life.Hello{Identity: identity, Shares: w.link.Shares()}); err != nil {
		return err
	}
	wl := w.welcome
	if wl.Identity != identity {
		return errors.New(replaced)
	}
	w.know(wl.Pools)
	w.out.attach(w.link, wl.Credit)
	if w.role.process {
		if err := applyLimits(wl); err != nil {
			return errors.Join(err, say(wire.Ready, &readiness{Failure: packedError(w.remote("", err))}))
		}
	}

	*what = "its setup function"
	err := w.setUp(setup)
	*what = ""
	w.ready = true
	if w.role.process {
		<-proc.Guarded()
	}
	r := readiness{}
	r.Tasks, r.Pulls = w.inbox.types()
	if err != nil {
		r.Failure = packedError(w.remote("", err))
	}
	if sayErr := say(wire.Ready, &r); sayErr != nil || err != nil {
		return errors.Join(err, sayErr)
	}
	close(w.said)

	if w.foreign == nil {
		w.role.releaseThread()
		err = w.loop.run(w.whole)
	} else {
		*what = "the function of Worker.Loop"
		err = w.host()
	}
	w.cancel(ErrExit)
	w.receiver.seal(w.stopCause())
	w.inbox.seal()
	teardown, cancel := context.WithTimeout(w.whole, w.teardown)
	defer cancel()
	*what = "a function of Worker.OnExit"
	for _, fn := range slices.Backward(w.onExit) {
		err = errors.Join(err, fn(teardown))
	}
	w.out.close(w.stopCause()) // goroutines that still send are told
	w.flushAcks()
	w.ended.Store(true)
	if value := w.exitValue.Load(); value != nil {
		err = errors.Join(err, w.link.Post(link.Quietly, value))
	}
	f := life.Farewell{}
	if err != nil && !errors.Is(err, ErrExit) {
		f.Failure = packedError(w.remote("", err))
	}
	return errors.Join(err, w.link.PostLast(packedFrame(wire.Bye, &f)))
}

// host runs somebody else's event loop on this goroutine, and the worker's own loop beside it.
func (w *Worker) host() error {
	own := make(chan error, 1)
	go func() { // ends with the loop: by exit, by an error of an action, or below
		if w.aboard != nil {
			defer w.aboard()()
		}
		err := w.live(func() error { return w.loop.run(w.whole) }, new(string))
		w.cancel(ErrExit)
		own <- err
	}()
	err := w.foreign(w.ctx)
	if endedBy(w.ctx, err) {
		err = nil
	}
	w.loop.exit(FinishRunning)
	select {
	case ownErr := <-own:
		return errors.Join(err, ownErr)
	case <-w.died:
		return errGoexit
	}
}

// receive handles a frame from main. It runs on the goroutine that reads the wire, and so never
// waits.
func (w *Worker) receive(f *wire.Frame) (served bool, err error) {
	served = w.waiting.Load() // the loop, which will read next
	return served, w.take(f)
}

func (w *Worker) take(f *wire.Frame) error {
	switch f.Kind {
	case wire.Welcome:
		var wl life.Welcome
		if err := unmarshalBody(f, &wl); err != nil {
			return err
		}
		w.adopt(&wl)
		w.welcome = &wl
	case wire.Pools:
		var pools life.Pools
		if err := unmarshalBody(f, &pools); err != nil {
			return err
		}
		w.know(pools)
	case wire.Exit:
		mode := ShutdownMode(f.ExitMode())
		w.toldExit(f)
		w.loop.exit(mode) // first: an action that gets ErrStopped from GetTask must find that its context has ended
		if mode == FinishRunning {
			w.inbox.seal()
		}
		w.cancel(ErrExit) // who sees this sees no further task begin
	case wire.Credit:
		w.out.granted(f.Credit())
	case wire.Message, wire.Call:
		m := &Message{
			Sender:   f.From,
			Receiver: w.name,
			Type:     f.Type,
			payload:  payloadOf(f),
			size:     cost(f),
			scope:    scope{node: w.node},
			chain:    f.Meta,
			left:     w.left,
		}
		if f.Kind == wire.Call {
			m.id, m.scope.limit = f.ID, limitIn(f)
			m.reply = func(r *reply) { w.link.Answer(link.Lazily, replyFrame(wire.Reply, m.id, r)) }
		} else {
			w.came++
			m.serial = w.came
		}
		w.receiver.deliver(m)
	case wire.Reply:
		w.answer(f.ID, replyOf(f))
	case wire.Cancel:
		if f.Type == "call" {
			w.receiver.cancel(f.ID, f.From, nil, f.Flags&wire.FlagSoft != 0)
		} else {
			w.inbox.cancel(f.ID, f.Flags&wire.FlagSoft != 0)
		}
	case wire.Dump:
		w.dump()
	case wire.Beat:
		number, _ := f.Beat()
		w.answerBeat(number)
	case wire.Recall:
		w.inbox.giveBack(f.ID)
	case wire.Task:
		return w.inbox.deliver(f)
	case wire.NoTask:
		w.inbox.answer(f.ID, nil)
	case wire.Accepted:
		if s := w.submission(f.ID, false); s != nil {
			close(s.accepted)
		}
	case wire.Progress:
		if s := w.submission(f.ID, false); s != nil {
			s.addProgress(
				&Message{
					Sender:   f.From,
					Receiver: w.name,
					Type:     f.Type,
					payload:  payloadOf(f),
					scope:    scope{node: w.node},
				},
			)
		}
	case wire.Result:
		w.resolve(f.ID, replyOf(f))
	case wire.Await:
		w.refused(f.ID, f.Spell(), w.recognise(unmarshalError(f.Body)))
	default:
		return lie("main sent a %v frame", f.Kind)
	}
	return nil
}

// starveTime is after what time main is asked again whether a wait for room may go on: messages
// that were on their way then have been taken, mostly.
const starveTime = 50 * time.Millisecond

// starve tells main that the loop waits for room for what it sends. It returns where the error
// comes that it must not, and what tells the end of the wait. When the function that waits has
// returned, of which loop is the scope, the loop goes on, and main is told no more.
func (w *Worker) starve(loop *scope) (refused <-chan error, over func()) {
	id, ch := w.nextID(), make(chan error, 1)
	w.ackMu.Lock()
	if w.starving == nil {
		w.starving = map[uint64]chan error{}
	}
	w.starving[id] = ch
	w.ackMu.Unlock()
	ask := func() {
		w.out.inOrder(func() {
			if !loop.over.Load() {
				w.link.Tell(link.Soon, &wire.Frame{Kind: wire.Await, Type: awaitRoom, ID: id})
			}
		})
	}
	ask()
	ended := make(chan struct{})
	go func() { // ends with the wait
		again := time.NewTicker(starveTime)
		defer again.Stop()
		for {
			select {
			case <-again.C:
				ask()
			case <-ended:
				return
			}
		}
	}()
	return ch, func() {
		close(ended)
		w.ackMu.Lock()
		delete(w.starving, id)
		w.ackMu.Unlock()
		w.link.Tell(link.Soon, &wire.Frame{Kind: wire.Await, Type: awaitRoom, Flags: wire.FlagSoft, ID: id})
	}
}

// refused ends a wait of the loop that would be in a circle: for a task, or for room.
func (w *Worker) refused(id, spell uint64, err error) {
	if s := w.submission(id, false); s != nil {
		s.refuse(spell, err)
		return
	}
	w.ackMu.Lock()
	defer w.ackMu.Unlock()
	if ch := w.starving[id]; ch != nil && len(ch) == 0 {
		ch <- err
	}
}

// answerBeat is the worker's answer to a question for a sign of life, by its number. It runs on the
// goroutine that reads the wire.
func (w *Worker) answerBeat(number uint64) {
	var what string
	var since time.Duration
	if s := w.current.Load(); s == nil {
		w.seen = weak.Pointer[scope]{}
	} else {
		if seen := weak.Make(s); seen != w.seen {
			w.seen, w.seenAt = seen, time.Now()
		}
		what, since = s.what(), time.Since(w.seenAt)
	}
	w.link.Tell(link.Quietly, wire.NewBeat(number, what, since))
	w.link.Push() // it never waits, and mostly nobody has to be woken for it
}

// reportOverdue tells main that a handler or an action has run too long.
func (w *Worker) reportOverdue(s *scope, d time.Duration) {
	w.link.Tell(link.Soon, wire.NewOverdue(s.what(), d))
}

// dump sends main the stacks of all goroutines. It runs on the goroutine that reads the wire,
// beside a handler that spins, and writes at once, for the process may be killed in a moment. It
// does not wait for the pipe: main may read on only when this goroutine does.
func (w *Worker) dump() {
	buf := make([]byte, life.MaxStacks)
	buf = buf[:runtime.Stack(buf, true)]
	w.link.Tell(link.Soon, &wire.Frame{Kind: wire.Stacks, Body: buf})
	w.link.Push()
}

// adopt takes over the limits of main, which may have been configured from what only main knew.
func (w *Worker) adopt(wl *life.Welcome) {
	w.maxBody, w.maxRSS, w.teardown, w.handlerTimeout = wl.MaxBody, wl.MaxRSS, wl.Teardown, wl.HandlerTimeout
	w.link.Limit(wl.MaxBody)
	if wl.MemoryLimit > 0 || wl.MaxRSS > 0 {
		w.link.Frugal()
	}
	if wl.Shares {
		w.link.StartSharing()
	}
	w.out.resize(int64(wl.Window))
	w.receiver.resize(int64(wl.Window))
	w.ackMu.Lock()
	defer w.ackMu.Unlock()
	w.window = int64(wl.Window)
}

// know takes in which receivers there are.
func (w *Worker) know(pools map[string]int) {
	w.ackMu.Lock()
	defer w.ackMu.Unlock()
	w.known, w.pools = append(poolNames(pools), MainName), pools
}

// ack gathers what main is to be told of messages; idle, or a quarter of the window, tells it. The
// credit is some of what the message cost or, if the message is gone from the inbox, the rest.
func (w *Worker) ack(m *Message, bytes int64, gone bool) {
	w.ackMu.Lock()
	due := w.receipts.Credit(bytes, w.window)
	alone := false
	if gone && m.serial > 0 { // what becomes of a call its caller is told
		before := w.receipts.UpTo()
		alone = !w.receipts.Done(m.serial) && !m.told
		if now := w.receipts.UpTo(); now != before {
			w.link.Count(now) // which main reads if this process dies before it has sent the credit
		}
	}
	w.ackMu.Unlock()
	if alone {
		w.link.Tell(link.Lazily, wire.NewCreditAlone(m.serial))
	}
	if due {
		w.flushAcks()
	}
}

func (w *Worker) flushAcks() {
	w.ackMu.Lock()
	defer w.ackMu.Unlock()
	if bytes, upTo, ok := w.receipts.Take(); ok {
		w.link.Tell(link.Lazily, wire.NewCredit(bytes, upTo))
	}
}

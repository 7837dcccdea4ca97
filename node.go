package multiprolab

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/multiprolab/multiprolab/internal/codec"
	"github.com/multiprolab/multiprolab/internal/contexts"
	"github.com/multiprolab/multiprolab/internal/link"
	"github.com/multiprolab/multiprolab/internal/lockorder"
	"github.com/multiprolab/multiprolab/internal/meta"
	"github.com/multiprolab/multiprolab/internal/wire"
)

// node is what a Main and a Worker have in common: a name, a receiver with its loop, and a way to
// the other processes. It exists in main and in each worker. The fields without a remark do not
// change once the process handles messages, and any goroutine may read them.
type node struct {
	stage                     // where the functions of the process run, and how it encodes and decodes
	receiver *MessageReceiver // has the inbox and the handlers of the process
	loop     *loop            // runs the handlers, tasks and actions of the process
	up       uplink           // the way to the other processes
	routes   MessageRouter    // this way as users see it

	mostCalls int // how many calls may wait for their replies; 0 means no limit

	outstanding // the calls and the tasks of the process
}

// outstanding is the calls and tasks of a process that have no outcome. It exists in every process.
// Any goroutine may use it.
type outstanding struct {
	mu     lockorder.Mutex[lockorder.Leaf] // guards every other field
	lastID uint64                          // the number of the last call or task of this process
	calls  map[uint64]chan *reply          // where the replies go that are waited for, by the numbers of the calls
	// submissions is the tasks of this process that have no outcome, by their numbers.
	submissions map[uint64]*submission
	closed      error // why no call and no task is answered any more, or nil
}

// uplink is the way of a node to the other processes: the router itself in main, the wire in a
// worker.
type uplink interface {
	postbox    // what the receiver and the loop need
	taskKeeper // what a submission needs
	// receivers returns the names of all processes that take messages.
	receivers() []string
	// send routes a one-way message, and waits until there is room for it.
	send(ctx context.Context, f *wire.Frame) error
	// call routes a call, and waits until there is room for it. The outcome comes through
	// node.answer. The result says where it comes from.
	call(ctx context.Context, f *wire.Frame) (*replyWay, error)
	// cancelCall takes back a call; way is what call has returned. soft says that its deadline has
	// passed.
	cancelCall(id uint64, way *replyWay, soft bool)
	// submit hands a task to the queue. The outcome comes through node.resolve.
	submit(ctx context.Context, s *submission, f *wire.Frame) error
	// waitsForNothing says that the loop goes on although calls and tasks of its function have no
	// outcome.
	waitsForNothing()
	// batches returns how many workers there may be for batches of tasks of a type with these
	// options, or 0 if such tasks travel one by one.
	batches(typ string, o *TaskOptions) int
}

// replyWay is where the reply to a call comes from. It does not change.
type replyWay struct {
	link   *link.Link  // the wire that the reply comes by; nil if it comes by none
	entry  any         // in main, the *callEntry of a call to a worker; otherwise nil
	others func() bool // reports whether others wait for something that comes by the wire
}

// newNode returns the node of a process.
func newNode(name string, c *codec.Codec, maxBody, window int) *node {
	n := &node{
		stage:       stage{values: values{codec: c, maxBody: maxBody}},
		outstanding: outstanding{calls: map[uint64]chan *reply{}, submissions: map[uint64]*submission{}},
	}
	n.called.set(name)
	n.host, n.routes.process = n, n
	n.receiver = newReceiver(&n.stage, int64(window))
	n.loop = &loop{receiver: n.receiver}
	return n
}

// connect gives the process its way to the others. stopped returns the error, which matches
// ErrStopped, of everything that comes too late.
func (n *node) connect(up uplink, stopped func() error) {
	n.up, n.receiver.up, n.loop.stopped = up, up, stopped
}

// receivers returns the names of all processes that take messages.
func (n *node) receivers() []string { return n.up.receivers() }

// post sends a one-way message, or a broadcast if flags say so, with packed headers.
func (n *node) post(ctx context.Context, flags wire.Flags, receiver, typ string, body any, header string) error {
	e, err := n.seal(ctx, wire.Message, receiver, typ, body)
	if err != nil {
		return err
	}
	defer e.free()
	e.frame.Flags, e.frame.Header = flags, header
	return n.up.send(ctx, &e.frame)
}

// ask sends a call with packed headers, waits for its outcome and decodes it into the value that
// out points to.
func (n *node) ask(ctx context.Context, receiver, typ string, body, out any, header string) error {
	e, err := n.seal(ctx, wire.Call, receiver, typ, body)
	if err != nil {
		return err
	}
	defer e.free()
	f := &e.frame
	loop := scopeOf(ctx)
	f.Meta, f.Header, f.Left = chainOf(ctx), header, contexts.Left(ctx)
	if err := meta.CheckChain(f.Meta); err != nil {
		return &sentinelError{
			fmt.Sprintf("multiprolab: call %q to %s was not made: %v", typ, receiver, err),
			ErrCallCycle,
		}
	}
	answer := make(chan *reply, 1)
	n.mu.Lock()
	if n.closed != nil {
		n.mu.Unlock()
		return n.closed
	}
	if n.mostCalls > 0 && len(n.calls) >= n.mostCalls {
		n.mu.Unlock()
		return &sentinelError{
			fmt.Sprintf(
				"multiprolab: call %q to %s was not made: %d calls of this process wait for their replies already",
				typ, receiver, n.mostCalls,
			),
			ErrBacklog,
		}
	}
	n.lastID++
	id := n.lastID
	f.ID = id // if the call goes on to a worker, the outbox gives it the number that it has there
	n.calls[id] = answer
	n.mu.Unlock()
	defer func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		delete(n.calls, id)
	}()
	defer stall(ctx)()
	way, err := n.up.call(ctx, f)
	if err != nil {
		return err
	}
	loop.goesOn(n.up, id)
	r, ok := link.Await(ctx, way.link, answer, way.others)
	if !ok {
		n.up.cancelCall(id, way, contexts.Expired(ctx))
	} else if err = n.decodeReply(typ, r, out, n.codec.Take); !overtaken(ctx, err) {
		return err
	}
	return fmt.Errorf("multiprolab: call %q to %s: %w", typ, receiver, contexts.CauseOf(ctx))
}

// nextID returns a number that no call and no task of this process has.
func (n *node) nextID() uint64 {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.lastID++
	return n.lastID
}

// waits reports whether a call or a task of this process has not got its outcome.
func (n *node) waits() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return len(n.calls) > 0 || len(n.submissions) > 0
}

// stalled implements stageHost.
func (n *node) stalled(by int) { n.receiver.stalled(by) }

// waitsForNothing implements stageHost.
func (n *node) waitsForNothing() { n.up.waitsForNothing() }

// answer hands the outcome of a call to who waits for it. If nobody waits for it any more, it is
// dropped.
func (n *node) answer(id uint64, r *reply) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if ch := n.calls[id]; ch != nil {
		ch <- r
		delete(n.calls, id)
	}
}

// put hands a task to the queue. With try set it does not wait while the queue is full. waits
// says that the caller waits for the outcome until ctx ends.
func (n *node) put(ctx context.Context, typ string, body any, o *TaskOptions, try, waits bool) (*submission, error) {
	if ctx.Err() != nil {
		return nil, fmt.Errorf("multiprolab: %q was not sent: %w", typ, contexts.CauseOf(ctx))
	}
	p, err := n.encode("", typ, body)
	if err != nil {
		return nil, err
	}
	return n.submitPayload(ctx, typ, p, o, nil, !try, waits)
}

// submitPayload is put for a body that is encoded already. With patient set it waits while the
// queue is full. prepare, if not nil, is called before anybody else can find the submission.
func (n *node) submitPayload(
	ctx context.Context, typ string, p codec.Payload, o *TaskOptions, prepare func(*submission),
	patient, waits bool,
) (*submission, error) {
	if ctx.Err() != nil {
		return nil, fmt.Errorf("multiprolab: %q was not sent: %w", typ, contexts.CauseOf(ctx))
	}
	if err := o.check(); err != nil {
		return nil, err
	}
	if err := checkName("type", typ); err != nil {
		return nil, fmt.Errorf("multiprolab: %w", err)
	}
	loop, chain := scopeOf(ctx), chainOf(ctx)
	if err := meta.CheckChain(chain); err != nil {
		return nil, &sentinelError{fmt.Sprintf("multiprolab: task %q was not submitted: %v", typ, err), ErrCallCycle}
	}
	f := &wire.Frame{Kind: wire.Submit, From: n.name(), Type: typ, Meta: o.marshal(chain, waits)}
	if o != nil {
		f.Header = o.header
	}
	link.SetBody(f, p)
	if patient {
		f.Flags |= wire.FlagWait
	}
	if waits { // the caller waits until ctx ends, and no longer
		f.Left = contexts.Left(ctx)
	}
	s := &submission{
		values:      &n.values,
		up:          n.up,
		typ:         typ,
		accepted:    make(chan struct{}),
		awaited:     waits && chain != "",
		taskOutcome: taskOutcome{done: make(chan struct{})},
	}
	if o != nil && o.OnProgress != nil { // this is set before anybody else can find s
		s.progress, s.news = o.OnProgress, make(chan struct{}, 1)
	}
	if prepare != nil {
		prepare(s)
	}
	if s.streams {
		f.Flags |= wire.FlagStream
	}
	n.mu.Lock()
	if n.closed != nil {
		n.mu.Unlock()
		return nil, n.closed
	}
	n.lastID++
	s.id, f.ID = n.lastID, n.lastID
	n.submissions[s.id] = s
	n.mu.Unlock()
	if err := n.up.submit(ctx, s, f); err != nil {
		n.mu.Lock()
		delete(n.submissions, s.id)
		n.mu.Unlock()
		return nil, err
	}
	if waits {
		loop.goesOn(n.up, s.id)
	}
	return s, nil
}

// submission returns the submission with a number, if it has no outcome, or nil. With remove set it
// forgets the submission.
func (n *node) submission(id uint64, remove bool) *submission {
	n.mu.Lock()
	defer n.mu.Unlock()
	s := n.submissions[id]
	if remove {
		delete(n.submissions, id)
	}
	return s
}

// resolve hands the outcome of a task to its submission. A second outcome is dropped.
func (n *node) resolve(id uint64, r *reply) {
	if s := n.submission(id, true); s != nil {
		s.resolve(r)
	}
}

// close ends every call and every submission that still waits with the error.
func (n *node) close(err error) {
	n.mu.Lock()
	n.closed = err
	submissions := n.submissions
	n.submissions = map[uint64]*submission{}
	for id, ch := range n.calls {
		ch <- &reply{err: err}
		delete(n.calls, id)
	}
	n.mu.Unlock()
	for _, s := range submissions {
		s.resolve(&reply{err: err})
	}
}

// addAction registers an action for the loop, and checks what a user has passed. what is the name
// of the method that the user has called.
func (n *node) addAction(what string, d time.Duration, fn func(context.Context) error) {
	if fn == nil {
		registrationPanic("%s: the function is nil (%s)", what, callSite())
	}
	if d < 0 {
		registrationPanic("%s: the time %v is negative: give zero or more (%s)", what, d, callSite())
	}
	switch what {
	case "Action":
		n.loop.add(fn, 0, d, d == 0)
	case "After":
		n.loop.add(fn, d, 0, false)
	}
}

// overtaken reports whether an error of a handler says no more than that the deadline of ctx has
// passed. Then the caller's wait counts as ended by ctx.
func overtaken(ctx context.Context, err error) bool {
	_, ok := err.(*RemoteError)
	return ok && errors.Is(err, context.DeadlineExceeded) && contexts.Overtaken(ctx)
}

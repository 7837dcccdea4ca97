// Package life is main's end of one worker process, from its start until nothing of it is left.
//
// It knows the process, what the process prints, and what main and the worker say to each other of
// the life itself: welcome and hello, ready and goodbye, signs of life, stacks, the exit value. It
// knows no messages, no tasks and no names of workers; frames about these go to whoever made the
// Life. How a life has ended it says in facts, which are an End: whoever made the Life makes errors
// of them.
//
// Three kinds of goroutines use a Life:
//
//   - The reader reads the wire, and calls Take for each frame.
//   - The goroutine of the life leads it from its start to its end: it alone calls Welcome, Hello,
//     Ready, NewPulse, Attend, KillHung, LeadOut, Drain, WatchMemory and Wait.
//   - Any goroutine may call all other methods at any time.
//
// A Life has two locks, that of what has become known of it and that of its questions. Nothing
// waits, and no other lock is taken, while one of them is held.
package life

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/multiprolab/multiprolab/internal/inspect"
	"github.com/multiprolab/multiprolab/internal/link"
	"github.com/multiprolab/multiprolab/internal/wire"
)

// Options are what a Life is told of the worker. None of them changes later.
type Options struct {
	// Identity is that of main's binary. A worker with another one is foreign.
	Identity string
	// HandlerTimeout is how long a handler of the worker may run. Zero means that there is no
	// limit, and that it is a lie when the worker reports one that has run too long.
	HandlerTimeout time.Duration
	// Ready is called by the reader when the worker's setup function has returned without an error,
	// before Life.Ready returns. An error of it is that of Take.
	Ready func(r *Readiness) error
	// Asked is called by the goroutine of the life whenever the worker is asked for a sign of life.
	Asked func()
}

// Life is main's end of one worker process. It exists in main.
type Life struct {
	// body is what the worker runs in. It has locks of its own.
	body Body
	// link is main's end of the wire. It has locks of its own.
	link *link.Link
	// options are as New got them.
	options Options
	// reading is the protocol as far as the worker has come. The reader alone touches it.
	reading reading
	// signs are the questions that the worker is to answer. Any goroutine may touch them.
	signs signs
	// known is what has become known of the life. Its mutex guards it.
	known known
	// questions are the dumps and profiles that the worker is asked for. They guard themselves.
	questions inspect.Questions

	// hello has room for one: the first frame of the worker, for the goroutine of the life.
	hello chan *Hello
	// ready has room for one: what the worker said when its setup function had returned, for the
	// goroutine of the life.
	ready chan *Readiness
	// hangs has room for one: the report of the worker that a handler has not returned in time, for
	// the goroutine of the life.
	hangs chan *Hang
	// dumps has room for one: it tells the goroutine of the life that the worker has sent its
	// stacks.
	dumps chan struct{}
	// read is closed when the wire has been read to its end.
	read chan struct{}
	// wrote is closed when nothing more is written to the wire.
	wrote chan struct{}
	// drained says that Drain has read what the worker left in its black box. Only the goroutine of
	// the life may touch it.
	drained bool
}

// reading is the protocol as far as the worker has come. It exists in main.
type reading struct {
	// state says which frames are in their turn.
	state state
	// answered is the number of the last question for a sign of life that has its answer.
	answered uint64
	// valued says that the worker has left its exit value, which it may do once.
	valued bool
}

// state is where the worker is in its life, as its frames say.
type state uint8

const (
	stateNew     state = iota // it has said nothing
	stateForeign              // it has said hello, and is of another binary: nothing more is taken from it
	stateHello                // it has said hello
	stateReady                // its setup function has returned
	stateBye                  // it has said goodbye
)

// signs are the questions that a worker is to answer, in main.
type signs struct {
	// asked counts the questions for a sign of life. Each has its number, from 1.
	asked atomic.Uint64
	// beat is the last answer to one of these questions, or nil.
	beat atomic.Pointer[Beat]
	// wanted is how often the worker has been asked for its stacks and has not sent them.
	wanted atomic.Int32
}

// known is what has become known of a life. It exists in main; any goroutine may touch it, under
// its mutex.
type known struct {
	// mu guards every other field.
	mu sync.Mutex
	// reason is why main has ended the life. The first reason stands.
	reason Reason
	// planned says that the life was ended together with a task that had gone on past its grace,
	// and that there was no other reason before.
	planned bool
	// hang is what did not return, if the life was ended because it hung; else nil.
	hang *Hang
	// bye says that the worker has said goodbye.
	bye bool
	// failure is the packed error that it said goodbye with; empty if there was none.
	failure string
	// lost is how many records of its log were lost, as it said goodbye with.
	lost int
	// stacks are those of the worker's goroutines, when it was asked for them; empty until then.
	stacks string
	// value is the frame of the exit value that the worker has left, or nil.
	value *wire.Frame
	// readErr is why the wire is not read any more.
	readErr error
}

// New returns the life of a body whose wire is l. The link's Options.Fail should call Fail.
func New(body Body, l *link.Link, o Options) *Life {
	return &Life{
		body:    body,
		link:    l,
		options: o,
		hello:   make(chan *Hello, 1),
		ready:   make(chan *Readiness, 1),
		hangs:   make(chan *Hang, 1),
		dumps:   make(chan struct{}, 1),
		read:    make(chan struct{}),
		wrote:   make(chan struct{}),
	}
}

// PID returns the number of the process.
func (l *Life) PID() int { return l.body.PID() }

// Glance returns the mark and the count that the worker has set in its black box; see link.Remains.
// It reports false if there is no box. Nothing of it may be trusted.
func (l *Life) Glance() (mark, count uint64, ok bool) {
	box := l.body.Box()
	if box == nil {
		return 0, 0, false
	}
	return link.Glance(box)
}

// Tail returns the end of what the worker has written to its standard error so far.
func (l *Life) Tail() string { return l.body.Tail() }

// Done returns a channel that is closed when the body has ended and nothing of it is left. The wire
// may still hold what it wrote.
func (l *Life) Done() <-chan struct{} { return l.body.Done() }

// Read returns a channel that is closed when the wire has been read to its end.
func (l *Life) Read() <-chan struct{} { return l.read }

// ExitValue returns the frame of the exit value that the worker has left, or nil.
func (l *Life) ExitValue() *wire.Frame {
	l.known.mu.Lock()
	defer l.known.mu.Unlock()
	return l.known.value
}

// Stacks returns the stacks of the worker's goroutines as it has sent them, or "".
func (l *Life) Stacks() string {
	l.known.mu.Lock()
	defer l.known.mu.Unlock()
	return l.known.stacks
}

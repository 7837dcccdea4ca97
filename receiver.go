package multiprolab

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/multiprolab/multiprolab/internal/contexts"
	"github.com/multiprolab/multiprolab/internal/goroutine"
	"github.com/multiprolab/multiprolab/internal/mail"
)

// MessageHandler handles one message. An error is reported to main as an event, and to nobody else:
// the sender of a one-way message has gone on.
type MessageHandler func(ctx context.Context, m *Message) error

// CallHandler handles one call; what it returns goes back to the caller.
type CallHandler func(ctx context.Context, m *Message) (reply any, err error)

// MessageReceiver holds the inbox of one process and the handlers of its message types. There is
// one in main and one in each worker process. Handlers are registered before the process handles
// messages: in main before Run or Start, in a worker in its setup function. They run one at a time,
// on the loop of the process.
type MessageReceiver struct {
	// stage is where the handlers run. It does not change.
	stage *stage
	// up is where the outcomes of one-way messages go. It does not change once messages come.
	up postbox
	// wake has room for one: it tells the loop that there is something to do.
	wake chan struct{}
	// interrupt makes a loop that waits on the wire look at wake; it is nil in main. It does not
	// change once messages come.
	interrupt func()
	// mute says that a message that comes after the receiver was sealed is not reported: main sees
	// in the end that the message has not been handled, and reports it. It is set in workers, and
	// does not change once messages come.
	mute bool
	// begins is called before a handler gets a one-way message of main, with its serial. It is set
	// in a worker that main keeps the messages of until they are handled; otherwise it is nil. It
	// does not change once messages come.
	begins func(serial uint64)
	// room is memory into which the reply to a call is encoded. Only the loop uses it.
	room []byte

	mu       sync.Mutex           // guards handlers, inbox, urgent, running and sealed
	handlers map[string]*handler  // the handlers, by the types of messages
	inbox    mail.Inbox[*Message] // the messages that wait for their turn
	urgent   mail.Notices[func()] // the functions that the loop calls before it handles messages
	running  *Message             // the call whose handler runs, so that it can be cancelled; or nil
	sealed   error                // why no more messages are taken, or nil
}

// postbox is the way to main as far as the receiver and its loop need it. It exists in main and in
// each worker.
type postbox interface {
	// undelivered reports a one-way message that has come to this process and that no handler took.
	undelivered(m *Message, reason error)
	// failed reports the error of a handler of a one-way message.
	failed(m *Message, err error)
	// idle does what waits until the loop has nothing better to do. The loop calls it.
	idle()
	// wait waits for what wakes the loop, but no longer than d. A negative d is never over. The
	// loop calls it when it has nothing to do.
	wait(ctx context.Context, d time.Duration)
}

// handler is the handler of a type of messages. It does not change. Either message or call is set.
type handler struct {
	message MessageHandler // handles one-way messages; nil for a type of calls
	call    CallHandler    // handles calls; nil for a type of one-way messages
	site    *site          // where the handler was registered
}

// newReceiver returns the receiver of a process, in whose inbox one sender may have so many bytes.
func newReceiver(st *stage, window int64) *MessageReceiver {
	r := &MessageReceiver{stage: st, handlers: map[string]*handler{}, wake: make(chan struct{}, 1)}
	r.inbox.Resize(window)
	return r
}

// resize sets how many bytes one sender may have in the inbox, before a message has come.
func (r *MessageReceiver) resize(window int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.inbox.Resize(window)
}

// Handle registers the handler of a message type. It panics if the type has a handler already; the
// text names both places.
func (r *MessageReceiver) Handle(typ string, fn MessageHandler) {
	if fn == nil {
		registrationPanic("the handler of message type %q is nil (%s)", typ, callSite())
	}
	r.register(typ, &handler{message: fn, site: callSite()})
}

// HandleCall registers the handler of a call type. It panics if the type has a handler already; the
// text names both places.
func (r *MessageReceiver) HandleCall(typ string, fn CallHandler) {
	if fn == nil {
		registrationPanic("the handler of call type %q is nil (%s)", typ, callSite())
	}
	r.register(typ, &handler{call: fn, site: callSite()})
}

// register registers a handler.
func (r *MessageReceiver) register(typ string, h *handler) {
	if err := checkName("message type", typ); err != nil {
		registrationPanic("%v (%s)", err, h.site)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if old := r.handlers[typ]; old != nil {
		registrationPanic("message type %q is registered twice, at %s and at %s: choose another type or remove one",
			typ, old.site, h.site)
	}
	r.handlers[typ] = h
}

// types returns the registered types of calls or of one-way messages.
func (r *MessageReceiver) types(calls bool) []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var types []string
	for t, h := range r.handlers {
		if (h.call != nil) == calls {
			types = append(types, t)
		}
	}
	slices.Sort(types)
	return types
}

// deliver puts a message into the inbox. It never waits and runs no handler, so that the goroutine
// that reads the wire may call it. If the inbox refuses the message, deliver answers it.
func (r *MessageReceiver) deliver(m *Message) {
	size := m.size.Load()
	r.mu.Lock()
	verdict, reason := r.inbox.Put(m, size), r.sealed
	r.mu.Unlock() // from now on the message may belong to the loop
	switch {
	case verdict == mail.Backlog:
		r.refuse(m, ErrBacklog)
		return
	case verdict == mail.Sealed && !r.mute:
		r.refuse(m, reason)
		return
	case verdict == mail.Sealed:
		if m.reply != nil {
			m.reply(&reply{err: reason})
		}
		return
	case verdict == mail.Credited && m.left != nil:
		m.left(m, size, false)
	}
	r.wakeLoop()
}

// refuse tells that no handler will see a message: it tells the caller, or main as a dead letter.
func (r *MessageReceiver) refuse(m *Message, reason error) {
	if m.reply != nil {
		m.reply(&reply{err: reason})
	} else {
		r.up.undelivered(m, reason)
	}
	m.leaveInbox() // this comes last, because main takes a message that has left the inbox for seen to
}

// refuseAll refuses messages that were taken out of the inbox.
func (r *MessageReceiver) refuseAll(all []mail.Left[*Message], reason error) {
	for _, l := range all {
		l.Message.size.Store(l.Due)
		r.refuse(l.Message, reason)
	}
}

// stalled counts the waits of the loop for other processes. When the first wait begins, the
// messages in the inbox give their credit back: see stall.
func (r *MessageReceiver) stalled(by int) {
	r.mu.Lock()
	credited := r.inbox.Stall(by)
	r.mu.Unlock()
	for _, l := range credited {
		if l.Message.left != nil {
			l.Message.left(l.Message, l.Due, false)
		}
	}
}

// next takes the oldest message out of the inbox, with the handler of its type, or returns nil.
func (r *MessageReceiver) next() (*Message, *handler) {
	r.mu.Lock()
	defer r.mu.Unlock()
	m, due, ok := r.inbox.Next()
	if !ok {
		return nil, nil
	}
	m.size.Store(due)
	return m, r.handlers[m.Type]
}

// wakeLoop makes the loop look for something to do.
func (r *MessageReceiver) wakeLoop() {
	goroutine.Wake(r.wake)
	if r.interrupt != nil {
		r.interrupt()
	}
}

// Len returns the number of messages in the inbox.
func (r *MessageReceiver) Len() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.inbox.Len()
}

// pending reports whether there is something for the loop to do.
func (r *MessageReceiver) pending() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.inbox.Len() > 0 || r.urgent.Len() > 0
}

// full reports whether the inbox holds as much as it may. It is asked before a message of the
// process to itself, which costs no credit.
func (r *MessageReceiver) full() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.inbox.Full()
}

// handle runs the handler of one message, if there is one for its type, on the calling goroutine,
// which is that of the loop.
func (r *MessageReceiver) handle(ctx context.Context, m *Message, h *handler) {
	if h == nil || (h.call != nil) != (m.reply != nil) {
		verb := "message"
		if m.reply != nil {
			verb = "call"
		}
		known := r.types(m.reply != nil)
		r.refuse(m, &UnknownTypeError{Receiver: r.stage.name(), Verb: verb, Type: m.Type, Known: known})
		return
	}
	s := &m.scope
	s.Parent, s.work = ctx, m
	s.limitTime()
	s.begin()
	if h.call != nil {
		r.setRunning(m)
		value, err := r.runCall(s, h.call, m)
		r.setRunning(nil)
		m.reply(r.stage.outcome(&r.room, m.Type, value, err))
		if cap(r.room) > maxRoom {
			r.room = nil
		}
	} else if err := r.runMessage(s, h.message, m); err != nil {
		if decode := (*DecodeError)(nil); errors.As(err, &decode) && decode.Receiver == r.stage.name() {
			r.up.undelivered(m, err)
		} else {
			r.up.failed(m, r.stage.remote(m.Type, err))
		}
	}
	s.leave()
	m.leaveInbox()
}

// runCall runs the handler of a call.
func (r *MessageReceiver) runCall(s *scope, fn CallHandler, m *Message) (reply any, err error) {
	if r.stage.handling.none() {
		return fn(s, m)
	}
	return handleThrough(s, &r.stage.handling, m.arriving(), fn, m)
}

// runMessage runs the handler of a one-way message.
func (r *MessageReceiver) runMessage(s *scope, fn MessageHandler, m *Message) error {
	if r.begins != nil && m.serial > 0 {
		r.begins(m.serial)
	}
	if r.stage.handling.none() {
		return fn(s, m)
	}
	one := func(ctx context.Context, m *Message) (any, error) { return nil, fn(ctx, m) }
	_, err := handleThrough(s, &r.stage.handling, m.arriving(), one, m)
	return err
}

// setRunning notes the call whose handler runs; nil means that none runs.
func (r *MessageReceiver) setRunning(m *Message) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.running = m
}

// cancel ends the context of a call whose caller does not wait any more, or drops the call if its
// handler has not begun. soft says that the caller's deadline has passed. In main, from is the life
// of the worker that has made the call, or nil if main has made it.
func (r *MessageReceiver) cancel(id uint64, sender string, from any, soft bool) {
	r.giveUp(soft, func(m *Message) bool { return m.id == id && m.Sender == sender && m.from == from })
}

// cancelAll cancels, in main, all calls of a life of a worker, which has ended.
func (r *MessageReceiver) cancelAll(from any) {
	r.giveUp(false, func(m *Message) bool { return m.from == from })
}

// giveUp cancels the calls for which which is true.
func (r *MessageReceiver) giveUp(soft bool, which func(*Message) bool) {
	r.mu.Lock()
	if m := r.running; m != nil && which(m) {
		m.scope.GiveUp(soft, context.Canceled)
	}
	dropped := r.inbox.Drop(func(m *Message) bool { return m.reply != nil && which(m) })
	r.mu.Unlock()
	r.refuseAll(dropped, context.Canceled)
}

// seal refuses every further message with err, and the messages in the inbox, too.
func (r *MessageReceiver) seal(err error) {
	r.mu.Lock()
	if r.sealed == nil {
		r.sealed = err
	}
	rest := r.inbox.Seal()
	r.mu.Unlock()
	for _, l := range rest {
		l.Message.size.Store(l.Due)
		r.leaveBehind(l.Message, err)
	}
}

// leaveBehind refuses a message that is not handled because the process ends. If main keeps the
// message it says nothing: main sees in the end that the message has not been handled.
func (r *MessageReceiver) leaveBehind(m *Message, reason error) {
	if r.begins == nil || m.serial == 0 {
		r.refuse(m, reason)
	}
}

// Receive waits for one message and handles it on the calling goroutine. It is for an action that
// decides by itself when messages are handled; ctx must be the action's, or derived from it. It
// returns an error when ctx ends.
func (r *MessageReceiver) Receive(ctx context.Context) error {
	for {
		if ok, err := r.TryReceive(ctx); ok || err != nil {
			return err
		}
		select {
		case <-r.wake:
		case <-ctx.Done():
			r.wakeLoop() // a wake that this goroutine has taken may have been meant for the loop
			return contexts.CauseOf(ctx)
		}
	}
}

// TryReceive handles one message, if there is one, on the calling goroutine, and reports whether
// there was. Like Receive it is for actions only.
func (r *MessageReceiver) TryReceive(ctx context.Context) (bool, error) {
	if s := scopeOf(ctx); s == nil || s.stage != r.stage || s.work != nil || s.setup {
		return false, errors.New(
			"multiprolab: Receive and TryReceive work only in an action of the same process, with its context: " +
				"elsewhere the loop handles messages by itself",
		)
	}
	m, h := r.next()
	if m == nil {
		r.up.idle()
		return false, nil
	}
	r.handle(ctx, m, h)
	r.wakeLoop() // so that the loop looks again
	return true, nil
}

// soon makes the loop call fn, before it handles messages. fn holds so many bytes; if too many
// wait, the oldest are dropped.
func (r *MessageReceiver) soon(fn func(), size int) {
	r.mu.Lock()
	r.urgent.Add(fn, size)
	r.mu.Unlock()
	r.wakeLoop()
}

// nextUrgent takes the next function that soon was given, or returns false.
func (r *MessageReceiver) nextUrgent() (func(), bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.urgent.Next()
}

// missedUrgent returns how many functions that soon was given were dropped since the last call.
func (r *MessageReceiver) missedUrgent() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.urgent.Missed()
}

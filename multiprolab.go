package multiprolab

import (
	"context"
	"fmt"

	"github.com/multiprolab/multiprolab/internal/wire"
)

// This file is the functions that users call most: to register typed handlers, to send, to call and
// to submit, in main and in workers alike.

// Process is the process that code runs in, as the functions of this package take it: a *Main in
// the main process, a *Worker in a worker process.
type Process interface {
	// Name returns the name under which the other processes reach this one.
	Name() string
	// Receiver returns the receiver of this process, to register untyped handlers.
	Receiver() *MessageReceiver
	// Router returns this process's way to the others, to send untyped messages.
	Router() *MessageRouter
	// Tasks returns this process's door to the task queue.
	Tasks() *TaskQueue
	// Exit asks the whole program to end.
	Exit()
	// self returns what a Main and a Worker have in common. It keeps other types from being a
	// Process.
	self() *node
}

// Handle registers the handler of the one-way messages of a type. It panics if the type has a
// handler already. The body must have been sent as a T, or, if T is an interface, as a type that
// implements it and is known to gob.Register; any other body is reported as a dead letter with a
// *DecodeError. An error of fn is reported to main as an event.
func Handle[T any](p Process, typ string, fn func(ctx context.Context, body T) error) {
	if fn == nil {
		registrationPanic("the handler of message type %q is nil (%s)", typ, callSite())
	}
	var body T // all messages share it, because they are handled one at a time
	p.Receiver().Handle(typ, func(ctx context.Context, m *Message) error {
		if err := m.Decode(&body); err != nil {
			return err
		}
		return fn(ctx, take(&body))
	})
}

// HandleCall registers the handler of the calls of a type. It panics if the type has a handler
// already. What fn returns goes back to the caller, an error as a *RemoteError. A nil pointer is no
// reply: a caller that takes a pointer gets nil. The context ends when the caller does not wait any
// more, and has the deadline of the caller's context.
func HandleCall[T, R any](p Process, typ string, fn func(ctx context.Context, body T) (R, error)) {
	if fn == nil {
		registrationPanic("the handler of call type %q is nil (%s)", typ, callSite())
	}
	var body T // all calls share it, because they are handled one at a time
	p.Receiver().HandleCall(typ, func(ctx context.Context, m *Message) (any, error) {
		if err := m.Decode(&body); err != nil {
			return nil, err
		}
		return fn(ctx, take(&body))
	})
}

// take returns what p points to, and leaves a zero there, which keeps no memory alive.
func take[T any](p *T) (v T) {
	v, *p = *p, v
	return v
}

// HandleTask registers the handler of the tasks of a type in a worker. It panics if the type has a
// handler already. What fn returns goes to the submitter, an error as a *RemoteError. A nil pointer
// is no result: a submitter that takes a pointer gets nil. The context ends when the task is
// cancelled or past its deadline.
func HandleTask[T, R any](w *Worker, typ string, fn func(ctx context.Context, body T) (R, error)) {
	if fn == nil {
		registrationPanic("the handler of task type %q is nil (%s)", typ, callSite())
	}
	one := func(ctx context.Context, t *Task) (any, error) {
		var body T
		if err := t.Decode(&body); err != nil {
			return nil, err
		}
		return fn(ctx, body)
	}
	w.inbox.registerItems(typ, one, typedItems(w, fn), callSite(), w.ready)
}

// Send sends a one-way message to the receiver with the name: "main", an instance such as
// "thumbnailer/2", or a pool such as "thumbnailer", of which the instance with the least to do gets
// it. It waits while the receiver, or in a worker the wire to main, has no room, and returns when
// the message is on its way. Between two processes messages arrive in the order they were sent.
// body may be nil, and a nil pointer is nil; the bytes of a []byte may be changed after Send has
// returned.
//
// An error means that nothing was sent. What happens to a message later is reported to main: see
// DeadLetter.
func Send(ctx context.Context, p Process, receiver, typ string, body any) error {
	return p.self().send(ctx, 0, receiver, typ, body)
}

// Broadcast sends a one-way message to every instance of a pool, or, if pool is empty, to every
// worker; a worker does not send to itself.
func Broadcast(ctx context.Context, p Process, pool, typ string, body any) error {
	return p.self().send(ctx, wire.FlagBroadcast, pool, typ, body)
}

// Call sends a call to the receiver with the name, as Send does, and waits for its reply. It
// returns an error, and does not wait for ever, when the receiver dies or does not exist, when its
// handler fails, or when ctx ends.
//
// A handler of this process cannot run while another one waits in Call. A wait that closes a
// circle, be it for calls or for tasks, gets ErrCallCycle.
func Call[R any](ctx context.Context, p Process, receiver, typ string, body any) (R, error) {
	var r R
	err := p.self().call(ctx, receiver, typ, body, &r)
	return r, err
}

// Submit puts a task into the queue and returns its future. It waits while the queue is full; ctx
// limits only this wait. See TaskQueue.TrySubmit for a submission that does not wait.
func Submit[R any](ctx context.Context, p Process, typ string, body any, o *TaskOptions) (*Future[R], error) {
	s, err := p.self().submit(ctx, typ, body, o, false)
	if err != nil {
		return nil, err
	}
	return &Future[R]{s}, nil
}

// Do puts a task into the queue and waits for its result. The end of ctx cancels the task.
func Do[R any](ctx context.Context, p Process, typ string, body any) (R, error) {
	return DoWith[R](ctx, p, typ, body, nil)
}

// DoWith is Do with options.
func DoWith[R any](ctx context.Context, p Process, typ string, body any, o *TaskOptions) (R, error) {
	var r R
	err := p.self().do(ctx, typ, body, o, &r)
	return r, err
}

// UseHandle surrounds the handlers of a process for messages, calls and tasks with a middleware, in
// main or, in the setup function, in a worker. The first one that is used is the outermost. It
// concerns what is handled later, be the handlers registered before or after; not actions, and not
// tasks that are taken with TaskQueue.Get. Each item of a Map is a task. Without middlewares a
// process handles no slower than before.
func UseHandle(p Process, mw Middleware) {
	if mw == nil {
		registrationPanic("UseHandle: the middleware is nil (%s)", callSite())
	}
	p.self().handling.use(mw)
}

// UseSend surrounds what a process sends with a middleware: Send, Broadcast and Call, Submit and
// TrySubmit up to when the queue has taken the task, Do and DoWith up to the outcome, and the whole
// of a Map, which is one operation. The first one that is used is the outermost. It concerns what
// is sent later. A Map may call next once, which returns the first error that was yielded; what the
// middleware returns after that is not heard.
func UseSend(p Process, mw Middleware) {
	if mw == nil {
		registrationPanic("UseSend: the middleware is nil (%s)", callSite())
	}
	p.self().sending.use(mw)
}

// Progress reports news of the task that runs under ctx to its submitter, where
// TaskOptions.OnProgress gets it before the outcome. body is anything that can be sent. It returns
// an error if no task runs under ctx, or the task has ended.
func Progress(ctx context.Context, body any) error {
	t := TaskFrom(ctx)
	if t == nil {
		return fmt.Errorf("multiprolab: Progress works only in the handler of a task, with its context")
	}
	return t.Progress(ctx, body)
}

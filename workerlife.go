package multiprolab

import (
	"context"
	"encoding/hex"
	"errors"
	"io"
	"runtime/debug"
	"slices"
	"sync/atomic"
	"time"

	"github.com/multiprolab/multiprolab/internal/codec"
	"github.com/multiprolab/multiprolab/internal/contexts"
	"github.com/multiprolab/multiprolab/internal/goroutine"
	"github.com/multiprolab/multiprolab/internal/life"
	"github.com/multiprolab/multiprolab/internal/link"
	"github.com/multiprolab/multiprolab/internal/outbox"
	"github.com/multiprolab/multiprolab/internal/pack"
	"github.com/multiprolab/multiprolab/internal/proc"
	"github.com/multiprolab/multiprolab/internal/shared"
	"github.com/multiprolab/multiprolab/internal/wire"
)

// This file is the life of a worker, from its making through its setup function and its loop to its
// last word. How it gets its process and its wire is in workerprocess.go.

// newWorker makes the worker of a role. run connects it to its wire.
func newWorker(role workerRole, c *codec.Codec, cfg *Config) *Worker {
	w := &Worker{role: role, pool: role.pool}
	w.said = make(chan struct{})
	w.node = newNode(instanceName(role.pool, role.index), c, cfg.MaxMessageSize, cfg.Window)
	w.connect((*workerUplink)(w), w.stopCause)
	w.receiver.mute = true
	w.overdue, w.mostCalls = w.reportOverdue, maxCalls
	w.left, w.shares = w.ack, shared.NewSubscriber(role.outlet, w.askShared)
	w.logs.Errors, w.logs.Task = logErrors, taskIn
	w.queue = &TaskQueue{node: w.node, mine: &w.inbox}
	w.inbox.worker, w.inbox.epoch = w, time.Now()
	w.workerPlace.open(role.index, role.life)
	w.loop.task = w.inbox.work
	w.out = outbox.New(outbox.Config{Stall: w.stall, CauseOf: contexts.CauseOf})
	w.whole, w.kill = context.WithCancelCause(context.WithValue(context.Background(), workerKey{}, w))
	w.ctx, w.cancel = context.WithCancelCause(w.whole)
	return w
}

// serve is the life of a worker from hello to goodbye, on the calling goroutine, which in a worker
// process is the main goroutine. It returns when everything has been posted; the caller sees to it
// that it is written. what is where serve says for live which function runs.
func (w *Worker) serve(setup func(context.Context, *Worker) error, identity string, what *string) error {
	say := func(kind wire.Kind, v pack.Packed) error {
		defer w.link.Push() // on this goroutine, so that no other has to be woken to write
		return w.link.Post(link.Quietly, life.Packed(kind, v))
	}
	if err := say(wire.Hello, &life.Hello{Identity: identity, Shares: w.link.Shares()}); err != nil {
		return err
	}
	wl := w.welcome
	if wl.Identity != identity {
		return errors.New(replaced)
	}
	w.know(wl.Pools)
	w.out.Attach(w.link, int64(wl.Window), wl.Credit)
	w.openLog(&wl.Log)
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

	switch placed := w.standBy(w.ctx); {
	case !placed: // it ends without one
	case w.foreign == nil && w.role.initial:
		err = <-w.beside() // handlers on this goroutine could not wait for others without the main thread
	case w.foreign == nil:
		w.role.releaseThread()
		err = w.loop.run(w.whole)
	default:
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
	w.out.Close(w.stopCause()) // goroutines that still send get an error
	w.receipts.Flush()
	w.ended.Store(true)
	if value := w.exitValue.Load(); value != nil {
		err = errors.Join(err, w.link.Post(link.Quietly, value))
	}
	f := life.Farewell{Lost: w.logs.Untold()}
	if err != nil && !errors.Is(err, ErrExit) {
		f.Failure = packedError(w.remote("", err))
	}
	return errors.Join(err, w.link.PostLast(life.Packed(wire.Bye, &f)))
}

// beside runs the worker's own loop on another goroutine, and returns the channel of its error.
func (w *Worker) beside() <-chan error {
	own := make(chan error, 1)
	go func() { // ends with the worker's loop: by exit, by an error of an action, or after the user's loop
		if w.aboard != nil {
			defer w.aboard()()
		}
		err := w.live(func() error { return w.loop.run(w.whole) }, new(string))
		w.cancel(ErrExit)
		own <- err
	}()
	return own
}

// host runs the user's event loop, the function of Loop, on this goroutine, and the worker's own
// loop on another.
func (w *Worker) host() error {
	own := w.beside()
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

// live runs a part of the worker's life, and ends the worker if a user's function ends the
// goroutine with runtime.Goexit. what names the function that runs; it is "" while that is a
// handler, a task or an action.
func (w *Worker) live(part func() error, what *string) (err error) {
	goroutine.Finally(func() { err = part() }, func(goexit bool) {
		if !goexit {
			return
		}
		running := *what
		if s := w.current.Load(); running == "" && s != nil {
			running = s.what()
		}
		w.die(goexitText(running) + "\n\n" + string(debug.Stack()))
	})
	return err
}

// setUp runs a setup function.
func (w *Worker) setUp(setup func(context.Context, *Worker) error) error {
	s := &scope{Function: contexts.Function{Parent: w.ctx}, stage: &w.stage, setup: true}
	defer func() {
		if s.Return(); s.waits.Load() > 0 { // goroutines that the function has started go on waiting
			w.up.waitsForNothing()
		}
	}()
	return setup(&setupContext{w.ctx, s}, w)
}

// wrapWire wraps both directions of a worker's wire. It is nil except in the workers of tests,
// which use it to die between two frames, or in the middle of a frame, and to note which frames
// have gone out.
var wrapWire func(w *Worker, r io.Reader, out io.Writer) (io.Reader, io.Writer)

// run connects the worker to its wire and lives its life. It calls lost if main is gone before the
// worker has said goodbye. The goroutines that it starts end with the wire, which the caller
// closes.
func (w *Worker) run(
	r io.Reader,
	out io.Writer,
	setup func(context.Context, *Worker) error,
	identity, cookie string,
	lost func(error),
) error {
	mark, err := hex.DecodeString(cookie)
	if err != nil {
		return err
	}
	if _, err := out.Write(mark); err != nil {
		return err
	}
	if wrapWire != nil {
		r, out = wrapWire(w, r, out)
	}
	w.link = newLink(w.codec, r, out, link.Options{MaxBody: w.maxBody, OneFrame: true, Fail: w.kill})
	w.receiver.interrupt = w.link.Interrupt
	switch {
	case !w.role.process:
		w.link.KeepBox()
	case wrapWire == nil: // a test that wraps the wire sees only what goes through the pipe
		w.link.SetBox(proc.Box())
		w.link.Share(proc.Shared(), false, nil) // the memory stays mapped as long as the process lives
	}
	if err := w.link.ReadUntil(w.receive, func() bool { return w.welcome != nil }); err != nil {
		lost(err)
		return err
	}
	wrote := make(chan struct{})
	go func() { // ends when this function closes the link, or when the pipe is closed
		defer close(wrote)
		_ = w.link.WriteLoop()
	}()
	var ending atomic.Bool
	go func() { // ends with the pipe or, in a process of its own, with the process
		err := w.link.ReadLoop(w.receive)
		if !ending.Load() {
			lost(err)
		}
		w.node.close(errors.Join(w.stopCause(), err))
	}()
	var what string
	err = w.live(func() error { return w.serve(setup, identity, &what) }, &what)
	ending.Store(true)
	w.link.Close()
	<-wrote
	w.kill(w.stopCause())
	return err
}

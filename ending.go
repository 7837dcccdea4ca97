package multiprolab

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime/debug"
	"strings"
	"time"

	"github.com/multiprolab/multiprolab/internal/contexts"
	"github.com/multiprolab/multiprolab/internal/goroutine"
	"github.com/multiprolab/multiprolab/internal/recorder"
	"github.com/multiprolab/multiprolab/internal/signals"
)

// This file is how a program ends, in main: who requests the end, the order in which everything
// ends, and how to wait for it.

// conduct leads the program beside the loop of main: it begins the lives of the workers, waits
// until the end is requested, and then ends everything in order. It runs on a goroutine of its own.
func (m *Main) conduct(unwatch func() bool) {
	never := goroutine.Closed(m.exitAsked) // the end was requested before the start: Start says that
	m.fleet.run()
	<-m.exitAsked
	if !never {
		m.emit(m.ending())
	}
	if !m.upgrade.GoesOn() { // otherwise the end of the context is still the end of the program
		unwatch()
	}
	drain := m.shutdownMode() == DrainQueue
	m.broker.stop(m.stopCause(), drain)
	if drain {
		m.drain()
		m.broker.stop(m.stopCause(), false)
	}
	m.loop.stopActions(ErrExit)
	m.fleet.end()
	if !m.upgrade.GoesOn() {
		m.sockets.Close() // the last worker that closes its own makes the system refuse connections
	}
	<-m.workersGone
	m.fleet.lives.Wait()
	m.broker.end(m.stopCause())
	m.loop.exit(DrainQueue) // what the workers sent before they ended is still handled
	<-m.loopEnded
	m.receiver.seal(m.stopCause()) // messages that are left there are reported as dead letters
	for m.tellRest() {             // until there are no more events: no handler runs any more
	}
	m.node.close(m.stopCause())
	if err := m.failure(); err != nil {
		m.saveRecord(err.Error())
	}
	m.logs.Flush()
	if m.spawner != nil {
		m.spawner.Close()
	}
	m.leave()
	_ = m.settled(context.Background(), nil) // nothing ends this before
	var err error
	if execute := m.upgrade.Next(); execute != nil {
		err = execute()
	}
	m.upgrade.EndTrial()
	m.conclude(err)
}

// settled waits until the trial of the last upgrade has finished what it has: its stderr comes by
// main, which alone can attend to its end, and cannot hand that on.
func (m *Main) settled(ctx context.Context, exitAsked <-chan struct{}) error {
	bridged := m.upgrade.Bridged()
	if bridged == nil {
		return nil
	}
	m.log(slog.LevelInfo, "main waits until the trial of the last upgrade has finished what it has")
	select {
	case <-bridged:
	case <-exitAsked: // who asks for an upgrade then is told so
	case <-ctx.Done():
		return fmt.Errorf("multiprolab: the trial of the last Upgrade has not ended yet: %w", context.Cause(ctx))
	}
	return nil
}

// drain waits until no task is left, at most for Config.DrainTimeout, and not if somebody requests
// a faster end.
func (m *Main) drain() {
	var timeout <-chan time.Time
	if m.cfg.DrainTimeout > 0 {
		timer := time.NewTimer(m.cfg.DrainTimeout)
		defer timer.Stop()
		timeout = timer.C
	}
	select {
	case <-m.broker.join():
	case <-timeout:
	case <-m.hurryAsked:
	}
}

// work runs the loop of main until conduct ends it, or until everything is killed.
func (m *Main) work() {
	m.guard(func() {
		_ = m.loop.run(m.whole) // errors of actions go to fail; the error here is the cause of m.whole, which is known
	}, func() { close(m.loopEnded) })
}

// tellRest calls Config.OnEvent for the last events, after the loop of main has ended. It reports
// whether there were any; if so, there may be further ones.
func (m *Main) tellRest() bool {
	fn, ok := m.receiver.nextUrgent()
	if !ok {
		return false
	}
	told := make(chan struct{})
	// This goroutine ends with the last of these events. It is there because the function of the
	// user may end the goroutine that calls it.
	go m.guard(func() {
		for ; ok; fn, ok = m.receiver.nextUrgent() {
			fn()
		}
	}, func() { close(told) })
	<-told
	return true
}

// conclude notes that nothing of the program is left. err is why nothing was started, or why the
// new version was not executed, or nil.
func (m *Main) conclude(err error) {
	m.sockets.Close() // also if nothing was started
	m.shares.Close()
	m.lifeMu.Lock()
	m.state = mainEnded
	m.serving.Store(false)
	if m.runError == nil {
		m.runError = err
	}
	if err != nil {
		m.setCause(err)
	}
	why := m.stopCauseLocked()
	m.upgrade.Fail(cmp.Or(m.runError, why))
	m.lifeMu.Unlock()
	m.cancel(why)
	close(m.ended)
}

// actionFailed requests the end of the program because of the error of an action of main.
func (m *Main) actionFailed(err error) { m.failIn(m.cfg.Shutdown, err) }

// fail requests the end of the program because of an error.
func (m *Main) fail(err error) { m.failIn(FinishRunning, err) }

// failIn requests the end of the program in this mode, because of an error. The first error stands.
func (m *Main) failIn(mode ShutdownMode, err error) {
	m.lifeMu.Lock()
	if m.runError == nil {
		m.runError = err
	}
	m.failed = m.failed || m.cause == nil
	m.setCause(err)
	m.lifeMu.Unlock()
	m.exit(mode, err)
}

// exit requests the end of the program in this mode, and says why. A later request counts if its
// mode is harsher.
func (m *Main) exit(mode ShutdownMode, cause error) {
	if cause != ErrUpgrade {
		m.upgrade.Abandon()
	}
	m.flight.Note(recorder.Asked, mode.String(), 0, 0, "")
	m.fleet.exit(mode) // before exitAsked is closed, so that the rules of lives know of the end by then
	// This runs without lifeMu, which the other deferred call gives back before. From then on no
	// worker begins another task, unless the queue is drained.
	defer func() { m.broker.stop(m.stopCause(), m.shutdownMode() == DrainQueue) }()
	m.lifeMu.Lock()
	defer m.lifeMu.Unlock()
	m.setCause(cause)
	if first := !goroutine.Closed(m.exitAsked); first {
		m.mode = mode
		close(m.exitAsked)
	} else if mode == KillAll || m.mode == DrainQueue {
		m.mode = mode
	}
	if mode != DrainQueue && !goroutine.Closed(m.hurryAsked) {
		close(m.hurryAsked)
	}
	if mode == KillAll && !goroutine.Closed(m.killAsked) {
		close(m.killAsked)
		m.cancel(m.stopCauseLocked())
	}
}

// Exit requests the end of the program, in the mode of Config.Shutdown. It returns at once. It may
// be called from any goroutine, any number of times, before Run as well, and in a worker, where it
// is Worker.Exit.
func (m *Main) Exit() {
	if e := m.outside(); e != nil {
		e.exit()
		return
	}
	m.exit(m.cfg.Shutdown, ErrExit)
}

// Cause returns why the program ends, or has ended: nil as long as it goes on. If somebody has
// asked for the end, it matches ErrExit: it is ErrExit after Exit, Close, Stop and Worker.Exit, a
// *SignalError after a signal that has ended Run, and matches the cause of the context of Run or
// Start if that has ended. Else it is the error that has ended the program, which Run returns as
// well: of an action of main, a *StartError, or a *RestartLimitError. What comes first is the
// cause.
//
// Every later error of a message, a call or a task matches the cause, too, beside ErrStopped, if it
// is another one than ErrExit.
func (m *Main) Cause() error {
	m.lifeMu.Lock()
	defer m.lifeMu.Unlock()
	return m.cause
}

// Wait waits until nothing of the workers is left, and returns what Run returns. It does not
// request the end. The end of ctx ends the waiting alone. On the loop of main, in a handler, an
// action or Config.OnEvent, it would wait for itself: there it returns an error at once.
func (m *Main) Wait(ctx context.Context) error {
	if m.isNew() {
		return errNotStarted
	}
	if e := m.outside(); e != nil {
		return e.wait()
	}
	if err := m.waitsForItself("Wait"); err != nil {
		return err
	}
	return m.await(ctx)
}

// await waits for the end of the program, and returns what Run returns. The end of ctx ends the
// waiting alone.
func (m *Main) await(ctx context.Context) error {
	select {
	case <-m.ended:
	case <-ctx.Done():
		return fmt.Errorf("multiprolab: waiting for the workers to end: %w", contexts.CauseOf(ctx))
	}
	return m.failure()
}

// failure returns the error that the program ends with, as far as it is known, or nil.
func (m *Main) failure() error {
	m.lifeMu.Lock()
	defer m.lifeMu.Unlock()
	var all []error
	if m.runError != nil {
		all = append(all, m.runError)
	}
	all = append(all, m.races...)
	if len(m.killed) > 0 {
		all = append(all, &ShutdownError{Killed: m.killed})
	}
	if len(all) == 1 {
		return all[0]
	}
	return errors.Join(all...)
}

// Close requests the end in the mode of Config.Shutdown, and waits for it. Unlike Wait it may be
// called before Start, and does nothing then. On the loop of main it requests the end and returns
// an error at once, for it would wait for itself: use Exit there.
func (m *Main) Close() error { return m.endAndWait(context.Background(), m.cfg.Shutdown, "Close") }

// Stop requests the end in a mode, and waits for it as Wait does. A second Stop may ask for a
// harsher one. Before Start it is remembered, as Exit is: nothing is started then. On the loop of
// main it does not wait, as Close.
func (m *Main) Stop(ctx context.Context, mode ShutdownMode) error {
	if m.isNew() {
		m.exit(mode, ErrExit)
	}
	return m.endAndWait(ctx, mode, "Stop")
}

// endAndWait is Stop. call is the name of the method that the user has called.
func (m *Main) endAndWait(ctx context.Context, mode ShutdownMode, call string) error {
	if m.isNew() {
		return nil
	}
	if e := m.outside(); e != nil {
		return e.wait()
	}
	m.exit(mode, ErrExit)
	if err := m.waitsForItself(call); err != nil {
		return err
	}
	return m.await(ctx)
}

// guard runs part, a piece of the work of main that calls functions of the user, and then last. If
// one of these functions ends the goroutine with runtime.Goexit, the program ends with an error.
func (m *Main) guard(part, last func()) {
	defer m.own.Enter(MainName)()
	panics := true
	defer func() {
		if panics {
			m.recordPanic()
		}
	}()
	goroutine.Finally(part, func(goexit bool) {
		if panics = false; goexit {
			m.endByGoexit()
		}
		last()
	})
}

// endByGoexit ends the program because a function of the user has ended the goroutine of main's
// loop.
func (m *Main) endByGoexit() {
	text := goexitText(m.doing() + " of main")
	m.log(slog.LevelError, strings.TrimPrefix(text, "multiprolab: "), slog.String("stack", string(debug.Stack())))
	err := errors.New(text)
	m.fail(err)
	for s := m.current.Load(); s != nil; s = s.outer {
		if msg, ok := s.work.(*Message); ok && !s.Over() {
			m.receiver.refuse(msg, err)
		}
	}
	m.receiver.seal(err) // nobody handles it any more
}

// endBySignal ends the program because of SIGINT or SIGTERM, while Run runs. The first signal lets
// the workers finish what they are doing. The second kills them, and ends the process if the loop
// of main does not end then.
func (m *Main) endBySignal(ctx context.Context, sig os.Signal, again bool) {
	mode := FinishRunning
	if again {
		mode = KillAll
	}
	m.log(slog.LevelDebug, "signal", slog.String("signal", sig.String()), slog.String("mode", mode.String()))
	m.exit(mode, &SignalError{sig})
	if again {
		m.insist(ctx, sig)
	}
}

// killAllTimeout is how long the last signal waits for workers that were killed. A process that has
// not gone then cannot be killed, because it is blocked in the kernel, for example.
const killAllTimeout = 10 * time.Second

// logTimeout is how long the logger has for the record that a signal ends the process.
const logTimeout = 30 * time.Millisecond

// insist ends the process by its second signal if the program does not end, although its workers
// are killed and the contexts of main's handlers and actions have ended. That is so if one of these
// does not return, or waits for the end of the program. insist returns when the program ends by
// itself, or when ctx ends.
func (m *Main) insist(ctx context.Context, sig os.Signal) {
	goroutine.Await(ctx, m.workersGone, killAllTimeout)
	goroutine.Await(ctx, m.ended, m.cfg.KillTimeout)
	if goroutine.Closed(m.ended) || ctx.Err() != nil {
		return
	}
	logged := make(chan struct{})
	go func() { // ends when the record is written; the process may end before
		defer close(logged)
		what := "the loop of main, which runs " + m.doing()
		if goroutine.Closed(m.loopEnded) {
			what = "the end of what the loop of main was waiting for"
		}
		m.cfg.Logger.Error("multiprolab: the program does not end: the signal ends its process", "signal",
			sig.String(), "waiting for", what)
	}()
	goroutine.Within(logged, logTimeout) // the loop of main may be waiting for the logger
	signals.DieBy(sig)
}

// waitsForItself returns an error if the end of m waits for the calling goroutine. call names the
// method that would wait there for that end.
func (m *Main) waitsForItself(call string) error {
	name := m.own.Own()
	switch {
	case name == "":
		return nil
	case name != MainName:
		return fmt.Errorf("multiprolab: %s waits until all workers have ended, and was called in %s, which would wait "+
			"for itself: use Worker.Exit or Main.Exit here, which do not wait", call, name)
	}
	return fmt.Errorf("multiprolab: %s waits until the loop of main has ended, and was called on that loop, in %s, "+
		"which would wait for itself: use Exit here, which does not wait", call, m.doing())
}

// doing names what the loop of main runs at the moment.
func (m *Main) doing() string {
	if s := m.current.Load(); s != nil {
		return s.what()
	}
	return "Config.OnEvent"
}

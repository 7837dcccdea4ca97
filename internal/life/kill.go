package life

import (
	"time"

	"github.com/multiprolab/multiprolab/internal/goroutine"
	"github.com/multiprolab/multiprolab/internal/link"
	"github.com/multiprolab/multiprolab/internal/wire"
)

// quitTimeout is the moment between SIGQUIT and SIGKILL.
const quitTimeout = 30 * time.Millisecond

// Reason returns why main has ended the life, as far as it has.
func (l *Life) Reason() Reason {
	l.known.mu.Lock()
	defer l.known.mu.Unlock()
	return l.known.reason
}

// Planned reports whether main has ended the life with one of its tasks, by KillWithTask.
func (l *Life) Planned() bool {
	l.known.mu.Lock()
	defer l.known.mu.Unlock()
	return l.known.planned
}

// Blame notes why the life is about to be ended, unless that is known already, and what had stopped
// its process before, if it is stopped. It returns what has stopped it.
func (l *Life) Blame(why string) (stoppedBy string) { return l.blame(Reason{Cause: Told, Why: why}) }

func (l *Life) blame(r Reason) (stoppedBy string) {
	r.StoppedBy = l.body.Stopped()
	l.known.mu.Lock()
	defer l.known.mu.Unlock()
	if l.known.reason.Cause == Alive {
		l.known.reason = r
	}
	return r.StoppedBy
}

// Kill ends the worker with all that it started. The first reason stands.
func (l *Life) Kill(why string) { l.kill(Reason{Cause: Told, Why: why}) }

func (l *Life) kill(r Reason) {
	l.blame(r)
	l.body.Kill()
}

// Fail ends the worker because its wire is of no use any more. It never waits.
func (l *Life) Fail(err error) { l.kill(Reason{Cause: LostWire, Err: err}) }

// Violated ends the worker because it has sent what no honest one sends, if that was not found out
// when the frame came. It never waits.
func (l *Life) Violated(err error) { l.kill(Reason{Cause: BrokeWire, Err: err}) }

// KillWithStacks ends the worker as Kill does, but first lets a Go program print the stacks of its
// goroutines, so that it can be told where it was.
func (l *Life) KillWithStacks(why string) {
	l.Blame(why)
	if l.Stacks() == "" { // it was not asked, or has not answered; the Go runtime may still react to a signal
		l.body.Quit()
		goroutine.Within(l.body.Done(), quitTimeout)
	}
	l.Kill(why)
}

// KillWithTask ends the worker with a task that goes on past its grace, which is no fault of its
// own.
func (l *Life) KillWithTask(why string) {
	l.known.mu.Lock()
	l.known.planned = l.known.planned || l.known.reason.Cause == Alive
	l.known.mu.Unlock()
	l.KillWithStacks(why)
}

// KillHung kills a worker that hangs. Before that it asks the worker for the stacks of its
// goroutines, which have the time d to come. Only the goroutine of the life calls it.
func (l *Life) KillHung(h *Hang, why string, d time.Duration) {
	l.known.mu.Lock()
	l.known.hang = h
	l.known.mu.Unlock()
	if !h.Silent { // else nobody there would answer
		l.AskForStacks()
		timer := time.NewTimer(d)
		defer timer.Stop()
		select {
		case <-l.dumps:
		case <-l.body.Done():
		case <-timer.C:
		}
	}
	l.KillWithStacks(why)
}

// AskForStacks asks the worker for the stacks of its goroutines.
func (l *Life) AskForStacks() {
	l.signs.wanted.Add(1)
	l.link.Tell(link.Soon, &wire.Frame{Kind: wire.Dump})
}

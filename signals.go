package multiprolab

import (
	"context"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/multiprolab/multiprolab/internal/proc"
)

// handleSignals makes SIGINT and SIGTERM end the program while Run runs: the first lets the workers
// finish what they are doing, the second kills them, and ends the process if main's own loop does
// not end then; a third one does what it does without this library. SIGHUP restarts the workers if
// this is a service; in a program with a terminal it means that the terminal is gone, and ends the
// program like SIGTERM. It returns the function that ends this.
func (m *Main) handleSignals() (stop func()) {
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	// ignored by nohup(1), for example; a worker ignores it until somebody wants it
	if hangup != nil && (proc.Current() != nil || !signal.Ignored(hangup)) {
		signal.Notify(signals, hangup)
	}
	terminal := hasTerminal() // now: later it may be gone
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	again := make(chan struct{}, 1)
	running.Go(func() { // ends with stop
		defer signal.Stop(signals)
		modes := []ShutdownMode{FinishRunning, KillAll}
		for {
			select {
			case sig := <-signals:
				if sig == hangup && !terminal {
					wakeUp(again)
					continue
				}
				m.cfg.Logger.Debug("multiprolab: signal", "signal", sig.String(), "mode", modes[0].String())
				m.exit(modes[0], &SignalError{sig})
				if modes = modes[1:]; len(modes) == 0 {
					signal.Stop(signals)
					m.insist(ctx, sig)
					return
				}
			case <-ctx.Done():
				return
			}
		}
	})
	running.Go(func() { // ends with stop
		for {
			select {
			case <-again:
				m.reload(ctx)
			case <-ctx.Done():
				return
			}
		}
	})
	return func() {
		cancel()
		running.Wait()
	}
}

// killAllTimeout bounds how long the last signal waits for workers that have been killed. One that
// has not gone then cannot be, such as a process that is blocked in the kernel.
const killAllTimeout = 10 * time.Second

// logTimeout is how long the logger has for the record that a signal ends the process.
const logTimeout = 30 * time.Millisecond

// insist ends the process by the signal, the second one, if the program does not end although its
// workers are killed and the contexts of main's handlers and actions have ended: because one of
// these does not return, or waits for the program to end. It returns when the program ends by
// itself, or with ctx.
func (m *Main) insist(ctx context.Context, sig os.Signal) {
	for _, wait := range []struct {
		done <-chan struct{}
		most time.Duration
	}{{m.workersGone, killAllTimeout}, {m.ended, m.cfg.KillTimeout}} {
		timer := time.NewTimer(wait.most)
		select {
		case <-wait.done:
		case <-timer.C:
		case <-ctx.Done():
		}
		timer.Stop()
	}
	if closed(m.ended) || ctx.Err() != nil {
		return
	}
	logged := make(chan struct{})
	go func() { // ends with the record; the process may end before
		defer close(logged)
		what := "the loop of main, which runs " + m.doing()
		if closed(m.loopEnded) {
			what = "the end of what the loop of main was waiting for"
		}
		m.cfg.Logger.Error(
			"multiprolab: the program does not end: the signal ends its process",
			"signal",
			sig.String(),
			"waiting for",
			what,
		)
	}()
	within(logged, logTimeout) // the logger may be what it waits for
	dieBy(sig)
}

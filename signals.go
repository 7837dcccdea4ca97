package multiprolab

import (
	"context"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/multiprolab/multiprolab/internal/goroutine"
	"github.com/multiprolab/multiprolab/internal/proc"
)

// This file is what signals do to a program that runs in Run, in main.

// handleSignals makes SIGINT and SIGTERM end the program while Run runs. The first signal lets the
// workers finish what they are doing. The second kills them, and ends the process if the loop of
// main does not end then. A third does what it does without this library. SIGHUP restarts the
// workers if this is a service; in a program with a terminal it means that the terminal is gone,
// and ends the program like SIGTERM. Config.UpgradeSignal upgrades the program. handleSignals
// returns a function that ends this.
func (m *Main) handleSignals() (stop func()) {
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	// nohup(1), for example, ignores it for good; a worker ignores it until somebody wants it
	if hangup != nil && (proc.Current() != nil || !signal.Ignored(hangup)) {
		signal.Notify(signals, hangup)
	}
	terminal := hasTerminal() // when the signal comes, the terminal is gone
	m.upgrade.heed(signals, m.cfg.UpgradeSignal, hangup, !terminal)
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	again, newer := make(chan struct{}, 1), make(chan struct{}, 1)
	running.Go(func() { // ends with stop
		defer signal.Stop(signals)
		modes := []ShutdownMode{FinishRunning, KillAll}
		for {
			select {
			case sig := <-signals:
				if sig == hangup && !terminal {
					goroutine.Wake(again)
					continue
				}
				if sig == m.cfg.UpgradeSignal {
					goroutine.Wake(newer)
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
	running.Go(func() { // ends with stop
		for {
			select {
			case <-newer:
				m.upgradeBySignal(ctx)
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
	dieBy(sig)
}

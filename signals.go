package multiprolab

import (
	"context"
	"os"
	"os/signal"
	"sync"
	"syscall"

	"github.com/multiprolab/multiprolab/internal/proc"
)

// handleSignals makes SIGINT and SIGTERM end the program while Run runs: the first lets the workers finish what they are doing, the
// second kills them, and a third one does what it does without this library. SIGHUP restarts the workers if this is a service; in a program with a terminal it means that
// the terminal is gone, and ends the program like SIGTERM. It returns the function that ends this.
func (m *Main) handleSignals() (stop func()) {
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	if hangup != nil && (proc.Current() != nil || !signal.Ignored(hangup)) { // ignored by nohup(1), for example; a worker ignores it until somebody wants it
		signal.Notify(signals, hangup)
	}
	terminal := hasTerminal() // now: later it may be gone
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	again := make(chan struct{}, 1)
	running.Go(func() { // ends with stop, or after the second signal
		defer signal.Stop(signals)
		modes := []ShutdownMode{FinishRunning, KillAll}
		for len(modes) > 0 {
			select {
			case sig := <-signals:
				if sig == hangup && !terminal {
					wakeUp(again)
					continue
				}
				m.cfg.Logger.Debug("multiprolab: signal", "signal", sig.String(), "mode", modes[0].String())
				m.exit(modes[0])
				modes = modes[1:]
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

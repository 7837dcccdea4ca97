package multiprolab

import (
	"os"
	"os/signal"
	"syscall"
)

// handleSignals makes SIGINT and SIGTERM end the program while Run runs: the first lets the workers finish what they are doing, the
// second kills them, and a third one does what it does without this library. It returns the function that ends this.
func (m *Main) handleSignals() (stop func()) {
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	quit, ended := make(chan struct{}), make(chan struct{})
	go func() { // ends with stop, or after the second signal
		defer close(ended)
		defer signal.Stop(signals)
		for _, mode := range []ShutdownMode{FinishRunning, KillAll} {
			select {
			case sig := <-signals:
				m.cfg.Logger.Debug("multiprolab: signal", "signal", sig.String(), "mode", mode.String())
				m.exit(mode)
			case <-quit:
				return
			}
		}
	}()
	return func() {
		close(quit)
		<-ended
	}
}

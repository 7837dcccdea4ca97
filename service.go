package multiprolab

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/multiprolab/multiprolab/internal/goroutine"
	"github.com/multiprolab/multiprolab/internal/proc"
)

// This file is how a program runs as a service of its own, in main.

// serve makes Run stand on its own feet as a service. It reaps orphans if it is process 1 of a
// container. A service manager that asks for it (systemd, Type=notify) it tells when all workers
// are ready, when the end has begun and, for the watchdog, that the loop of main still turns. It
// returns a function that ends this.
func (m *Main) serve() (stop func()) {
	stopReaping := proc.ReapOrphans()
	if m.service == nil {
		return stopReaping
	}
	quit := make(chan struct{})
	if m.upgrade.handed != nil { // what it has heard last is of the old version
		m.noteWatchdog()
	}
	var running sync.WaitGroup
	running.Go(func() { // ends with stop
		ready, exit := m.allReady, m.exitAsked
		var abandoned <-chan struct{} // nil as long as the end is not that of a version that goes on as the next
		stopping := false             // the service manager knows of the end
		stop := func() {
			stopping = true
			m.noteService(m.service.Stopping())
		}
		var tick <-chan time.Time
		if every := m.service.WatchdogInterval(); every > 0 {
			ticker := time.NewTicker(every)
			defer ticker.Stop()
			tick = ticker.C
		}
		var turned atomic.Bool // the loop has run the latest function that asks for a sign
		turned.Store(true)
		for {
			select {
			case <-ready:
				ready = nil
				m.noteReady()
				close(m.readyTold)
			case <-exit:
				if exit = nil; m.upgrade.goesOn() {
					abandoned = m.upgrade.abandoned
				} else {
					stop()
				}
			case <-abandoned:
				abandoned = nil
				stop()
			case <-tick:
				if turned.CompareAndSwap(true, false) {
					m.receiver.soon(func() {
						turned.Store(true)
						m.noteService(m.service.Watchdog())
					}, frameCost)
				}
			case <-quit:
				if !stopping && goroutine.Closed(m.exitAsked) { // both came at once, or the next version cannot run
					stop()
				}
				return
			}
		}
	})
	return func() {
		close(quit)
		running.Wait()
		stopReaping()
	}
}

// noteReady tells the service manager that the start or a reload is complete, unless the end has
// begun: before systemd 259 that would take STOPPING=1 back.
func (m *Main) noteReady() {
	if !goroutine.Closed(m.exitAsked) {
		m.noteService(m.service.Ready())
	}
}

// noteWatchdog tells the service manager's watchdog, if it has one, that the program is alive.
func (m *Main) noteWatchdog() {
	if m.service.WatchdogInterval() > 0 {
		m.noteService(m.service.Watchdog())
	}
}

// noteService logs an error of telling the service manager, if there is one.
func (m *Main) noteService(err error) {
	if err != nil {
		m.cfg.Logger.Warn("multiprolab: the service manager was not told", "error", err)
	}
}

package multiprolab

import (
	"fmt"
	"time"

	"github.com/multiprolab/multiprolab/internal/goroutine"
	"github.com/multiprolab/multiprolab/internal/proc"
	"github.com/multiprolab/multiprolab/internal/sockets"
	"github.com/multiprolab/multiprolab/internal/upgrade"
)

// This file is what main of a new version of the program does because it is one: in the trial, and
// after the old version has executed it.

// UpgradeTrial reports whether this process only tries a new version of the program, beside the old
// one, see [Main.Upgrade]. A program asks that before it takes what the old version has and only
// one process can have. In workers it reports false.
func UpgradeTrial() bool {
	h, err := upgrade.Taken()
	return err == nil && h != nil && h.Trial
}

// inherit finds out what this process was handed by the old version of the program.
func (m *Main) inherit() error {
	if proc.Current() != nil || m.cfg.InProcess {
		return nil
	}
	m.upgrade.path = upgrade.Path()
	h, err := upgrade.Taken()
	switch {
	case err != nil:
		return fmt.Errorf("multiprolab: %w", err)
	case h == nil:
		return nil
	case h.Main == m.cfg.Name:
		m.upgrade.handed = h
		if h.Trial {
			m.upgrade.report = upgrade.NewReporter(h)
			return nil
		}
		if h.Pid != 0 {
			m.upgrade.bridged = make(chan struct{})
		}
		m.signals.CatchEarly(m.cfg.UpgradeSignal, h.Ignored)
	}
	return nil
}

// succeed goes on where the old version of the program has stopped, once this one runs.
func (m *Main) succeed() {
	h := m.upgrade.handed
	if h == nil {
		return
	}
	sockets.DropInherited()
	if h.Trial {
		go m.runTrial() // ends with the trial
		return
	}
	if h.Failed != "" {
		m.cfg.Logger.Error("multiprolab: the new version of the program could not be executed, the old one goes on",
			"error", h.Failed)
	}
	if m.upgrade.bridged != nil {
		go m.endBridge(upgrade.Resume(h, m.stderr)) // ends with the trial, which ends in any case
	}
	m.cfg.Logger.Info("multiprolab: the program has been upgraded", "file", h.Path, "tasks", len(h.Tasks))
}

// endBridge ends the trial that has served until the workers of this version are ready.
func (m *Main) endBridge(trial *upgrade.Trial) {
	defer close(m.upgrade.bridged)
	if trial == nil { // it is gone
		return
	}
	select {
	case <-m.allReady:
	case <-m.exitAsked:
	}
	go func() { // ends with the trial
		select {
		case <-m.killAsked:
			trial.Kill()
		case <-m.upgrade.bridged:
		}
	}()
	trial.End(m.cfg.ShutdownTimeout + m.cfg.KillTimeout)
}

// runTrial leads a trial: it reports when all workers are ready, and ends the trial when it is told
// to, or when the old version of the program has ended.
func (m *Main) runTrial() {
	report := m.upgrade.report
	go func() { // ends with the trial
		select {
		case <-m.allReady:
			report.Ready(m.sockets.Fresh())
		case <-m.ended: // conclude has reported why
		}
	}()
	report.Await()
	if m.cfg.Backend == nil && !goroutine.Closed(m.exitAsked) {
		m.drainTrial()
	}
	m.exit(FinishRunning, ErrExit)
}

// drainTrial ends the trial in such a way that tasks of its workers are still finished.
func (m *Main) drainTrial() {
	m.exit(DrainQueue, ErrExit)
	timer := time.NewTimer(m.cfg.ShutdownTimeout)
	defer timer.Stop()
	select {
	case <-m.ended:
	case <-timer.C:
	}
}

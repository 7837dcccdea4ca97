package multiprolab

import (
	"fmt"

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
	if err := m.upgrade.Inherit(m.cfg.Name); err != nil {
		return fmt.Errorf("multiprolab: %w", err)
	}
	if h := m.upgrade.Handed(); h != nil && !h.Trial {
		m.signals.CatchEarly(m.cfg.UpgradeSignal, h.Ignored, h.Again)
	}
	return nil
}

// succeed goes on where the old version of the program has stopped, once this one runs.
func (m *Main) succeed() {
	h := m.upgrade.Handed()
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
	if m.upgrade.Bridged() != nil {
		go m.upgrade.EndBridge( // ends with the trial, which ends in any case
			upgrade.Resume(h, m.stderr), m.allReady, m.exitAsked, m.killAsked, m.trialTime(), m.takeLeft)
	}
	if h.Failed == "" {
		m.cfg.Logger.Info("multiprolab: the program has been upgraded", "file", h.Path, "tasks", len(h.Tasks))
	}
}

// runTrial leads a trial: it reports when all workers are ready, and ends the trial when it is told
// to, or when the old version of the program has ended. Tasks of its workers are still finished;
// what is left of them then is the new version's.
func (m *Main) runTrial() {
	m.handOverTasks()
	m.upgrade.Lead(m.allReady, m.ended, m.sockets.Fresh)
	if m.cfg.Backend == nil && !goroutine.Closed(m.exitAsked) {
		m.exit(DrainQueue, ErrExit)
		goroutine.Within(m.ended, m.cfg.ShutdownTimeout)
	}
	m.exit(FinishRunning, ErrExit)
}

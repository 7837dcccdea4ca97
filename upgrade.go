package multiprolab

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"time"

	"github.com/multiprolab/multiprolab/internal/goroutine"
	"github.com/multiprolab/multiprolab/internal/proc"
	"github.com/multiprolab/multiprolab/internal/sockets"
	"github.com/multiprolab/multiprolab/internal/upgrade"
)

// This file is how the program goes on as a new version of itself, in the main of the old version.

// UpgradeError says why a new version of the program does not run. The old one goes on.
type UpgradeError struct {
	File string // the path of the file
	Err  error  // what is wrong with it
}

func (e *UpgradeError) Error() string {
	return fmt.Sprintf("multiprolab: the old version of the program goes on, the new one in %s failed: %s",
		e.File, brief(e.Err))
}

func (e *UpgradeError) Unwrap() error { return e.Err }

// Upgrade goes on with the new version of the program that lies in the place of its file, put there
// by a rename, or by a symbolic link that leads to another file. The process stays: the same pid,
// the same foreground, the same main process of the service manager, also as process 1. In order:
//
//  1. A trial, which is a process of its own, runs the new file with the arguments and the
//     environment of this one, up to Run or Start, and its workers start. They have the sockets of
//     package sockets, and serve there like those of the old version. Actions of main do not run in
//     the trial, its handlers do. [UpgradeTrial] reports true in it: what exists only once, such as
//     a lock or a port that main takes without that, must be left alone there.
//  2. When all workers of the trial are ready, the old version ends in the mode FinishRunning, with
//     the cause [ErrUpgrade]. Its deferred functions do not run.
//  3. The process executes the new file, which begins at its main function. sockets.Listen with the
//     same network and address finds the socket that was open all the time, by its name if the
//     address is no certain one, such as a port that the system chooses. Sockets that nobody asks
//     for are closed. When all workers are ready, the trial finishes what it has and ends; tasks
//     that it has accepted and cannot do by then, such as delayed ones, go to the new version.
//     Another Upgrade, and the end of the program, wait for that.
//
// If the trial fails, it is ended, and Upgrade returns an *UpgradeError that says why: the program
// has no setup that works, crashes, is not this program, or is not ready before ctx ends or
// [Config.UpgradeTimeout] is over. A new version whose Main has another Config.Name is never ready:
// a warning says so at once, and its trial runs as a program of its own until then, since the Main
// of the old name may still come. The error tells both names. The old version goes on then, and has
// not stopped to work meanwhile. If the file that was tried cannot be executed in the end, or
// another one has come into its place, the old file is executed once more. Otherwise Upgrade does
// not return, unless somebody asks for the end of the program meanwhile: that counts more.
//
// The tasks that have no outcome are handed over, with the attempts that they have left, and so
// are the dead tasks and the pauses of queues; tasks in a [Config.Backend] stay there. A task that
// a worker submits while the old version ends is handed over as well, but not one of Do, whose
// caller gets an error. Nobody waits for the outcomes of these tasks in the new version: one that
// does not succeed there, or that no worker takes, becomes a dead task. The items of a Map and the
// tasks of a Stream end, because they are for the one who called it. The errors of earlier attempts
// keep their texts, and match no other error any more. The sizes of pools and the limits of
// [TaskQueue.Throttle] are those that the new version sets.
//
// All else that main has in memory is gone with the old version: values, goroutines, results
// that somebody waits for, messages that no handler has taken, shared data. Sockets of
// sockets.Add are closed. Child processes that the program itself has started stay its children,
// but os/exec does not know them any more. Upgrade is refused in a handler or an action of main,
// which would wait for itself; with Config.InProcess; in a worker; in the binary of a test;
// while another Main of this process runs; and on Windows, which cannot execute a file in the
// place of a process: there the error matches errors.ErrUnsupported.
//
// [Config.UpgradeSignal] makes Run do this when a signal comes.
func (m *Main) Upgrade(ctx context.Context) error {
	if err := m.running(); err != nil {
		return err
	}
	if err := m.mayUpgrade(); err != nil {
		return err
	}
	if !m.upgrade.Begin() {
		return errors.New("multiprolab: an Upgrade is under way already")
	}
	defer m.upgrade.End()
	ctx, cancel := context.WithTimeoutCause(ctx, m.cfg.UpgradeTimeout,
		fmt.Errorf("Config.UpgradeTimeout of %v is over: %w", m.cfg.UpgradeTimeout, context.DeadlineExceeded))
	defer cancel()
	if err := m.settled(ctx, m.exitAsked); err != nil {
		return err
	}
	m.service.Reloading()
	trial, err := m.tryNext(ctx)
	if err != nil {
		m.service.Ready()
		if goroutine.Closed(m.exitAsked) {
			return m.stopCause()
		}
		return &UpgradeError{m.upgrade.Path(), err}
	}
	m.handOverTasks()
	m.upgrade.Prepare(func() error { return m.execute(trial) }, func() { trial.End(m.cfg.KillTimeout) })
	m.exit(FinishRunning, ErrUpgrade)
	if m.Cause() != ErrUpgrade { // somebody has asked for the end before
		m.upgrade.Abandon()
	}
	select {
	case <-m.upgrade.Abandoned():
		m.upgrade.EndTrial()
	case <-m.ended: // not if the new file is executed
	}
	return m.await(context.Background())
}

// mayUpgrade returns why this Main cannot be upgraded, or nil.
func (m *Main) mayUpgrade() error {
	var why string
	switch others := m.othersRunning(); {
	case m.cfg.InProcess:
		why = "with Config.InProcess there are no processes that could be tried"
	case m.nested || proc.Current() != nil:
		why = "this is the process of a worker: call it in main"
	case m.upgrade.Trial():
		why = "this process only tries a new version"
	case proc.IsTestBinary():
		why = "this is the binary of a test, which would run its tests again"
	case others != "":
		why = fmt.Sprintf("the Main %q of this process runs, too, and would end without notice", others)
	default:
		if err := upgrade.Supported(); err != nil {
			return fmt.Errorf("multiprolab: Upgrade is not possible: %w", err)
		}
		return m.waitsForItself("Upgrade")
	}
	return errors.New("multiprolab: Upgrade is not possible: " + why)
}

// othersRunning returns the name of another Main that runs in this process, or "".
func (m *Main) othersRunning() string {
	names.mu.Lock()
	defer names.mu.Unlock()
	for name, other := range names.outermost {
		if other != m && other.serving.Load() {
			return name
		}
	}
	return ""
}

// tryNext starts a trial of the new version, and waits until its workers are ready.
func (m *Main) tryNext(ctx context.Context) (*upgrade.Trial, error) {
	h := &upgrade.Handed{Trial: true, Main: m.cfg.Name, Path: m.upgrade.Path(), Sockets: m.sockets.HandOn()}
	m.broker.handQueue(h)
	files, err := sockets.Duplicates(h.Sockets)
	if err != nil {
		return nil, err
	}
	begun := time.Now()
	trial, err := upgrade.Try(m.upgrade.Path(), os.Environ(), h, files, m.stderr)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	ready := make(chan struct{})
	defer close(ready)
	go func() { // ends when the trial is ready, or has failed
		select {
		case <-m.exitAsked:
			cancel(ErrExit)
		case <-ready:
		}
	}()
	go func() { // ends when another Main has come, or when the trial is ready, or has failed
		select {
		case other := <-trial.Other():
			m.cfg.Logger.Warn("multiprolab: the trial of the new version runs a Main of another name, as a program "+
				"of its own, and the tried one has not come yet", "main", other, "tried", m.cfg.Name,
				"until", begun.Add(m.cfg.UpgradeTimeout))
		case <-ready:
		}
	}()
	err = trial.Ready(ctx, m.cfg.KillTimeout)
	if err != nil {
		err = m.otherTried(trial.Came(), err)
	} else if err = trial.Current(m.upgrade.Path()); err != nil {
		trial.End(m.trialTime())
	}
	if err != nil {
		m.takeLeft(trial)
		return nil, err
	}
	m.log(slog.LevelInfo, "the new version of the program is ready", slog.String("file", m.upgrade.Path()),
		slog.Duration("took", time.Since(begun)))
	return trial, nil
}

// otherTried adds to why a trial has failed that it has run other Mains, and not this one.
func (m *Main) otherTried(came []string, err error) error {
	if len(came) == 0 || slices.Contains(came, m.cfg.Name) {
		return err
	}
	return fmt.Errorf("the Main %q was to be tried, and the new file has run only Mains of other names, %q: give "+
		"it this Config.Name or, to change the name, end the program and start the new one: %w", m.cfg.Name, came, err)
}

// trialTime is how long a trial may take to finish what it has: it drains its queue first.
func (m *Main) trialTime() time.Duration { return 2*m.cfg.ShutdownTimeout + m.cfg.KillTimeout }

// execute executes the new file in the place of this process, in which no worker is left. It
// returns if that fails, and the old file cannot be executed once more, either; and if somebody has
// asked for the end of the program.
func (m *Main) execute(trial *upgrade.Trial) error {
	h := &upgrade.Handed{
		Main:    m.cfg.Name,
		Path:    m.upgrade.Path(),
		Sockets: m.sockets.HandOn(),
		Tasks:   m.upgrade.HandedOver(),
	}
	m.broker.handQueue(h)
	h.Ignored = m.signals.Hangs()
	bridges := !trial.Alone()
	if bridges {
		bridges = trial.HandOn(h) == nil && h.Pid != 0
	}
	if !bridges {
		trial.End(m.trialTime())
		m.addLeft(h, trial)
	}
	m.service.Watchdog()
	last := func() error {
		m.signals.Release()
		if goroutine.Closed(m.upgrade.Abandoned()) {
			return m.stopCause()
		}
		return nil
	}
	environ := append(os.Environ(), m.service.Environ()...)
	err := trial.Current(m.upgrade.Path())
	if err == nil {
		err = upgrade.Exec(m.upgrade.Path(), environ, h, last)
	}
	if trial.TakeBack(h); goroutine.Closed(m.upgrade.Abandoned()) {
		return nil
	}
	if bridges {
		trial.End(m.trialTime())
		m.addLeft(h, trial)
	}
	h.Failed, h.Again = err.Error(), m.signals.Again()
	if old, find := proc.Executable(); find == nil {
		err = errors.Join(err, upgrade.Exec(old, environ, h, last))
	}
	if goroutine.Closed(m.upgrade.Abandoned()) {
		return nil
	}
	return &UpgradeError{m.upgrade.Path(), err}
}

// upgradeBySignal is Upgrade for a signal, on a goroutine of its own.
func (m *Main) upgradeBySignal(ctx context.Context) {
	m.log(slog.LevelInfo, "Config.UpgradeSignal: a new version of the program is tried",
		slog.String("file", m.upgrade.Path()))
	err := m.Upgrade(ctx)
	if goroutine.Closed(m.exitAsked) { // the end of the program is told elsewhere
		return
	}
	m.log(slog.LevelError, "the program is not upgraded", slog.String("error", brief(err)))
}

package multiprolab

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"runtime"

	"github.com/multiprolab/multiprolab/internal/codec"
	"github.com/multiprolab/multiprolab/internal/contexts"
	"github.com/multiprolab/multiprolab/internal/goroutine"
	"github.com/multiprolab/multiprolab/internal/life"
	"github.com/multiprolab/multiprolab/internal/proc"
	"github.com/multiprolab/multiprolab/internal/recorder"
	"github.com/multiprolab/multiprolab/internal/sdnotify"
	"github.com/multiprolab/multiprolab/internal/signals"
	"github.com/multiprolab/multiprolab/internal/upgrade"
	"github.com/multiprolab/multiprolab/internal/watchers"
	"github.com/multiprolab/multiprolab/internal/wire"
)

// This file is how a Main is made and started.

// New makes a Main. It starts nothing: what is wrong with the configuration is reported by Run or
// Start. A nil config means the defaults.
func New(cfg *Config) *Main {
	m := &Main{milestones: newMilestones()}
	m.made, m.nested = callSite(), insideWorker(context.Background())
	m.upgrade = upgrade.NewCourse()
	m.cfg, m.err = cfg.filled()
	m.node = newNode(MainName, &codec.Codec{}, m.cfg.MaxMessageSize, m.cfg.Window)
	m.announcer = &announcer{
		config:   &m.cfg,
		inbox:    m.receiver,
		ends:     m.exitAsked,
		logs:     newLogbook(m.cfg.Logger),
		watchers: watchers.New(func(n int) Event { return &EventsMissed{Count: n} }),
	}
	m.flight = recorder.NewLog()
	m.broker = newBroker(m.node, &m.cfg, m.flight.Counter(), m.announcer)
	m.defaults = taskDefaults{}
	m.broker.defaults = m.defaults
	m.broker.dog.alarm, m.broker.dog.neglected = m.alarmed, m.broker.rules.Neglected
	m.queue = &TaskQueue{node: m.node, main: m.broker}
	m.desk = &desk{
		cfg:       &m.cfg,
		codec:     m.codec,
		flight:    m.flight,
		receiver:  m.receiver,
		logs:      m.logs,
		tasks:     m.broker,
		emit:      m.emit,
		emitLost:  m.emitLost,
		left:      m.history.left,
		exit:      m.Exit,
		stopCause: m.stopCause,
		share:     m.share,
	}
	m.fleet = newWorkerFleet(m, &m.registry, m.desk, m.broker, m.flight.Counter())
	m.desk.doomed = m.fleet.doomed
	m.router = &mainRouter{
		node:     m.node,
		registry: &m.registry,
		standing: &m.standing,
		broker:   m.broker,
		desk:     m.desk,
	}
	m.desk.calls = m.router
	m.connect(m.router, m.stopCause)
	m.loop.held, m.loop.fail = true, m.actionFailed
	m.stdout, m.stderr = life.NewShared(m.cfg.Stdout), life.NewShared(cmp.Or[io.Writer](m.cfg.Stderr, os.Stderr))
	m.cancel = func(error) {}
	return m
}

// Run starts the workers, handles messages and actions on the calling goroutine until exit is
// requested, ends the workers and returns when nothing of them is left. Exit is requested by Exit,
// by SIGINT or SIGTERM, by the end of ctx, or by an error: of an action of main, of a worker that
// does not start, or of one that dies too often. Run returns nil, that error, or a *ShutdownError
// that names the workers that had to be killed. If the race detector has found a data race in a
// worker, it returns a *WorkerDiedError of that.
//
// In a worker process Run becomes the worker and never returns, unless Hook has done so before. In
// the process of a worker of another Main it returns nil at once: see Config.Name.
func (m *Main) Run(ctx context.Context) error {
	if proc.Current() == nil {
		// FromEnv also takes the variables out of the environment of the workers.
		m.service = sdnotify.FromEnv().For(sdnotify.Program{
			Ready:  m.allReady,
			Exit:   m.exitAsked,
			Ending: m.upgrade.Abandoned(),
			Turn:   func(fn func()) { m.receiver.soon(fn, wire.FrameCost) },
			Failed: func(err error) {
				m.log(slog.LevelWarn, "the service manager was not told", slog.Any("error", err))
			},
		})
	}
	if err := m.begin(ctx); err != nil {
		return unlessElsewhere(err)
	}
	defer proc.ReapOrphans()()     // if this is process 1 of a container
	if m.upgrade.Handed() != nil { // what the service manager's watchdog has heard last is of the old version
		m.service.Watchdog()
	}
	defer m.service.Follow()()
	defer m.signals.Handle(&signals.Program{
		NewVersion: m.cfg.UpgradeSignal,
		Worker:     proc.Current() != nil,
		End:        m.endBySignal,
		Reload:     m.reload,
		Upgrade:    m.upgradeBySignal,
	})()
	var err error
	goroutine.Finally(m.work, func(goexit bool) {
		err = m.await(context.Background())
		if goexit && !proc.IsTestBinary() { // in a test binary only the test has ended
			panic(err) // otherwise the program might go on silently without its workers
		}
	})
	return err
}

// Start is Run for a program that has a main loop of its own: it starts the workers and returns
// when all are ready. Messages and actions of main are handled on a goroutine. Signals are left to
// the program. The end of ctx requests exit. If a worker does not start, Start ends the others and
// returns its error; if exit is requested before all are ready, it ends them and returns an error
// that wraps ErrStopped. Call Wait or Close in the end.
//
// In a worker process Start becomes the worker and never returns, unless Hook has done so before.
// In the process of a worker of another Main it returns nil at once: see Config.Name.
func (m *Main) Start(ctx context.Context) error {
	if err := m.begin(ctx); err != nil {
		return unlessElsewhere(err)
	}
	go m.work() // ends when every worker has; Wait and Close wait for it
	select {
	case <-m.allReady:
		return nil
	case <-m.ended:
	}
	if err := m.await(context.Background()); err != nil || goroutine.Closed(m.allReady) {
		return err
	}
	return fmt.Errorf("multiprolab: exit was requested before all workers were ready: %w", m.stopCause())
}

// begin checks everything, and starts what runs beside the loop of main. In the process of a worker
// of m it becomes the worker, and does not return.
func (m *Main) begin(ctx context.Context) error {
	m.lifeMu.Lock()
	if m.state != mainNew {
		m.lifeMu.Unlock()
		return errTwice
	}
	m.state = mainRunning
	m.nested = m.nested || insideWorker(ctx)
	m.whole, m.cancel = context.WithCancelCause(context.WithoutCancel(ctx)) // so handlers see the values of ctx
	if goroutine.Closed(m.killAsked) {
		m.cancel(m.stopCauseLocked())
	}
	m.lifeMu.Unlock()
	err := m.prepare()
	if e := (*elsewhereError)(nil); errors.As(err, &e) {
		m.stayOut(e)
		return err
	}
	if err == nil && ctx.Err() != nil {
		err = fmt.Errorf("multiprolab: nothing was started: %w", contexts.CauseOf(ctx))
	}
	if err != nil {
		if m.spawner != nil {
			m.spawner.Close()
		}
		m.conclude(err)
		return err
	}
	m.lifeMu.Lock()
	m.serving.Store(true)
	m.lifeMu.Unlock()
	if h := m.upgrade.Handed(); h != nil {
		m.resumeQueue(h)
	}
	unwatch := context.AfterFunc(ctx, func() { m.exit(m.cfg.Shutdown, &contextError{contexts.CauseOf(ctx)}) })
	go m.conduct(unwatch) // ends when every worker has; Wait waits for it
	m.succeed()
	return nil
}

// prepare finds out what this process is, and makes the instances.
func (m *Main) prepare() error {
	if m.err != nil {
		return m.err
	}
	if role := proc.Current(); role != nil && proc.IsTestBinary() && goroutine.Caller("testing.tRunner") != "" {
		return fmt.Errorf(
			"multiprolab: this is the process of worker %v of the Main %q, and has come to the tests: call "+
				"multiprolabtest.Main in TestMain, or Main.Hook in an initialiser",
			role,
			role.Main,
		)
	}
	if err := m.takeRole(); err != nil { // it does not return in the process of a worker of m
		return err
	}
	if err := m.inherit(); err != nil {
		return err
	}
	if !m.cfg.InProcess {
		if proc.IsTestBinary() && !proc.TestBinaryAllowed() && m.hook == nil && !descent.become.Load() {
			return errors.New(
				"multiprolab: this is a test binary, and re-executing it would run all its tests in each worker: " +
					"call multiprolabtest.Main in TestMain, or Main.Hook in an initialiser, or set Config.InProcess",
			)
		}
		if err := cmp.Or(checkArgs(), m.claimName()); err != nil {
			return err
		}
		var err error
		if m.identity, err = proc.Identity(); err != nil {
			return fmt.Errorf("multiprolab: the program's own file cannot be examined: %w", err)
		}
		m.desk.identity = m.identity
		m.spawner = proc.NewSpawner()
		m.oomScoreAdj, m.kernelKills = proc.OOMScoreAdj(), newKernelKills()
	}
	if err := cmp.Or(m.checkHanded(), m.checkRecordFile()); err != nil {
		return err
	}
	if err := m.fleet.open(); err != nil {
		return err
	}
	m.warnOfErrors()
	if _, given := os.LookupEnv("GOMAXPROCS"); !given {
		m.procs = runtime.GOMAXPROCS(0)
	}
	m.broker.open(m.pools)
	if len(m.pools) == 0 { // also if the end was requested before
		m.everyoneReady()
		m.releaseLoop()
	}
	return nil
}

// releaseLoop lets the actions of main begin, but not in a trial of a new version.
func (m *Main) releaseLoop() {
	if !m.upgrade.Trial() {
		m.loop.release()
	}
}

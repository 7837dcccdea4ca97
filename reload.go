package multiprolab

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/multiprolab/multiprolab/internal/contexts"
	"github.com/multiprolab/multiprolab/internal/goroutine"
	"github.com/multiprolab/multiprolab/internal/mail"
	"github.com/multiprolab/multiprolab/internal/proc"
)

// This file is how workers are replaced while the program runs, in main: by Restart, and by SIGHUP.

// Restart replaces workers while the program runs, one after the other: an instance, the instances
// of a pool or, if the name is empty, all, in the order of their registration. Each finishes the
// task and the messages that it has, gives back the tasks that it has not started, and ends; once
// its replacement is ready the next one follows. No task and no message is lost, and none costs an
// attempt. A new process reads what a setup function reads, such as the configuration of the
// program: files, the environment of WorkerConfig is as it was.
//
// It does not run new code: workers always are of the build of main, so that both ends understand
// each other. On Linux they run the file that main was started from, even if it was replaced or
// deleted; elsewhere a worker cannot be started any more then. The first Restart that finds another
// file in its place logs that. For new code, use Upgrade.
//
// Restart returns when the last replacement is ready. It returns an error when ctx ends, when the
// program ends, or when the replacement of a worker fails for good, of a new configuration that is
// wrong perhaps; those behind are left as they are then. A worker that had ended for good before
// does not hold up the others: the errors of these are returned in the end. One that Resize takes
// away meanwhile is no error.
func (m *Main) Restart(ctx context.Context, name string) error {
	if err := m.running(); err != nil {
		return err
	}
	var slots []*slot
	for _, p := range m.pools {
		for _, s := range p.list() {
			if name == "" || name == p.name || name == s.name {
				slots = append(slots, s)
			}
		}
	}
	if len(slots) == 0 && name != "" {
		return &UnknownReceiverError{Receiver: name, Known: m.poolNames()}
	}
	m.warnOfNewCode()
	for i, s := range slots {
		if s.pool.cfg.Spare > 0 && (i == 0 || slots[i-1].pool != s.pool) {
			m.fleet.renew(s.pool)
		}
	}
	var errs []error
	for _, s := range slots {
		if goroutine.Closed(m.exitAsked) { // no further life begins
			errs = append(errs, fmt.Errorf("multiprolab: restarting worker %s: %w", s.name, m.stopCause()))
			break
		}
		over := !s.alive()
		if err := m.restart(ctx, s); err != nil {
			errs = append(errs, fmt.Errorf("multiprolab: restarting worker %s: %w", s.name, err))
			if !over {
				break
			}
		}
	}
	if len(errs) == 1 {
		return errs[0]
	}
	return errors.Join(errs...)
}

// warnOfNewCode logs, once, that the workers will not run the new file of the program.
func (m *Main) warnOfNewCode() {
	if m.cfg.InProcess || m.warned.Load() {
		return
	}
	if path, yes := proc.Replaced(); yes && m.warned.CompareAndSwap(false, true) {
		m.log(slog.LevelWarn, "the program's file is another one by now: workers go on with the code of main; "+
			"restart the program for the new code", slog.String("file", path))
	}
}

// restart replaces one instance, and waits until the replacement is ready. If the instance is being
// replaced already, it waits for that replacement.
func (m *Main) restart(ctx context.Context, s *slot) error {
	answer, forget := m.fleet.restart(s)
	if scopeOf(ctx) != nil { // the loop of main waits
		defer stall(ctx)()
		id := m.node.nextID()
		if err := m.broker.beginWait(MainName, id, mail.For(s.name), "Restart of "+s.name); err != nil {
			forget()
			return err
		}
		defer m.broker.endWait(MainName, id)
	}
	select {
	case err := <-answer:
		return err
	case <-ctx.Done():
	}
	select {
	case err := <-answer: // the answer came together with the end of ctx
		return err
	default:
		forget()
		return contexts.CauseOf(ctx)
	}
}

// reload replaces all workers one after the other, as SIGHUP asks. It has a goroutine of its
// own.
func (m *Main) reload(ctx context.Context) {
	if goroutine.Closed(m.exitAsked) {
		return
	}
	if m.service != nil { // the service manager is told of the complete start first
		select {
		case <-m.service.ReadyTold():
		case <-m.exitAsked:
			return
		case <-ctx.Done():
			return
		}
	}
	begun := time.Now()
	m.log(slog.LevelInfo, "SIGHUP: the workers are restarted, one after the other")
	m.service.Reloading()
	err := m.Restart(ctx, "")
	m.service.Ready()
	if err != nil && goroutine.Closed(m.exitAsked) {
		m.log(slog.LevelInfo, "the end of the program has ended the restart")
		return
	}
	if err != nil {
		m.log(slog.LevelError, "the restart has not come to its end", slog.String("error", brief(err)))
		return
	}
	m.log(slog.LevelInfo, "all workers have been restarted", slog.Duration("took", time.Since(begun)))
}

package multiprolab

import (
	"context"
	"fmt"
	"time"
)

// Restart replaces workers while the program runs, one after the other: an instance, the instances of a pool or, if the name is empty, all, in the order of their
// registration. Each finishes the task and the messages that it has, gives back the tasks that it has not started, and ends; once its replacement is ready the next one
// follows. No task and no message is lost, and none costs an attempt. A new process reads what a setup function reads: files, the environment of
// WorkerConfig is as it was.
//
// Restart returns when the last replacement is ready. It returns an error when ctx ends, when the program ends, or when a worker will not be replaced; those behind it are left as they are then.
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
	for _, s := range slots {
		if err := m.restart(ctx, s); err != nil {
			return fmt.Errorf("multiprolab: restarting worker %s: %w", s.name, err)
		}
	}
	return nil
}

// restart replaces one instance, and waits until the replacement is ready. One that is just being replaced needs no other.
func (m *Main) restart(ctx context.Context, s *slot) error {
	old := s.running()
	if old != nil && s.isUp() {
		m.broker.retire(old)
	} else {
		old = nil // the next that is ready will do, be it one that is just being started
	}
	return m.changes.wait(ctx, func() error {
		s.mu.Lock()
		defer s.mu.Unlock()
		switch {
		case s.up && s.current != old:
			return nil
		case s.gone != nil:
			return s.gone
		case s.leaving.Load():
			return nil // the pool shrinks
		case s.stopping.Err() != nil:
			return context.Cause(s.stopping)
		}
		return errWait
	})
}

// reload is what SIGHUP asks for: a rolling restart of all workers. Run calls it, on a goroutine of its own.
func (m *Main) reload(ctx context.Context) {
	if closed(m.exitAsked) {
		return
	}
	begun := time.Now()
	m.cfg.Logger.Info("multiprolab: SIGHUP: the workers are restarted, one after the other")
	m.noteService(m.service.Reloading())
	err := m.Restart(ctx, "")
	m.noteReady()
	if err != nil {
		m.cfg.Logger.Error("multiprolab: the restart has not come to its end", "error", brief(err))
		return
	}
	m.cfg.Logger.Info("multiprolab: all workers have been restarted", "took", time.Since(begun))
}

package multiprolab

import (
	"cmp"
	"context"
	"fmt"
	"time"
)

// supervise is the life of one instance: a process, and after its death the next one, until it is
// not to be replaced any more. It runs on a goroutine of its own, which conduct waits for, and is
// the only one that starts and ends the instance's processes.
func (m *Main) supervise(s *slot) {
	defer s.main.changes.announce()
	defer close(s.ended)
	defer s.hadTurn()
	if s.before != nil {
		<-s.before.ended
		s.lives = s.before.lives
	}
	defer func() { // also of one that is taken away, or ends with its group, before it was ready
		if !closed(m.exitAsked) {
			m.settle(s)
		}
	}()
	r := &restarts{cfg: &s.pool.cfg}
	// what is added later does not end the program if it does not start
	required := s.initial && r.cfg.OnRestartLimit == EndProgram
	for !s.ending() && !s.leaving.Load() {
		end := m.live(s)
		required = required && !end.ready
		next := m.afterLife(s, &end, r, required)
		if next == nil {
			return
		}
		if next.after > 0 {
			timer := time.NewTimer(next.after)
			select {
			case <-timer.C:
			case <-s.stopping.Done():
			}
			timer.Stop()
		}
	}
	s.bury(s.endOf())
}

// left says why nothing reaches an instance any more that has ended, or was taken away, without an
// error.
func (s *slot) left() error {
	return fmt.Errorf("multiprolab: worker %s has left: %w", s.name, ErrStopped)
}

// afterLife reports how a life has ended, and decides what follows: nil if nothing does, and the
// instance is buried.
func (m *Main) afterLife(s *slot, end *lifeEnd, r *restarts, required bool) *sequel {
	pid := 0
	if end.peer != nil {
		pid = end.peer.pid()
	}
	failed := &WorkerFailed{Worker: s.name, PID: pid, Life: s.lives, Err: end.err}
	if p := end.peer; p != nil && !end.raced { // a data race is a fault, whatever has ended the process
		failed.late = p.ledOut
		failed.Planned = failed.late || p.onPurpose()
	}
	stopped := func(restart bool, after time.Duration) {
		if end.peer != nil {
			m.emit(
				&WorkerStopped{
					Worker:  s.name,
					PID:     pid,
					Life:    s.lives,
					Restart: restart,
					After:   after,
					value:   end.peer.exitValue(),
					node:    m.node,
				},
			)
		}
	}
	switch {
	case s.ending(), s.leaving.Load(): // it is not replaced, whatever the config says
		if end.err != nil && end.peer != nil && !end.peer.ledOut {
			m.emit(failed) // it failed by itself on the way out
		} else {
			stopped(false, 0)
		}
		return &sequel{}
	case end.retired && end.err == nil:
		stopped(true, 0)
		return &sequel{restart: true}
	case end.retired && end.raced && end.peer.greeted.Load(): // it was to be replaced, and is
		failed.Restart = true
		m.emit(failed)
		return &sequel{restart: true}
	}
	next := r.after(end, time.Now())
	if required { // a program whose workers do not start is not started again and again
		next = sequel{}
	}
	failed.Restart, failed.After = next.restart, next.after
	switch {
	case end.err == nil:
		stopped(failed.Restart, failed.After)
	default:
		m.emit(failed)
	}
	if next.restart {
		s.restartOthers(end.cause())
		return &next
	}
	why := cmp.Or(next.limit, end.err)
	switch {
	case required:
		m.fail(end.err)
	case next.limit != nil && r.cfg.OnRestartLimit == EndProgram:
		m.fail(next.limit)
	case why == nil:
		s.bury(s.left())
		return nil
	}
	s.endOthers(why) // before they find that they need it in vain
	s.bury(why)
	return nil
}

// lifeEnd is how a life of an instance went.
type lifeEnd struct {
	worker  string
	peer    *peer         // nil if there was no process
	ready   bool          // it became ready
	lasted  time.Duration // since then
	retired bool          // it was led out to be replaced
	raced   bool          // the race detector has found something in it
	blamed  bool          // it was working on a task when it died
	err     error         // nil if it ended by itself, or as it was told, without an error
}

// live is one life of an instance, from the start of its process until nothing of it is left.
func (m *Main) live(s *slot) (end lifeEnd) {
	end.worker = s.name
	if end.err = s.awaitTurn(); end.err != nil {
		return end
	}
	s.lives++
	p, err := m.spawn(s, s.lives)
	if err != nil {
		s.notStarted()
		s.hadTurn()
		end.err = err
		return end
	}
	end.peer = p
	life := s.beginLife(p)
	p.welcome()
	m.emit(&WorkerStarted{Worker: s.name, PID: p.pid(), Life: s.lives})
	s.hadTurn() // now: the starts are told in their order, too
	if err = p.handshake(life); err == nil {
		s.out.attachWhole(p.link)
		p.greeted.Store(true)
		err = p.becomeReady(life)
	}
	if err == nil {
		end.ready = true
		p.watchMemory()
		begun := time.Now()
		s.setUp()
		m.emit(&WorkerReady{Worker: s.name, PID: p.pid(), Life: s.lives, Took: time.Since(p.begun)})
		m.settle(s)
		end.retired = m.attend(p, life)
		end.lasted = time.Since(begun)
	} else if life.Err() != nil && !s.ending() {
		end.retired, err = true, nil
	}
	switch {
	case s.ending(), end.retired:
		m.leadOut(p)
	case err != nil && !closed(p.process.Read()):
		p.kill("its start failed")
	}
	how := p.end(m)
	if end.raced = p.ended.Raced; end.raced {
		m.noteRace(p.raceError(how))
	}
	lost, calls := s.out.detach()
	if err == nil || s.ending() {
		err = how
	}
	cause := err
	if cause == nil {
		cause = fmt.Errorf(
			"multiprolab: worker %s has ended: %w",
			s.name,
			cmp.Or(context.Cause(s.stopping), ErrStopped),
		)
	}
	if end.retired && p.ledOut && !p.greeted.Load() {
		err = nil // it had not begun
	}
	end.err = err
	end.blamed = m.broker.leave(p, how)
	p.client.gone()
	if closed(p.process.Read()) {
		p.link.Release()
	}
	s.finishLife()
	s.failCalls(calls, cause, true)
	s.deadLetters(lost, cause)
	return end
}

// attend waits until a worker that is ready ends, or must be ended, and reports whether it is to be
// replaced.
func (m *Main) attend(p *peer, life context.Context) (retired bool) {
	cfg := &p.slot.pool.cfg
	if cfg.MaxAge > 0 {
		timer := time.AfterFunc(cfg.MaxAge, func() { m.broker.retire(p) })
		defer timer.Stop()
	}
	pulse := newPulse(p)
	defer pulse.Stop()
	for {
		select {
		case <-p.process.Read():
			return false
		case <-p.process.Done():
			return false
		case <-p.retired:
			return true
		case h := <-p.process.Hangs():
			p.killHung(h)
			return false
		case <-pulse.Tick():
			if h := pulse.Beat(); h != nil {
				p.killHung(h)
				return false
			}
		case <-life.Done():
			if p.slot.ending() {
				return false
			}
			m.broker.retire(p) // what it has not started goes to others
			return true
		}
	}
}

// leadOut takes a worker out of the program: the exit message, SIGTERM, SIGKILL to all its tree,
// each with its time. A second request to exit may cut it short.
func (m *Main) leadOut(p *peer) {
	if !p.greeted.Load() {
		p.ledOut = true
		p.kill("it was ended before it had started")
		if closed(m.killAsked) { // it may be in its setup function already, and its hello on the way
			m.noteKilled(p, "the program was told to end at once")
		}
		return
	}
	mode := m.shutdownMode()
	var forGood error // why; nil if another life follows
	if p.slot.ending() {
		forGood = p.slot.endOf()
	}
	if forGood == nil || p.slot.leaving.Load() && m.stopping.Err() == nil { // endWorkers stops m itself last
		mode = DrainQueue // it alone is replaced, or taken away
	} else if mode != KillAll {
		p.slot.awaitDependents()
	}
	p.tellExit(mode, forGood)
	why := fmt.Sprintf(
		"it did not end within %v after the exit message, nor within %v after SIGTERM",
		m.cfg.ShutdownTimeout,
		m.cfg.KillTimeout,
	)
	if m.waitEnd(p, m.cfg.ShutdownTimeout) {
		return
	}
	if !closed(m.killAsked) {
		p.ledOut = true
		p.process.Terminate()
		if m.waitEnd(p, m.cfg.KillTimeout) {
			if !closed(m.killAsked) {
				m.noteKilled(
					p,
					fmt.Sprintf(
						"it did not end within %v after the exit message; SIGTERM ended it",
						m.cfg.ShutdownTimeout,
					),
				)
			}
			return
		}
	}
	if closed(m.killAsked) {
		why = "the program was told to end at once"
	}
	p.ledOut = true
	why = p.blame(why)
	p.kill(why)
	m.noteKilled(p, why)
}

// waitEnd waits until the worker has ended, at most for the time d, and reports whether it has. The
// request to kill ends the wait.
func (m *Main) waitEnd(p *peer, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-p.process.Done():
		return true
	case <-timer.C:
	case <-m.killAsked:
	}
	return closed(p.process.Done())
}

// noteKilled remembers a worker that had to be killed at the end of the program, for Run's error.
// One that was to be replaced is an event instead.
func (m *Main) noteKilled(p *peer, why string) {
	if !closed(m.exitAsked) {
		return
	}
	m.lifeMu.Lock()
	defer m.lifeMu.Unlock()
	m.killed = append(m.killed, KilledWorker{Worker: p.slot.name, PID: p.pid(), Reason: why})
}

// settle counts the instances that have become ready for the first time, or will never be. With the
// last one main's actions begin. Who becomes ready after the end was asked for does not make the
// program a started one.
func (m *Main) settle(s *slot) {
	m.lifeMu.Lock()
	if !s.initial {
		m.lifeMu.Unlock()
		return
	}
	s.initial = false
	m.notReady--
	all := m.notReady == 0
	if all && !closed(m.exitAsked) {
		close(m.allReady)
	}
	m.lifeMu.Unlock()
	if all {
		if m.stopping.Err() == nil {
			m.loop.release()
		}
	}
}

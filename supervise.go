package multiprolab

import (
	"fmt"
	"time"
)

// supervise is the life of one instance: a process, and after its death the next one, until it is not to be replaced any more. It runs on a
// goroutine of its own, which conduct waits for, and is the only one that starts and ends the instance's processes.
func (m *Main) supervise(s *slot) {
	var failures []time.Time
	cfg := &s.pool.cfg
	defer close(s.ended)
	if s.before != nil {
		<-s.before.ended
		s.lives = s.before.lives
	}
	everReady := m.started() // what is added later does not end the program if it does not start
	for life := s.lives + 1; !s.ending() && !s.leaving.Load(); life++ {
		s.lives = life
		end := m.live(s, life, !everReady)
		everReady = everReady || end.ready
		pid := 0
		if end.peer != nil {
			pid = end.peer.pid()
		}
		failed := &WorkerFailed{Worker: s.name, PID: pid, Life: life, Err: end.err}
		if end.err == nil || s.ending() {
			if end.err != nil && end.peer != nil && !end.peer.ledOut {
				m.emit(failed) // it failed by itself on the way out
			} else if end.peer != nil {
				m.emit(&WorkerStopped{Worker: s.name, PID: pid, Life: life, value: end.peer.exitValue(), node: m.node})
			}
			if end.err == nil && !end.retired && !s.ending() {
				s.bury(fmt.Errorf("multiprolab: worker %s has left: %w", s.name, ErrStopped))
				return
			}
			continue
		}
		if !everReady || cfg.Restart == RestartNever {
			m.emit(failed)
			if !everReady {
				m.fail(end.err)
			}
			s.bury(end.err)
			return
		}
		if !end.blamed { // else it is the failure of a task, which has its outcome
			now := time.Now()
			// A life that never became ready ends no window: slow failures to start would else go on for ever.
			for end.ready && len(failures) > 0 && now.Sub(failures[0]) > cfg.RestartWindow {
				failures = failures[1:]
			}
			if failures = append(failures, now); len(failures) > cfg.RestartLimit {
				m.emit(failed)
				limit := &RestartLimitError{Worker: s.name, Restarts: cfg.RestartLimit, Window: cfg.RestartWindow, Err: end.err}
				m.fail(limit)
				s.bury(limit)
				return
			}
			failed.After = backoff(cfg, len(failures))
		}
		failed.Restart = true
		m.emit(failed)
		if failed.After > 0 {
			timer := time.NewTimer(failed.After)
			select {
			case <-timer.C:
			case <-s.stopping.Done():
			}
			timer.Stop()
		}
	}
	s.bury(ErrStopped)
}

// backoff returns the pause before the restart after the n-th failure within the window.
func backoff(cfg *WorkerConfig, n int) time.Duration {
	if n == 1 {
		return 0
	}
	d := cfg.RestartDelay
	for range n - 2 {
		if d *= 2; d >= cfg.RestartMaxDelay {
			break
		}
	}
	return min(d, cfg.RestartMaxDelay)
}

// lifeEnd is how a life of an instance went.
type lifeEnd struct {
	peer    *peer // nil if there was no process
	ready   bool  // it became ready
	retired bool  // it was led out to be replaced
	blamed  bool  // it was working on a task when it died
	err     error // nil if it ended by itself, or as it was told, without an error
}

// live is one life of an instance, from the start of its process until nothing of it is left.
func (m *Main) live(s *slot, life int, first bool) (end lifeEnd) {
	p, err := m.spawn(s, life)
	if err != nil {
		return lifeEnd{err: err}
	}
	end.peer = p
	s.setCurrent(p)
	m.emit(&WorkerStarted{Worker: s.name, PID: p.pid(), Life: life})
	greeted := false
	if err = p.handshake(s.stopping); err == nil {
		greeted = true
		s.out.attach(p.link)
		err = p.becomeReady(s.stopping)
	}
	if err == nil {
		end.ready = true
		m.emit(&WorkerReady{Worker: s.name, PID: p.pid(), Life: life, Took: time.Since(p.begun)})
		if first {
			m.becameReady()
		}
		end.retired = m.attend(p)
	}
	switch {
	case s.ending(), end.retired:
		m.leadOut(p, greeted)
	case err != nil && !closed(p.read):
		p.kill("its start failed")
	}
	how := p.end(m)
	s.setCurrent(nil)
	lost := s.out.detach()
	if err == nil || s.ending() {
		err = how
	}
	cause := err
	if cause == nil {
		cause = fmt.Errorf("multiprolab: worker %s has ended: %w", s.name, ErrStopped)
	}
	end.err = err
	end.blamed = m.broker.leave(p, how)
	s.failCalls(cause, false)
	s.deadLetters(lost, cause)
	return end
}

// attend waits until a worker that is ready ends, or must be ended, and reports whether it is to be replaced.
func (m *Main) attend(p *peer) (retired bool) {
	if age := p.slot.pool.cfg.MaxAge; age > 0 {
		timer := time.AfterFunc(age, func() { m.broker.retire(p) })
		defer timer.Stop()
	}
	select {
	case <-p.read:
	case <-p.body.done():
	case <-p.retired:
		return true
	case <-p.slot.stopping.Done():
	}
	return false
}

// leadOut takes a worker out of the program: the exit message, SIGTERM, SIGKILL to all its tree, each with its time. A second request to
// exit may cut it short.
func (m *Main) leadOut(p *peer, greeted bool) {
	if !greeted {
		p.ledOut = true
		p.kill("the program ended before it had started")
		return
	}
	mode := m.shutdownMode()
	forGood := m.stopping.Err() != nil
	if !forGood {
		mode = DrainQueue // it alone is replaced, or taken away
	}
	if mode != KillAll {
		exit := exitFrame(mode)
		if mode == DrainQueue {
			p.slot.out.finish(exit, forGood)
		} else {
			_ = p.link.post(exit)
		}
	}
	why := fmt.Sprintf("it did not end within %v after the exit message, nor within %v after SIGTERM", m.cfg.ShutdownTimeout, m.cfg.KillTimeout)
	if m.waitEnd(p, m.cfg.ShutdownTimeout) {
		return
	}
	if !closed(m.killAsked) {
		p.ledOut = true
		p.body.terminate()
		if m.waitEnd(p, m.cfg.KillTimeout) {
			if !closed(m.killAsked) {
				m.noteKilled(p, fmt.Sprintf("it did not end within %v after the exit message; SIGTERM ended it", m.cfg.ShutdownTimeout))
			}
			return
		}
	}
	if closed(m.killAsked) {
		why = "the program was told to end at once"
	}
	p.ledOut = true
	p.kill(why)
	m.noteKilled(p, why)
}

// waitEnd waits until the worker has ended, at most for the time d, and reports whether it has. The request to kill ends the wait.
func (m *Main) waitEnd(p *peer, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-p.body.done():
		return true
	case <-timer.C:
	case <-m.killAsked:
	}
	return closed(p.body.done())
}

func (m *Main) noteKilled(p *peer, why string) {
	m.lifeMu.Lock()
	defer m.lifeMu.Unlock()
	m.killed = append(m.killed, KilledWorker{Worker: p.slot.name, PID: p.pid(), Reason: why})
}

// becameReady counts the instances that have become ready for the first time. With the last one main's actions begin.
func (m *Main) becameReady() {
	m.lifeMu.Lock()
	m.notReady--
	all := m.notReady == 0
	m.lifeMu.Unlock()
	if all {
		close(m.allReady)
		if m.stopping.Err() == nil {
			m.loop.release()
		}
	}
}

func (s *slot) setCurrent(p *peer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.current = p
}

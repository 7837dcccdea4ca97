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
	everReady := false
	for life := 1; m.stopping.Err() == nil; life++ {
		p, ready, err := m.live(s, life, !everReady)
		everReady = everReady || ready
		failed := &WorkerFailed{Worker: s.name, Life: life, Err: err}
		if p != nil {
			failed.PID = p.pid()
		}
		switch {
		case err == nil || m.stopping.Err() != nil:
			if err != nil && p != nil && !p.ledOut {
				m.emit(failed) // it failed by itself on the way out
			} else if p != nil {
				m.emit(&WorkerStopped{Worker: s.name, PID: p.pid(), Life: life})
			}
			if err == nil {
				s.bury(fmt.Errorf("multiprolab: worker %s has left: %w", s.name, ErrStopped))
			}
			if m.stopping.Err() == nil {
				return
			}
			continue
		case !everReady:
			m.emit(failed)
			m.fail(err)
			s.bury(err)
			return
		case cfg.Restart == RestartNever:
			m.emit(failed)
			s.bury(err)
			return
		}
		now := time.Now()
		for len(failures) > 0 && now.Sub(failures[0]) > cfg.RestartWindow {
			failures = failures[1:]
		}
		failures = append(failures, now)
		if len(failures) > cfg.RestartLimit {
			m.emit(failed)
			limit := &RestartLimitError{Worker: s.name, Restarts: cfg.RestartLimit, Window: cfg.RestartWindow, Err: err}
			m.fail(limit)
			s.bury(limit)
			return
		}
		failed.Restart, failed.After = true, backoff(cfg, len(failures))
		m.emit(failed)
		if failed.After > 0 {
			timer := time.NewTimer(failed.After)
			select {
			case <-timer.C:
			case <-m.stopping.Done():
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

// live is one life of an instance, from the start of its process until nothing of it is left. It returns nil if the worker ended by
// itself and without an error.
func (m *Main) live(s *slot, life int, first bool) (p *peer, ready bool, err error) {
	p, err = m.spawn(s, life)
	if err != nil {
		return nil, false, err
	}
	s.setCurrent(p)
	m.emit(&WorkerStarted{Worker: s.name, PID: p.pid(), Life: life})
	greeted := false
	if err = p.handshake(m.stopping); err == nil {
		greeted = true
		s.out.attach(p.link)
		err = p.becomeReady(m.stopping)
	}
	if err == nil {
		ready = true
		m.emit(&WorkerReady{Worker: s.name, PID: p.pid(), Life: life, Took: time.Since(p.begun)})
		if first {
			m.becameReady()
		}
		select {
		case <-p.read:
		case <-p.body.done():
		case <-m.stopping.Done():
		}
	}
	if m.stopping.Err() != nil {
		m.leadOut(p, greeted)
	} else if err != nil && !closed(p.read) {
		p.kill("its start failed")
	}
	how := p.end(m)
	s.setCurrent(nil)
	lost := s.out.detach()
	if err == nil || m.stopping.Err() != nil {
		err = how
	}
	cause := err
	if cause == nil {
		cause = fmt.Errorf("multiprolab: worker %s has ended: %w", s.name, ErrStopped)
	}
	died, _ := how.(*WorkerDiedError)
	m.broker.leave(p, died)
	s.failCalls(cause, false)
	s.deadLetters(lost, cause)
	return p, ready, err
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
	if mode != KillAll {
		exit := exitFrame(mode)
		if mode == DrainQueue {
			p.slot.out.finish(exit)
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

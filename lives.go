package multiprolab

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"syscall"
	"time"

	"github.com/multiprolab/multiprolab/internal/errpack"
	"github.com/multiprolab/multiprolab/internal/fleet"
	"github.com/multiprolab/multiprolab/internal/goroutine"
	"github.com/multiprolab/multiprolab/internal/life"
	"github.com/multiprolab/multiprolab/internal/link"
	"github.com/multiprolab/multiprolab/internal/outbox"
	"github.com/multiprolab/multiprolab/internal/sockets"
	"github.com/multiprolab/multiprolab/internal/wire"
)

// lifetime is one life of an instance as the goroutine of the life sees it: from the start of its
// process until nothing of it is left. It exists in main. What follows from the end of a life is
// for the rules of lives to say; see workerFleet.
type lifetime struct {
	// main is the Main of the instance. It never changes.
	main *Main
	// rules are told how far the life has come. They never change.
	rules lifeRules
	// slot is the instance in which the life begins. It never changes.
	slot *slot
	// lifePlace is where the rules have the life.
	lifePlace
	// number is the number of the life, from 1. It never changes.
	number int
	// told ends when the life must be ended.
	told context.Context
	// tell ends told.
	tell context.CancelCauseFunc
	// mode is how the life is led out. It is set before told ends, and read after that.
	mode ShutdownMode
	// forGood is why no other life follows, or nil if one does. It is set before told ends, and
	// read after that.
	forGood error
	// peer is what main knows of the process; nil if there was none. The goroutine of the life sets
	// it. Others read it once the rules have been told of the end of the life.
	peer *peer
	// err is the error that the life has ended with; nil if it ended by itself, or as it was told,
	// without an error. The goroutine of the life sets it. Others read it once the rules have been
	// told of the end of the life.
	err error
}

// lifePlace is where the rules of lives have a life. It exists in main; the mutex of workerFleet
// guards it.
type lifePlace struct {
	at fleet.Slot // the slot by which the rules know the life: another one once a spare has a place
}

// lifeRules are the rules of lives as the goroutine of a life tells them how far it has come; see
// workerFleet.
type lifeRules interface {
	// started tells that the life has its process, and that the start was announced.
	started(s *slot)
	// greeted tells that the worker has said hello.
	greeted(s *slot)
	// up tells that the worker is ready. tell announces it, before anything that follows from it is
	// done.
	up(s *slot, tell func())
	// idle tells that the worker, which is to be replaced, holds no task any more.
	idle(l *lifetime)
	// leave tells that the worker leaves for good, of its own accord.
	leave(l *lifetime)
	// doomed tells that the worker is about to be killed.
	doomed(at *seat)
	// ended tells that nothing is left of the life.
	ended(l *lifetime, how fleet.How)
}

// newLife returns a life of an instance that has not begun.
func (m *Main) newLife(s *slot, number int) *lifetime {
	l := &lifetime{main: m, rules: m.fleet, slot: s, lifePlace: lifePlace{s.id}, number: number}
	l.told, l.tell = context.WithCancelCause(context.Background())
	return l
}

// run leads the life from its start to its end, and tells the rules how far it has come. It is the
// goroutine of the life.
func (l *lifetime) run() {
	defer l.tell(nil)
	s, m := l.slot, l.main
	if l.told.Err() != nil { // it was told to end before it had a process
		l.rules.ended(l, fleet.How{})
		return
	}
	p, err := m.spawn(s, l.number)
	if errors.Is(err, sockets.ErrClosed) && goroutine.Closed(m.exitAsked) { // conduct has closed the listeners
		l.rules.ended(l, fleet.How{})
		return
	}
	if err != nil {
		l.err = err
		l.rules.ended(l, fleet.How{Failed: true, Permanent: permanent(err), Cause: err})
		return
	}
	l.peer = p
	m.history.begun(s, p)
	p.welcome(m)
	m.tellStart(p)
	l.rules.started(s)
	if err = p.handshake(l.told, m); err == nil {
		if !p.spare() {
			s.out.AttachWhole(p.link)
		}
		p.greeted.Store(true)
		l.rules.greeted(s)
		err = p.becomeReady(l.told, m)
	}
	if err == nil {
		p.watchMemory()
		p.took = time.Since(p.begun)
		up := &WorkerReady{Worker: s.name, PID: p.pid(), Life: l.number, Took: p.took}
		l.rules.up(s, func() { m.emit(up) })
		l.attend()
	}
	led := l.told.Err() != nil
	switch {
	case led:
		l.end()
	case err != nil && !goroutine.Closed(p.process.Read()):
		p.kill("its start failed")
	}
	l.rules.ended(l, l.bequeath(led, err))
}

// attend waits until a worker that is ready ends, or until it has to be ended. If it hangs, attend
// kills it.
func (l *lifetime) attend() {
	p := l.peer
	pulse := newPulse(p)
	defer pulse.Stop()
	if h := p.process.Attend(pulse, l.told.Done(), p.retired, l.goes); h != nil {
		l.rules.doomed(p.at.Load())
		p.killHung(h)
	}
}

// goes tells the rules that the worker has nothing to do any more, or that it leaves for good.
func (l *lifetime) goes() {
	if l.peer.leaves.CompareAndSwap(true, false) {
		l.rules.leave(l)
	} else {
		l.rules.idle(l)
	}
}

// bequeath waits until nothing of the process is left, gives back what the worker held, and says
// how the life has ended. led says that the life was told to end; otherwise err is why it did not
// become ready, or nil.
func (l *lifetime) bequeath(led bool, err error) fleet.How {
	p, m := l.peer, l.main
	how := p.end(m)
	m.noteEnd(p)
	if p.ended.Raced {
		m.noteRace(p.raceError(how))
	}
	if l.slot.index < 0 && !p.standing.CompareAndSwap(standsBy, fellDown) {
		<-p.placed // it got its place in this moment
	}
	s := p.slot()
	var lost []outbox.Letter
	var calls []outbox.Call
	worked := m.broker.worked(p)
	if p.standing.Load() != fellDown {
		var handled bool
		lost, calls, handled = s.out.Detach()
		worked = worked || handled
	}
	if err == nil || led {
		err = how
	}
	cause := err
	if cause == nil {
		why := m.stopCause()
		if led && l.forGood != nil {
			why = l.forGood
		}
		cause = fmt.Errorf("multiprolab: worker %s has ended: %w", s.name, why)
	}
	if err == nil && !led && p.standing.Load() == fellDown {
		err = &StartError{Worker: s.name, PID: p.pid(), Reason: "its process ended while it stood by for a place"}
	}
	blamed := m.broker.leave(p, how)
	p.client.gone()
	for _, id := range p.client.streams.Drain() {
		m.broker.cancel(p.client, id, false)
	}
	m.shares.Leave(p.shares)
	if goroutine.Closed(p.process.Read()) {
		p.link.Release()
	}
	m.history.over(s, p)
	l.slot.finishLife(p) // a spare that was lent and got no place
	s.failCalls(calls, cause, true)
	s.deadLetters(lost, cause)
	l.err = err
	return fleet.How{
		Failed:    err != nil,
		Forced:    p.ledOut,
		Raced:     p.ended.Raced,
		Blamed:    blamed,
		Permanent: permanent(err),
		Worked:    worked,
		Cause:     err,
	}
}

// tellDown announces the end of the life. The rules have said what follows.
func (l *lifetime) tellDown(s *slot, e *fleet.Effect) {
	m, p := l.main, l.peer
	switch {
	case e.Failed:
		failed := &WorkerFailed{
			Worker:  s.name,
			Life:    e.Life,
			Err:     l.err,
			Restart: e.Restart,
			After:   e.After,
			cause:   causeOfDeath(p, l.err),
		}
		if p != nil {
			failed.PID = p.pid()
		}
		if p != nil && !p.ended.Raced { // a data race is a fault, whatever has ended the process
			failed.late = p.ledOut
			failed.Planned = failed.late || p.onPurpose()
		}
		m.emit(failed)
	case p != nil:
		m.emit(&WorkerStopped{
			Worker:  s.name,
			PID:     p.pid(),
			Life:    e.Life,
			Restart: e.Restart,
			After:   e.After,
			value:   p.exitValue(),
			codec:   m.codec,
		})
	}
}

// retire has the broker give the present life no further task.
func (s *slot) retire() {
	if p := s.running(); p != nil {
		s.desk.tasks.retire(p)
	}
}

// leadOut tells the life to end, as the rules say. why is the error of their reason. The exit
// message is sent at once: so workers that are led out together are told in the order of the rules.
func (l *lifetime) leadOut(s *slot, e *fleet.Effect, why error) {
	l.mode = ShutdownMode(e.Mode)
	if e.ForGood {
		l.forGood = why
	}
	if e.Reason.Kind != fleet.Ended { // at the end of the program no worker is given a task anyway
		if e.ForGood {
			s.leaving.Store(true)
		}
		s.retire()
	}
	if p := s.running(); p != nil {
		p.tellExit(l.mode, l.forGood)
	}
	l.tell(why)
}

// end ends a life that was told to end. The worker gets the exit message; if it has not ended in
// time it gets SIGTERM, and in the end it is killed with all that it has started. A request to kill
// cuts this short. end returns when the worker has ended or was killed.
func (l *lifetime) end() {
	p, m := l.peer, l.main
	if !p.greeted.Load() {
		p.ledOut = true
		p.kill("it was ended before it had started")
		if goroutine.Closed(m.killAsked) { // its hello may be on the way, so that its setup function runs already
			m.noteKilled(p, "the program was told to end at once")
		}
		return
	}
	p.tellExit(l.mode, l.forGood) // leadOut has not told it if the hello came in the same moment
	exit, term := m.cfg.ShutdownTimeout, m.cfg.KillTimeout
	parting := p.process.LeadOut(exit, term, m.killAsked)
	p.ledOut = parting != life.Willing
	switch parting {
	case life.Terminated:
		if !goroutine.Closed(m.killAsked) {
			m.noteKilled(p, fmt.Sprintf("it did not end within %v after the exit message; SIGTERM ended it", exit))
		}
	case life.Stubborn:
		why := "it did not end within %v after the exit message, nor within %v after SIGTERM"
		l.killLedOut(fmt.Sprintf(why, exit, term))
	case life.Hurried:
		l.killLedOut("the program was told to end at once")
	}
}

// killLedOut kills a worker that was told to end and has not.
func (l *lifetime) killLedOut(why string) {
	why = l.peer.blame(why)
	l.peer.kill(why)
	l.main.noteKilled(l.peer, why)
}

// noteKilled remembers, for the error of Run, a worker that had to be killed at the end of the
// program. While the program goes on it does nothing, because an event tells of the kill.
func (m *Main) noteKilled(p *peer, why string) {
	if !goroutine.Closed(m.exitAsked) {
		return
	}
	m.lifeMu.Lock()
	defer m.lifeMu.Unlock()
	m.killed = append(m.killed, KilledWorker{Worker: p.slot().name, PID: p.pid(), Reason: why})
}

// bury ends the instance for good: everything that waits for it fails with err.
func (m *Main) bury(s *slot, err error) {
	s.gone.Store(&err)
	lost, calls := s.out.Close(err)
	s.failCalls(calls, err, false)
	s.deadLetters(lost, err)
	if s.index >= 0 { // the rules of tasks do not know spares
		m.broker.bury(s, err)
	}
}

// deadLetters reports the messages that were lost with a life, or with the instance.
func (s *slot) deadLetters(lost []outbox.Letter, err error) {
	reason := err.Error()
	events := make([]*DeadLetter, len(lost))
	for i, l := range lost {
		why := reason
		if n := l.Died(); n > s.pool.cfg.Redeliver {
			why += fmt.Sprintf("; a handler was in the middle of it at the end of %d lives, and "+
				"WorkerConfig.Redeliver is %d", n, s.pool.cfg.Redeliver)
		}
		events[i] = deadLetter(&l, s.name, why, s.desk.codec)
	}
	s.desk.emitLost(events)
}

// permanent reports whether another start would fail in the same way.
func permanent(err error) bool {
	var remote *RemoteError
	var start *StartError
	switch {
	case errors.As(err, &start) && start.permanent: // whatever is behind it
		return true
	case errors.As(err, &remote):
		return remote.final
	case errors.As(err, &start):
		return start.PID == 0 && slices.ContainsFunc(
			[]error{fs.ErrNotExist, fs.ErrPermission, syscall.ENOEXEC, syscall.EINVAL},
			func(e error) bool { return errors.Is(err, e) },
		)
	}
	return false
}

// tellExit sends the exit message, once. why is nil if another life follows; otherwise the message
// says why none does, and the instance takes no further messages.
func (p *peer) tellExit(mode ShutdownMode, why error) {
	if mode == KillAll || !p.greeted.Load() || !p.told.CompareAndSwap(false, true) {
		return
	}
	exit := exitFrame(mode, why)
	if mode == DrainQueue && p.receives() {
		p.out().SendLast(exit, why)
	} else {
		p.link.Tell(link.Soon, exit)
	}
}

// causeCut is how much of the cause of the end a worker is told: enough for its own errors.
var causeCut = errpack.Cut{Text: 1 << 10, Stderr: 1 << 10, Earlier: 1, Parts: 4}

// exitFrame returns the frame that tells a worker to end. why is nil if another life follows;
// otherwise the frame says why none does.
func exitFrame(mode ShutdownMode, why error) *wire.Frame {
	var packed []byte
	if why != nil && why != ErrStopped {
		packed = wireErrors.MarshalCut(why, causeCut)
	}
	return wire.NewExit(uint64(mode), packed)
}

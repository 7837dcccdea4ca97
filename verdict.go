package multiprolab

import (
	"cmp"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/multiprolab/multiprolab/internal/fleet"
	"github.com/multiprolab/multiprolab/internal/life"
	"github.com/multiprolab/multiprolab/internal/recorder"
)

// This file is what main says of how a life of a worker has ended, of why it ends that life, above
// all if the worker hangs, and of why the rules of lives have ended an instance: an error, or nil.

// racedReason is what the error of a worker says of a data race in it.
const racedReason = "the race detector has found a data race in it (its report is on stderr)"

// maxRaces is how many data races Run tells of at most, each in another life of a worker.
const maxRaces = 10

// end waits until nothing of the life is left, and says how it went: nil if the worker said goodbye
// without an error. First the wire is read to its end, so that what the worker wrote before its
// death counts; then the exit status is there; then comes the verdict. The goroutine of the life
// calls it.
func (p *peer) end(m *Main) error {
	left, ok := p.process.Drain()
	if ok { // outbox.Receipts, MessageReceiver.handle, taskInbox.next and logbook.Outlet have written this
		p.out().Died(left.Count, left.Begun)
		m.logs.Missed(p.log, left.Missed)
		if id := left.Mark; id != 0 {
			m.broker.recovered(p, id) // its Start frame for that task may be lost
			p.unfinished, p.outcomes = id, left.Note
		}
	}
	p.ended = p.process.Wait()
	if !ok && p.ended.Bye { // it has confirmed all that it had begun
		p.out().Died(0, 0)
	}
	return p.verdict(p.ended)
}

// verdict says how a life went that has ended.
func (p *peer) verdict(e *life.End) error {
	switch {
	case e.Well() && e.Failure != "":
		return p.vouchError("", unmarshalError([]byte(e.Failure)))
	case e.Well():
		return nil
	}
	cfg := &p.slot().pool.cfg
	d := p.died(e)
	d.Reason = reasonOf(e.Reason)
	switch {
	case d.Reason != "":
	case e.Cut:
		d.Reason = "it died in the middle of a message, which is lost"
	case cfg.Limits.CPUTime > 0 && (strings.HasPrefix(d.Stderr, "SIGXCPU") || d.Signal == "SIGXCPU"):
		d.Reason = fmt.Sprintf("it has used more processor time than WorkerConfig.Limits.CPUTime (%v)",
			cfg.Limits.CPUTime)
	case d.ExitCode == 0 && d.Signal == "":
		d.Reason = "it exited without saying goodbye: something in it called os.Exit(0), or its main function returned"
	}
	if e.Raced {
		d.Reason = strings.TrimPrefix(d.Reason+"; "+racedReason, "; ")
	}
	if e.Status.Unknown != "" {
		d.Reason = strings.TrimPrefix(d.Reason+"; its exit status is unknown: "+e.Status.Unknown, "; ")
	}
	switch {
	case e.Hang != nil:
		d.Stderr = cmp.Or(e.Stacks, d.Stderr)
		return &HangError{
			Running: e.Hang.Running,
			For:     e.Hang.Since,
			Limit:   e.Hang.Limit,
			Silent:  e.Hang.Silent,
			Died:    d,
		}
	case e.Kernel != nil:
		return &MemoryLimitError{Limit: e.Kernel.Limit, Kernel: true, Group: e.Kernel.Group, Died: d}
	case cfg.Limits.Memory > 0 && e.Reason.Cause == life.Alive && e.OutOfMemory(cfg.Limits.Memory):
		return &MemoryLimitError{Limit: cfg.Limits.Memory, Died: d}
	}
	return d
}

// died returns the error of a death, without its reason.
func (p *peer) died(e *life.End) *WorkerDiedError {
	return &WorkerDiedError{Worker: p.slot().name, PID: p.pid(), Life: p.life(), ExitCode: e.Status.ExitCode,
		Signal: e.Status.Signal, CoreDump: e.Status.CoreDump, Stopped: e.Reason.StoppedBy, Uptime: time.Since(p.begun),
		Stderr: e.Stderr}
}

// raceError returns the error of a data race in a worker that has ended with the error how. The
// goroutine of the life calls it, after end.
func (p *peer) raceError(how error) error {
	var died *WorkerDiedError
	if errors.As(how, &died) {
		return how
	}
	return &WorkerDiedError{Worker: p.slot().name, PID: p.pid(), Life: p.life(), ExitCode: p.ended.Status.ExitCode,
		Reason: racedReason, Uptime: time.Since(p.begun), Stderr: p.ended.Stderr}
}

// noteRace remembers a data race for the error of Run, Wait, Close and Stop. The program goes on.
func (m *Main) noteRace(err error) {
	m.lifeMu.Lock()
	defer m.lifeMu.Unlock()
	if len(m.races) < maxRaces {
		m.races = append(m.races, err)
	}
}

// newPulse returns what asks the worker for signs of life, as its WorkerConfig says. The goroutine
// of the life calls it.
func newPulse(p *peer) *life.Pulse {
	if p.slot().desk.cfg.InProcess {
		return p.process.NewPulse(0)
	}
	return p.process.NewPulse(p.slot().pool.cfg.HeartbeatTimeout)
}

// dumpTimeout is how long a worker that is about to be killed has for sending the stacks of its
// goroutines.
const dumpTimeout = 80 * time.Millisecond

// killHung kills a worker that hangs, after it has sent the stacks of its goroutines if it can. The
// goroutine of the life calls it.
func (p *peer) killHung(h *life.Hang) {
	p.noteKill(hangText(h))
	p.process.KillHung(h, hangText(h), dumpTimeout)
}

// hangText says why a worker that hangs is killed.
func hangText(h *life.Hang) string {
	if !h.Silent {
		return fmt.Sprintf(
			"%s has run for %v, longer than WorkerConfig.HandlerTimeout (%v), and ignored the end of its context",
			h.Running,
			h.Since.Round(time.Millisecond),
			h.Limit,
		)
	}
	why := fmt.Sprintf("it gave no sign of life for %v (WorkerConfig.HeartbeatTimeout)", h.Limit)
	if h.Running != "" {
		why += fmt.Sprintf("; when last heard of it was running %s, for %v at least", h.Running,
			h.Since.Round(time.Millisecond))
	}
	return why
}

// blame notes why the worker is about to be killed, unless there is a reason already. It returns
// the reason, together with the signal that has stopped the process, if it is stopped: then the
// fault is not in its code.
func (p *peer) blame(why string) string { return withStop(why, p.process.Blame(why)) }

// withStop returns the reason of a kill together with what had stopped the process before, if
// anything had.
func withStop(why, stoppedBy string) string {
	if stoppedBy == "" {
		return why
	}
	return fmt.Sprintf("its process was stopped by %s: %s", stoppedBy, why)
}

// reasonOf says why main has ended a life. It returns "" if main has not ended it.
func reasonOf(r life.Reason) string {
	why := r.Why
	switch r.Cause {
	case life.Alive:
		return ""
	case life.BrokeWire:
		why = "it broke the wire: " + r.Err.Error()
	case life.LostWire:
		why = "its wire broke: " + brief(r.Err)
	case life.Lingered:
		why = "it closed its end of the wire and did not exit"
	}
	return withStop(why, r.StoppedBy)
}

// errorOf returns the error of a reason of the rules that concerns an instance, or nil if the
// reason is no error. stopCause returns why the program ends.
func (r *registry) errorOf(s *slot, why *fleet.Reason, stopCause func() error) error {
	if why.Kind == fleet.None || why.Kind == fleet.Replace {
		return nil
	}
	return r.errorFor(s.pool, s.index, why, stopCause)
}

// errorFor is errorOf for instance number i of a pool, whose slot may be gone.
func (r *registry) errorFor(p *pool, i int, why *fleet.Reason, stopCause func() error) error {
	name := instanceName(p.name, i)
	switch why.Kind {
	case fleet.Failed:
		return why.Cause.(error)
	case fleet.Quit:
		return fmt.Errorf("multiprolab: worker %s ended by itself, without an error", name)
	case fleet.NeedGone:
		need := r.pools[why.Pool]
		return &StartError{
			Worker:    name,
			Reason:    fmt.Sprintf("it needs worker %q, which has ended for good", need.name),
			Err:       r.errorFor(need, why.Index, why.Behind, stopCause),
			permanent: true,
		}
	case fleet.Limit:
		e := &RestartLimitError{
			Worker:    name,
			Restarts:  why.Restarts,
			Window:    p.cfg.RestartLimit.Window,
			Permanent: why.Permanent,
		}
		for _, cause := range why.Causes {
			e.Err = r.errorFor(p, i, &cause, stopCause)
			e.Causes = append(e.Causes, e.Err)
		}
		return e
	case fleet.Fellow:
		fellow := r.pools[why.Pool]
		return &fellowError{instanceName(fellow.name, why.Index), r.errorFor(fellow, why.Index, why.Behind, stopCause)}
	case fleet.Ended:
		return stopCause()
	}
	return fmt.Errorf("multiprolab: worker %s has left: %w", name, ErrStopped)
}

// fellowError is why a worker was ended with its group: another worker of the group has failed. It
// exists in main, and never changes.
type fellowError struct {
	// worker is the name of the worker that has failed.
	worker string
	// err is what that worker has failed of.
	err error
}

func (e *fellowError) Error() string {
	return fmt.Sprintf("multiprolab: worker %s of the same group failed: %s", e.worker, brief(e.err))
}

func (e *fellowError) Unwrap() []error { return []error{ErrStopped, e.err} }

// tellStart notes and tells that a life has its process.
func (m *Main) tellStart(p *peer) {
	m.flight.Note(recorder.Process, p.slot().name, p.pid(), p.life(), "")
	m.emit(&WorkerStarted{Worker: p.slot().name, PID: p.pid(), Life: p.life()})
}

// noteEnd notes that nothing more comes from a life.
func (m *Main) noteEnd(p *peer) {
	m.logs.End(p.log, p.ended.Lost)
	m.flight.Note(recorder.Died, p.slot().name, p.pid(), p.life(), endOf(p.ended))
}

// endOf says in a word or two how a process has ended. The record keeps few different texts.
func endOf(e *life.End) string {
	switch {
	case e.Status.Signal != "":
		return e.Status.Signal
	case e.Bye:
		return "goodbye"
	}
	return fmt.Sprint("exit ", e.Status.ExitCode)
}

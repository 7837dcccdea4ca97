package multiprolab

import (
	"fmt"
	"time"

	"github.com/multiprolab/multiprolab/internal/life"
)

// This file is the reasons for which main ends the life of a worker, in words, above all of a
// worker that hangs.

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

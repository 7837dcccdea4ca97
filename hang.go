package multiprolab

import (
	"fmt"
	"time"

	"github.com/multiprolab/multiprolab/internal/link"
	"github.com/multiprolab/multiprolab/internal/wire"
)

// beatsPerTimeout is how often a worker is asked for a sign of life within
// WorkerConfig.HeartbeatTimeout.
const beatsPerTimeout = 3

// beat is a sign of life of a worker, as main sees it: what it was running and for how long at
// least.
type beat struct {
	running string // empty if nothing
	since   time.Duration
	number  uint64 // of the question that it answers
}

// hang is why a worker is killed that hangs, in main.
type hang struct {
	beat
	limit  time.Duration
	silent bool
}

// pulse asks one life of a worker for signs of life, in main: a question in every third of the
// timeout, which the goroutine that reads the wire there answers, beside a handler that spins. Time
// in which main itself did not run does not count: silence is counted in questions.
type pulse struct {
	peer   *peer
	ticker *time.Ticker     // nil if the worker is not asked
	tick   <-chan time.Time // nil then
	heard  uint64           // the number of the last answer that had come when the last question was asked
	silent int              // questions in a row without an answer
}

func newPulse(p *peer) *pulse {
	b := &pulse{peer: p}
	if timeout := p.slot.pool.cfg.HeartbeatTimeout; timeout > 0 && !p.slot.main.cfg.InProcess {
		b.ticker = time.NewTicker(max(timeout/beatsPerTimeout, time.Millisecond))
		b.tick = b.ticker.C
		b.ask()
	}
	return b
}

func (b *pulse) stop() {
	if b.ticker != nil {
		b.ticker.Stop()
	}
}

func (b *pulse) ask() {
	b.peer.link.Tell(link.Soon, wire.NewBeat(b.peer.asked.Add(1), "", 0))
}

// beat looks for an answer, and asks the next question. Whatever else the worker sends is no sign
// of life: its loop may send while nobody there reads. It returns why the worker is to be killed,
// or nil.
func (b *pulse) beat() *hang {
	last := b.peer.beat.Load()
	var heard uint64
	if last != nil {
		heard = last.number
	}
	if heard == b.heard {
		b.silent++
	} else {
		b.silent = 0
	}
	if b.silent >= beatsPerTimeout {
		h := &hang{limit: b.peer.slot.pool.cfg.HeartbeatTimeout, silent: true}
		if last != nil {
			h.beat = *last
		}
		return h
	}
	b.heard = heard
	b.ask()
	return nil
}

// overdue takes the report of a worker that a handler of it has not returned in time.
func (p *peer) overdue(f *wire.Frame) error {
	limit := p.slot.pool.cfg.HandlerTimeout
	if limit == 0 {
		return lie("it reports a handler that runs too long, and there is no WorkerConfig.HandlerTimeout")
	}
	select {
	case p.hangs <- &hang{beat: beat{running: whatRuns(f), since: f.Overdue()}, limit: limit}:
	default:
	}
	return nil
}

// killHung ends a worker that hangs, with the stacks of its goroutines if it can give them. The
// supervisor calls it.
func (p *peer) killHung(h *hang) {
	p.mu.Lock()
	p.hang = h
	p.mu.Unlock()
	if h.silent {
		why := fmt.Sprintf("it gave no sign of life for %v (WorkerConfig.HeartbeatTimeout)", h.limit)
		if h.running != "" {
			why += fmt.Sprintf(
				"; when last heard of it was running %s, for %v at least",
				h.running,
				h.since.Round(time.Millisecond),
			)
		}
		p.killWithStacks(why)
		return
	}
	p.askStacks()
	timer := time.NewTimer(dumpTimeout)
	defer timer.Stop()
	select {
	case <-p.dumps:
	case <-p.body.done():
	case <-timer.C:
	}
	p.killWithStacks(
		fmt.Sprintf(
			"%s has run for %v, longer than WorkerConfig.HandlerTimeout (%v), and ignored the end of its context",
			h.running,
			h.since.Round(time.Millisecond),
			h.limit,
		),
	)
}

// dumpTimeout is how long a worker that is about to be killed has to say where its goroutines are.
const dumpTimeout = 80 * time.Millisecond

// askStacks asks a worker for the stacks of its goroutines.
func (p *peer) askStacks() {
	p.wanted.Add(1)
	p.link.Tell(link.Soon, &wire.Frame{Kind: wire.Dump})
}

// blame notes why the worker is about to be killed, unless that is known already, and what had
// stopped its process before, if it is stopped: then it is not its code that hangs. It returns the
// reason with that.
func (p *peer) blame(why string) string {
	by := p.body.stopped()
	if by != "" {
		why = fmt.Sprintf("its process was stopped by %s: %s", by, why)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.why == "" {
		p.why, p.stoppedBy = why, by
	}
	return why
}

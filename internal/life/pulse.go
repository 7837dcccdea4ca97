package life

import (
	"time"

	"github.com/multiprolab/multiprolab/internal/link"
	"github.com/multiprolab/multiprolab/internal/wire"
)

// BeatsPerTimeout is how often a worker is asked for a sign of life within the time after which it
// is taken for silent.
const BeatsPerTimeout = 3

// AskForBeat asks the worker for a sign of life.
func (l *Life) AskForBeat() {
	l.link.Tell(link.Soon, wire.NewBeat(l.signs.asked.Add(1), "", 0))
	if l.options.Asked != nil {
		l.options.Asked()
	}
}

// LastBeat returns the last sign of life of the worker, or nil.
func (l *Life) LastBeat() *Beat { return l.signs.beat.Load() }

// Pulse asks one life of a worker for signs of life: one question in every third of the timeout.
// The goroutine that reads the wire there answers, even while a handler spins. Silence is counted
// in questions, so that time in which main itself did not run does not count. A Pulse exists in
// main; only the goroutine of the life uses it.
type Pulse struct {
	// life is who is asked.
	life *Life
	// timeout is after what time of silence the worker is to be killed.
	timeout time.Duration
	// ticker says when the next question is due; nil if the worker is not asked.
	ticker *time.Ticker
	// heard is the number of the last answer that had come when the last question was asked.
	heard uint64
	// silent counts the questions in a row without an answer.
	silent int
}

// NewPulse asks the worker for a first sign of life. With a timeout of zero it is never asked. Stop
// must be called in the end.
func (l *Life) NewPulse(timeout time.Duration) *Pulse {
	p := &Pulse{life: l, timeout: timeout}
	if timeout > 0 {
		p.ticker = time.NewTicker(max(timeout/BeatsPerTimeout, time.Millisecond))
		l.AskForBeat()
	}
	return p
}

// tick returns the channel that says when Beat is to be called next; nil if never.
func (p *Pulse) tick() <-chan time.Time {
	if p.ticker == nil {
		return nil
	}
	return p.ticker.C
}

// Stop ends the questions.
func (p *Pulse) Stop() {
	if p.ticker != nil {
		p.ticker.Stop()
	}
}

// Beat looks for an answer, and asks the next question. Whatever else the worker sends is no sign
// of life: its loop may send while nobody there reads. Beat returns why the worker is to be killed,
// or nil.
func (p *Pulse) Beat() *Hang {
	last := p.life.LastBeat()
	var heard uint64
	if last != nil {
		heard = last.number
	}
	if heard == p.heard {
		p.silent++
	} else {
		p.silent = 0
	}
	if p.silent >= BeatsPerTimeout {
		h := &Hang{Limit: p.timeout, Silent: true}
		if last != nil {
			h.Beat = *last
		}
		return h
	}
	p.heard = heard
	p.life.AskForBeat()
	return nil
}

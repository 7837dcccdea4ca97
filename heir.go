package multiprolab

import (
	"io"

	"github.com/multiprolab/multiprolab/internal/life"
	"github.com/multiprolab/multiprolab/internal/link"
	"github.com/multiprolab/multiprolab/internal/wire"
)

// This file is how a spare, in main, gets the place of a worker in two steps: the tasks as soon as
// it is certain that the worker is killed, or as it has ended its last task before it is replaced,
// and the messages when nothing is left of it. So the
// order of the messages stays as it is, and what the old life has not handled is reported as lost
// with that life.

// doomed tells the rules that a life is about to be killed.
func (w *workerFleet) doomed(at *seat) {
	w.happens(func() { w.rules.Doomed(at.slot.id, at.life) }, nil)
}

// lend implements fleetHost. From now on nobody looks for what the old life waits for: the waits of
// both would have the same numbers.
func (m *Main) lend(p *peer, from, s *slot, life int) {
	if p.standing.Load() != standsBy { // it has ended
		return
	}
	p.at.Store(&seat{s, life, from.out})
	if old := s.running(); old != nil {
		old.client.part()
	}
	m.seat(p, from)
	p.link.Push()
}

// seat tells a spare, and those who have to know, which place it has got by its seat. From then on
// it is given tasks.
func (m *Main) seat(p *peer, from *slot) {
	sizes := m.poolSizes() // they may have changed
	p.link.Tell(link.Quietly, life.Packed(wire.Pools, &sizes))
	p.link.Tell(link.Quietly, wire.NewPlace(p.slot().index, p.life()))
	for _, out := range []io.Writer{p.prints, p.complains} {
		if out, ok := out.(interface{ Rename(prefix string) }); ok {
			out.Rename(p.slot().name + ": ")
		}
	}
	if err := m.broker.enterFrom(p, from); err != nil {
		p.process.Fail(err)
	}
}

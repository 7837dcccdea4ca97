package multiprolab

import (
	"github.com/multiprolab/multiprolab/internal/goroutine"
	"github.com/multiprolab/multiprolab/internal/life"
	"github.com/multiprolab/multiprolab/internal/wire"
)

// Resize changes the number of workers of a pool while the program runs. Those that are added start
// at once; Resize does not wait for them. Those that are taken away, from the highest number down,
// finish the task and the messages that they have, and give back the tasks that they have not
// started.
func (m *Main) Resize(pool string, n int) error {
	p := m.pool(pool)
	switch {
	case p == nil:
		return &UnknownReceiverError{Receiver: pool, Known: m.poolNames()}
	case n < 1:
		return &ConfigError{"the size of worker " + pool, n, "a pool has at least one worker"}
	}
	if err := m.running(); err != nil {
		return err
	}
	if goroutine.Closed(m.exitAsked) {
		return m.stopCause()
	}
	if !m.fleet.resize(p, n) { // the end is just being asked for
		return m.stopCause()
	}
	sizes := m.poolSizes()
	for _, p := range m.pools {
		for _, s := range p.list() {
			s.tell(life.Packed(wire.Pools, &sizes))
		}
	}
	return nil
}

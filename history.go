package multiprolab

import (
	"errors"
	"maps"
	"strings"
	"sync"

	"github.com/multiprolab/multiprolab/internal/life"
	"github.com/multiprolab/multiprolab/internal/link"
)

// history is what main remembers of lives that are over, and of messages that went wrong. It exists
// in main. Any goroutine may use it.
type history struct {
	// mu guards every other field.
	mu sync.Mutex
	// last is the last failed life of each instance, by its name.
	last map[string]*DeathStats
	// pools counts the failed lives of each pool, by their causes.
	pools map[string]map[DeathCause]uint64
	// messages counts the events of messages, and the messages that instances have handled that are
	// in no pool any more.
	messages MessageStats
	// lives are the lives that have begun and are not over.
	lives map[*peer]struct{}
	// wires is what the wires of the lives of each instance have carried that are over, by the name
	// of the instance; and all of them together under the empty name.
	wires map[string]link.Traffic
}

// note takes in an event.
func (n *history) note(e Event) {
	n.mu.Lock()
	defer n.mu.Unlock()
	switch e := e.(type) {
	case *WorkerFailed:
		n.failed(e)
	case *DeadLetter:
		n.messages.DeadLetters++
	case *HandlerFailed:
		n.messages.Failed++
	}
}

// failed remembers a life that has failed. The caller holds mu.
func (n *history) failed(e *WorkerFailed) {
	if n.last == nil {
		n.last, n.pools = map[string]*DeathStats{}, map[string]map[DeathCause]uint64{}
	}
	pool := poolOf(e.Worker)
	if n.pools[pool] == nil {
		n.pools[pool] = map[DeathCause]uint64{}
	}
	n.pools[pool][e.cause]++
	n.last[e.Worker] = &DeathStats{Time: e.At, Life: e.Life, PID: e.PID, Cause: e.cause, Err: brief(e.Err)}
}

// over takes in that a life of an instance is over, and takes it away from the instance, in one
// step: no snapshot has what its wire has carried twice, or not at all.
func (n *history) over(s *slot, p *peer) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.wires == nil {
		n.wires = map[string]link.Traffic{}
	}
	carried := p.link.Traffic()
	for _, name := range []string{s.name, ""} {
		t := n.wires[name]
		t.Add(carried)
		n.wires[name] = t
	}
	delete(n.lives, p)
	s.finishLife(p)
}

// begun takes in that a life of an instance begins, whose end over takes in, and gives it to the
// instance.
func (n *history) begun(s *slot, p *peer) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.lives == nil {
		n.lives = map[*peer]struct{}{}
	}
	n.lives[p] = struct{}{}
	s.beginLife(p)
}

// left takes in how many messages an instance has handled that is in no pool any more, and has no
// life.
func (n *history) left(handled uint64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.messages.Handled += handled
}

// wiresOf writes into a snapshot what the wires of all present lives carry, and what those of
// earlier ones have carried. shown are the instances of the workers of the snapshot; a life may
// also be that of an instance which has left its pool, or on its way from one to another.
func (n *history) wiresOf(s *Stats, shown []*slot) {
	n.mu.Lock()
	defer n.mu.Unlock()
	all, carry := n.wires[""], make(map[*peer]link.Traffic, len(n.lives))
	for p := range n.lives {
		now := p.link.Traffic()
		carry[p] = now
		all.Add(now)
		s.Wire.Shared += now.Shared
	}
	for i, at := range shown {
		t, now := n.wires[at.name], carry[at.running()]
		t.Add(now)
		w := &s.Workers[i].Wire
		w.take(&t)
		w.Shared = now.Shared
		s.Wire.Blocked += w.Blocked
		s.Wire.Held += w.Held
	}
	s.Wire.take(&all)
	s.Messages.Handled += n.messages.Handled
}

// take sets what a wire has carried.
func (w *WireStats) take(t *link.Traffic) {
	w.FramesSent, w.FramesReceived = t.FramesSent, t.FramesReceived
	w.BytesSent, w.BytesReceived, w.Writes = t.BytesSent, t.BytesReceived, t.Writes
}

// poolOf returns the pool of an instance, or of a spare, by its name.
func poolOf(worker string) string { return worker[:max(0, strings.LastIndexByte(worker, '/'))] }

// fill writes into a snapshot what is remembered.
func (n *history) fill(s *Stats) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for i := range s.Workers {
		s.Workers[i].LastDeath = n.last[s.Workers[i].Name]
	}
	for i := range s.Pools {
		p := &s.Pools[i]
		p.Deaths = maps.Clone(n.pools[p.Name])
	}
	s.Messages.DeadLetters, s.Messages.Failed = n.messages.DeadLetters, n.messages.Failed
}

// killedByUser is why a worker was killed that the user has killed.
const killedByUser = "Main.Kill has ended it"

// causeOfDeath returns why a life has failed of which main knows p, or nil if there was no process,
// and which has ended with an error.
func causeOfDeath(p *peer, err error) DeathCause {
	if p != nil && p.ended != nil {
		switch e := p.ended; {
		case e.Raced:
			return CauseRace
		case p.ledOut:
			return CauseLate
		case p.onPurpose():
			return CauseTask
		case e.Reason.Cause == life.Told && e.Reason.Why == killedByUser:
			return CauseKill
		case e.Reason.Cause > life.Told:
			return CauseWire
		}
	}
	var (
		hang   *HangError
		memory *MemoryLimitError
		died   *WorkerDiedError
		start  *StartError
	)
	switch {
	case errors.As(err, &hang):
		return CauseHang
	case errors.As(err, &memory):
		return CauseMemory
	case errors.As(err, &start):
		return CauseStart
	case !errors.As(err, &died):
		return CauseError
	case died.Signal != "":
		return CauseSignal
	case strings.Contains(died.Stderr, "\ngoroutine "):
		return CausePanic
	}
	return CauseExit
}

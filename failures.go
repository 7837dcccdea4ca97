package multiprolab

import (
	"errors"
	"maps"
	"strings"
	"sync"

	"github.com/multiprolab/multiprolab/internal/life"
)

// failures is what main remembers of lives that have failed, and of messages that went wrong. It
// exists in main. Any goroutine may use it.
type failures struct {
	// mu guards every other field.
	mu sync.Mutex
	// last is the last failed life of each instance, by its name.
	last map[string]*DeathStats
	// pools counts the failed lives of each pool, by their causes.
	pools map[string]map[DeathCause]uint64
	// restarts counts the lives of each pool that have followed on another one.
	restarts map[string]uint64
	// messages counts the events of messages.
	messages MessageStats
}

// note takes in an event.
func (n *failures) note(e Event) {
	n.mu.Lock()
	defer n.mu.Unlock()
	switch e := e.(type) {
	case *WorkerStarted:
		if e.Life > 1 {
			if n.restarts == nil {
				n.restarts = map[string]uint64{}
			}
			n.restarts[poolOf(e.Worker)]++
		}
	case *WorkerFailed:
		n.failed(e)
	case *DeadLetter:
		n.messages.DeadLetters++
	case *HandlerFailed:
		n.messages.Failed++
	}
}

// failed remembers a life that has failed. The caller holds mu.
func (n *failures) failed(e *WorkerFailed) {
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

// poolOf returns the pool of an instance, or of a spare, by its name.
func poolOf(worker string) string { return worker[:max(0, strings.LastIndexByte(worker, '/'))] }

// fill writes into a snapshot what is remembered.
func (n *failures) fill(s *Stats) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for i := range s.Workers {
		s.Workers[i].LastDeath = n.last[s.Workers[i].Name]
	}
	for i := range s.Pools {
		p := &s.Pools[i]
		p.Deaths, p.Restarts = maps.Clone(n.pools[p.Name]), n.restarts[p.Name]
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

package multiprolab

import (
	"slices"
	"strings"

	"github.com/multiprolab/multiprolab/internal/mail"
	"github.com/multiprolab/multiprolab/internal/queue"
)

// This file is what the broker, in main, knows of the workers: their numbers, and who waits for
// whom.

// staff is the pools, instances and lives that work on tasks, by the numbers by which the rules of
// tasks know them. It exists in main; the broker's mutex guards it.
type staff struct {
	// pools are the pools. The number of the first one is 1.
	pools []*pool
	// slots are the instances that have a life, or may have one, by their numbers.
	slots map[queue.Slot]*slot
	// peers are the lives that are ready, until they have left, by their numbers.
	peers map[queue.Worker]*peer
	// last is the numbers that were given last: no number is given twice.
	last struct {
		slot   queue.Slot      // the number of the newest instance
		worker queue.Worker    // the number of the life that has become ready last
		client queue.Submitter // the number of the newest submitter
	}
}

// newStaff returns a staff without pools.
func newStaff() staff {
	return staff{slots: map[queue.Slot]*slot{}, peers: map[queue.Worker]*peer{}}
}

// poolNumber returns the number by which the rules of tasks know a pool; 0 if they do not know it.
func (s *staff) poolNumber(p *pool) queue.Pool { return queue.Pool(slices.Index(s.pools, p) + 1) }

// slot returns an instance by its name, or nil.
func (s *staff) slot(name string) *slot {
	pool, i, ok := splitInstance(name)
	if !ok {
		return nil
	}
	for _, p := range s.pools {
		if p.name != pool {
			continue
		}
		if slots := p.list(); i < len(slots) {
			return slots[i]
		}
	}
	return nil
}

// busy returns how many messages and calls a worker has to handle.
func (s *staff) busy(w queue.Worker) int {
	if p := s.peers[w]; p != nil {
		return p.slot().pending()
	}
	return 0
}

// name returns the name of a worker that is ready, or "".
func (s *staff) name(w queue.Worker) string {
	if p := s.peers[w]; p != nil {
		return p.slot().name
	}
	return ""
}

// names returns the names of those workers that are ready, with commas between them.
func (s *staff) names(workers []queue.Worker) string {
	var names []string
	for _, w := range workers {
		if name := s.name(w); name != "" { // otherwise its life has ended, and it does not wait
			names = append(names, name)
		}
	}
	return strings.Join(names, ", ")
}

// loopWaits is who waits for whom; see loopwaits.go. It exists in main; the broker's mutex guards
// it.
type loopWaits struct {
	// waits are the waits of loops, by the names of their processes.
	waits mail.Waits[string]
	// clients are the latest lives of those workers that have submitted tasks, by the names of the
	// workers.
	clients map[string]*client
}

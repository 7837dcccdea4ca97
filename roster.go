package multiprolab

import (
	"slices"
	"strings"

	"github.com/multiprolab/multiprolab/internal/mail"
	"github.com/multiprolab/multiprolab/internal/queue"
)

// staff is who works on tasks, as the rules and as the broker know it. It exists in main; the
// broker's mutex guards it.
type staff struct {
	pools []*pool                // the first has number 1
	slots map[queue.Slot]*slot   // of which a life is there, or may come
	peers map[queue.Worker]*peer // lives that are ready, until they have left
	last  struct {               // the numbers that were given last: none is given twice
		slot   queue.Slot
		worker queue.Worker
		client queue.Submitter
	}
}

func newStaff() staff {
	return staff{slots: map[queue.Slot]*slot{}, peers: map[queue.Worker]*peer{}}
}

// poolNumber is the number by which the rules know a pool, or 0.
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

// busy is how many messages and calls a worker has to handle.
func (s *staff) busy(w queue.Worker) int {
	if p := s.peers[w]; p != nil {
		return p.slot.pending()
	}
	return 0
}

// name is that of a worker that is ready, or "".
func (s *staff) name(w queue.Worker) string {
	if p := s.peers[w]; p != nil {
		return p.slot.name
	}
	return ""
}

// names are those of workers that are ready.
func (s *staff) names(workers []queue.Worker) string {
	var names []string
	for _, w := range workers {
		if name := s.name(w); name != "" { // else its life has ended, and it does not wait any more
			names = append(names, name)
		}
	}
	return strings.Join(names, ", ")
}

// loopWaits is who waits for whom. It exists in main; the broker's mutex guards it.
type loopWaits struct {
	waits mail.Waits[string] // of loops, by the names of their processes
	// under is for whom the loop of a process is at work while it waits: by the process and the
	// number of the wait, the chain of the call that it is for, as far as others are in that.
	under map[string]map[uint64]string
	// clients is the latest lives of workers that have submitted tasks, by their names.
	clients map[string]*client
}

func newLoopWaits() loopWaits {
	return loopWaits{under: map[string]map[uint64]string{}, clients: map[string]*client{}}
}

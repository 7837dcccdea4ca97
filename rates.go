package multiprolab

import (
	"sync"
	"time"
)

// rateSpan is over how long a rate is taken at least.
const rateSpan = time.Second

// rates remembers what earlier snapshots have counted. It exists in main. Any goroutine may use it.
type rates struct {
	mu     sync.Mutex // guards every other field
	before counted    // the newest one that is older than last by rateSpan or more
	last   counted    // the last one that is older than the one before it by rateSpan or more
}

// counted is how many tasks of each queue had ended at some time. It never changes.
type counted struct {
	at    time.Time         // when it was so
	ended map[string]uint64 // how many, by the names of the queues
}

// fill writes into a snapshot how fast the tasks of each queue end.
func (r *rates) fill(s *Stats) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.last.at.IsZero() {
		r.last.at = s.Started // nothing had ended
	}
	if s.Time.Sub(r.last.at) >= rateSpan {
		now := counted{s.Time, make(map[string]uint64, len(s.Queues))}
		for i := range s.Queues {
			now.ended[s.Queues[i].Name] = s.Queues[i].ended()
		}
		r.before, r.last = r.last, now
	}
	from := r.before
	if from.at.IsZero() {
		from = r.last
	}
	span := s.Time.Sub(from.at)
	for i := range s.Queues {
		q := &s.Queues[i]
		// Of a queue that has been counted with others meanwhile, fewer have ended than before.
		if n, was := q.ended(), from.ended[q.Name]; n > was && span > 0 {
			q.Rate = float64(n-was) / span.Seconds()
		}
	}
}

// ended is how many tasks have an outcome.
func (s *TaskStats) ended() uint64 { return s.Succeeded + s.Failed + s.Cancelled }

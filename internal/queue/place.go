package queue

import "slices"

// PoolOptions are what the workers of a pool have in common.
type PoolOptions struct {
	Queues   []string // the queues of which they take tasks
	Prefetch int      // the most tasks that a busy worker is handed ahead of time
	Seed     uint64   // of what its slots draw for the buckets; see sticky.go
	MaxTasks int      // after how many tasks a worker is retired, where each item of a batch counts; 0 is no limit
}

// pool is slots whose workers are set up alike.
type pool struct {
	PoolOptions
	id     Pool    // the caller's number of it
	slots  []*slot // the slots in it, in the order in which they were added
	coming int     // how many slots are to have another life, which may take any type
}

// slot is the place that one life of a worker after the other fills.
type slot struct {
	id      Slot       // the caller's number of it
	pool    *pool      // the pool that it is in, or was in
	index   int        // its number in the pool, from 0
	worker  *worker    // the present life once that is ready, or nil
	kind    *kind      // which tasks the last life took that was ready, or nil
	gone    bool       // there will be no further life
	cause   any        // why there will be no further life, as the caller has said
	leaving bool       // the present life is the last: it is not to be replaced
	removed bool       // it is not in its pool any more
	coming  bool       // it counts in pool.coming
	counts  SlotCounts // of all lives
}

// count counts the slot in its pool if another life of it is to become ready, after what is known
// of it may have changed.
func (s *slot) count() {
	comes := !s.removed && !s.gone && (s.worker == nil || s.worker.retiring && !s.leaving)
	switch {
	case comes && !s.coming:
		s.pool.coming++
	case !comes && s.coming:
		s.pool.coming--
	}
	s.coming = comes
}

// takesFrom reports whether the workers of the pool take tasks of a queue.
func (p *pool) takesFrom(queue string) bool { return slices.Contains(p.Queues, queue) }

package queue

// This file is sticky tasks: those with one key all go to one slot, the home of the key, so that
// what its worker has in memory for the key is used again. Keys fall into buckets, and each bucket
// has its home: of the slots that may take the tasks, the one whose draw for the bucket is the
// highest. So a slot that is added takes its share of the buckets from the others, and the buckets
// of one that goes are shared among the others; all other buckets stay where they are. A slot keeps
// its buckets from life to life.
//
// Sticky tasks of one bucket have a lane of their own, where they wait for their home in nobody's
// way.

// rehome finds the homes of the sticky lanes anew, after who may take their tasks may have changed.
func (q *Queue) rehome() {
	for i := 0; q.sticky > 0 && i < len(q.lanes); i++ {
		l := q.lanes[i]
		if l.bucket == 0 {
			continue
		}
		home := q.homeOf(l)
		if home == l.home {
			continue
		}
		for _, o := range l.offers {
			if o.place > 0 {
				o.pile().remove(o.place)
			}
		}
		l.home = home
		q.changed(l)
		q.stir(l)
		if s := q.slots[home]; s != nil && s.worker != nil {
			q.wake(s.worker) // it may have what the old home was given and has not begun
		}
	}
}

package fleet

import "time"

// pool is identical workers.
type pool struct {
	// id is the number of the pool. It never changes.
	id Pool
	// desc is what the shell has said of it. It never changes.
	desc PoolDesc
	// group is that of the pool, or nil. It never changes after Begin.
	group *group
	// needs are the pools that must be up before a life begins, each once: those of the desc, and
	// the one before it in its group. Only link changes it, before the start.
	needs []*pool
	// slots are those of the pool by their indexes. Resize alone changes them.
	slots []*slot
	// away are the slots that have left the pool and are not buried yet, in the order of leaving.
	away []*slot
	// places are what slots with the same index share, by the index.
	places []place
	// alive counts the slots in the pool that are not buried.
	alive int
	// unready counts the slots in the pool that are neither up nor buried.
	unready int
	// dependents counts the slots that are not buried in pools that need this one, those too that
	// have left them.
	dependents int
	// crew is its spares.
	crew crew
}

// crew is the spares of a pool: workers without a place, which set themselves up and then stand by.
// Once the program has started, each life of such a pool begins as a spare. A slot without a life
// takes the spare that stands by, or else the next one that does; for it one spare more than
// PoolDesc.Spare is started. So no slot is empty while a spare stands by.
type crew struct {
	// spares are the slots of the spares, in the order in which they came.
	spares []*slot
	// lives is how many lives have begun in these slots, by their indexes.
	lives []int
	// given is how many spares the pool does without, because they did not start or have left.
	given int
	// rest is when the pause after the last failure in a slot of the pool is over. It is the spares
	// that pause: the slot takes one at once, if one stands by.
	rest time.Duration
	// vacant counts the slots in the pool that wait for their next life. Only pool.weigh changes
	// it.
	vacant int
	// lasting counts the slots in the pool that are neither buried nor certain to be. Only
	// pool.weigh changes it.
	lasting int
}

// place is what the slots of a pool that have the same index share, one after the other.
type place struct {
	// owner is the slot whose lives may be there, until it is buried; or nil.
	owner *slot
	// lives is how many lives have begun in the place when it has no owner.
	lives int
}

// wayTo returns the pools on a way over what a pool needs to the end, or nil. seen are the pools
// from which no further way is looked for.
func (p *pool) wayTo(end *pool, seen []bool) []Pool {
	seen[p.id] = true
	for _, q := range p.needs {
		if q == end {
			return []Pool{q.id}
		}
		if seen[q.id] {
			continue
		}
		if way := q.wayTo(end, seen); way != nil {
			return append([]Pool{q.id}, way...)
		}
	}
	return nil
}

// weigh adds a slot to the counts of its pool and its group, with by 1, or takes it out of them,
// with by -1.
func (p *pool) weigh(s *slot, by int) {
	if !s.spare && !s.listed() {
		return
	}
	if p.group != nil && s.shaken && s.busy() {
		p.group.leaving += by
	}
	if s.spare {
		return
	}
	if s.state != Buried {
		p.alive += by
		if !s.up() {
			p.unready += by
		}
		if s.why.Kind == None && !s.life.quits {
			p.crew.lasting += by
		}
	}
	if s.state == Waiting {
		p.crew.vacant += by
	}
}

// leaving returns the count of the pool's group.
func (p *pool) leaving() int {
	if p.group == nil {
		return 0
	}
	return p.group.leaving
}

// gone is the reason of those that need the pool, which has no slot that is alive. Behind it is
// that of its last slot.
func (p *pool) gone() Reason {
	last := p.slots[len(p.slots)-1]
	why := last.why
	return Reason{Kind: NeedGone, Pool: p.id, Index: last.index, Behind: &why}
}

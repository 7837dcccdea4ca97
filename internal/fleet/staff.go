package fleet

import "slices"

// wanted returns how many spares a pool should have: those that stand by, and one for each slot
// that waits for its next life.
func (f *Fleet) wanted(p *pool) int {
	if p.crew.lasting == 0 || !f.manned() {
		return 0
	}
	return max(0, p.desc.Spare-p.crew.given) + p.crew.vacant
}

// surplus returns how many spares a pool has beyond those that it should have.
func (f *Fleet) surplus(p *pool) int {
	n := -f.wanted(p)
	for _, s := range p.crew.spares {
		if s.fit() {
			n++
		}
	}
	return n
}

// staff gives each pool as many spares as it should have, and retires workers that are due as far
// as there are spares for them. It reports whether lives may begin that could not before.
func (f *Fleet) staff() (changed bool) {
	if f.stage >= stageEnding {
		return false // all are certain to be buried
	}
	for _, p := range f.crewed {
		n := f.surplus(p)
		for ; n < 0; n++ {
			f.placeSpare(p)
			changed = true
		}
		for ; n > 0; n-- {
			f.doom(p.leastSpare(), Reason{Kind: Left})
			changed = true
		}
		f.retireDue(p)
	}
	return changed
}

// placeSpare makes a slot for spares and tells the shell of it. It gets the lowest index that is
// free.
func (f *Fleet) placeSpare(p *pool) {
	i := 0
	for slices.ContainsFunc(p.crew.spares, func(o *slot) bool { return o.index == i }) {
		i++
	}
	if i == len(p.crew.lives) {
		p.crew.lives = append(p.crew.lives, 0)
	}
	f.lastSlot++
	s := &slot{id: f.lastSlot, pool: p, spare: true, index: i, stand: stand{Lined, f.now}, lives: p.crew.lives[i]}
	p.crew.spares = append(p.crew.spares, s)
	f.add(s)
	f.emit(Effect{Kind: Place, Slot: s.id, Pool: p.id, Index: i, Spare: true})
	f.again(s)
}

// promote gives a slot the spare that stands by. The slot of the spare is buried unless the pool
// still wants another in it.
func (f *Fleet) promote(s, spare *slot) {
	spare.part()
	s.lives++
	s.life = life{ready: true, since: f.now}
	spare.life = life{}
	f.move(spare, Lined)
	f.emit(Effect{Kind: Promote, Slot: s.id, From: spare.id, Life: s.lives})
	f.come(s, false)
	if f.surplus(s.pool) > 0 {
		f.doom(spare, Reason{Kind: Left})
	} else {
		f.again(spare)
	}
}

// retireDue retires workers that are due, as many as there are spares beyond those that others will
// take.
func (f *Fleet) retireDue(p *pool) {
	n := -p.crew.vacant
	for _, s := range p.crew.spares {
		if s.free() {
			n++
		}
	}
	if n <= 0 {
		return
	}
	for _, s := range p.slots {
		if s.state == Ready && !s.leaves() && (s.life.led || s.life.retired) && s.heir == nil {
			n--
		}
	}
	for _, s := range p.slots {
		if n > 0 && s.due() {
			s.life.retired = true
			f.emit(Effect{Kind: Retire, Slot: s.id})
			n--
		}
	}
}

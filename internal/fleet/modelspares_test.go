package fleet_test

import (
	"slices"
	"time"

	"github.com/multiprolab/multiprolab/internal/fleet"
)

// This file is the spares of the model, and what must hold for them whatever the model says.

// crewed says that a slot gets its lives from the spares of its pool.
func (m *model) crewed(s *modelSlot) bool {
	return !s.spare && s.pool.desc.Spare > 0 && m.released && !m.ending
}

func (s *modelSlot) standing() bool { return s.state == fleet.Standby && !s.led && s.heirOf == nil }

func (s *modelSlot) fit() bool { return s.why.Kind == fleet.None && !s.quits }

func (p *modelPool) standby() *modelSlot {
	if i := slices.IndexFunc(p.spares, (*modelSlot).standing); i >= 0 {
		return p.spares[i]
	}
	return nil
}

// vacant are the slots without a life that wait for one.
func (p *modelPool) vacant() (n int) {
	for _, s := range p.slots {
		if s.state == fleet.Waiting {
			n++
		}
	}
	return n
}

// missing is how many spares a pool lacks; less than 0 if it has too many.
func (m *model) missing(p *modelPool) (n int) {
	for _, s := range p.slots {
		if s.state != fleet.Buried && s.fit() {
			n = max(0, p.desc.Spare-p.given) + p.vacant()
			break
		}
	}
	for _, s := range p.spares {
		if s.fit() {
			n--
		}
	}
	return n
}

// staff changes what has to be changed about the spares, and reports whether lives may begin then.
// Those that may already begin before.
func (m *model) staff() (changed bool) {
	if m.ending || !m.released || slices.ContainsFunc(m.waiting, func(s *modelSlot) bool {
		may, gone := m.may(s)
		return s.state == fleet.Waiting && (gone != nil || may && (!m.crewed(s) || s.successor() != nil))
	}) {
		return false
	}
	for _, p := range m.pools {
		if p.desc.Spare == 0 {
			continue
		}
		n := m.missing(p)
		changed = changed || n != 0
		for ; n > 0; n-- {
			m.placeSpare(p)
		}
		for ; n < 0; n++ {
			var least *modelSlot
			for _, s := range p.spares {
				if s.fit() && (least == nil || s.state <= least.state) {
					least = s
				}
			}
			m.doom(least, fleet.Reason{Kind: fleet.Left})
		}
		free := -p.vacant()
		for _, s := range p.spares {
			if s.standing() {
				free++
			}
		}
		stays := func(s *modelSlot) bool { return s.state == fleet.Ready && s.fit() }
		for _, s := range p.slots {
			if stays(s) && (s.led || s.sent) && s.heir == nil {
				free--
			}
		}
		for _, s := range p.slots {
			if free > 0 && stays(s) && m.due(s) {
				s.sent = true
				m.expect(fleet.Effect{Kind: fleet.Retire, Slot: s.id})
				free--
			}
		}
	}
	return changed
}

// due says that a worker is to be replaced once there is a spare for it.
func (m *model) due(s *modelSlot) bool {
	return s.state == fleet.Ready && s.heir == nil && s.fit() && s.listed() && !s.led && !s.sent &&
		(s.aged || slices.ContainsFunc(m.asks, func(a modelAsk) bool { return a.slot == s }))
}

func (m *model) placeSpare(p *modelPool) {
	i := 0
	for slices.ContainsFunc(p.spares, func(s *modelSlot) bool { return s.index == i }) {
		i++
	}
	s := &modelSlot{id: fleet.Slot(len(m.slots) + 1), pool: p, index: i, spare: true}
	for _, o := range m.slots {
		if o.pool == p && o.spare && o.index == i {
			s.life = max(s.life, o.life)
		}
	}
	m.slots = append(m.slots, s)
	p.spares = append(p.spares, s)
	m.expect(fleet.Effect{Kind: fleet.Place, Slot: s.id, Pool: p.id, Index: i, Spare: true})
	m.again(s)
}

func (m *model) again(s *modelSlot) {
	if s.spare {
		m.pause(s, s.pool.rest)
	} else {
		m.wait(s)
	}
}

func (m *model) pause(s *modelSlot, until time.Duration) {
	if until > m.now {
		s.state, s.until = fleet.Pausing, until
	} else {
		m.wait(s)
	}
}

func (m *model) promote(s, from *modelSlot) {
	from.part()
	s.state, s.life, s.shaken = fleet.Ready, s.life+1, false
	s.ready, s.since, s.led, s.retired, s.aged, s.sent = true, m.now, false, false, false, false
	from.state, from.ready = fleet.Lined, false
	m.expect(fleet.Effect{Kind: fleet.Promote, Slot: s.id, From: from.id, Life: s.life})
	m.answer(s, fleet.Reason{}, func(modelAsk) bool { return true })
	if m.missing(s.pool) < 0 {
		m.doom(from, fleet.Reason{Kind: fleet.Left})
	} else {
		m.again(from)
	}
}

func (m *model) giveUp(s *modelSlot, why fleet.Reason) {
	var victim *modelSlot
	for _, o := range s.pool.slots {
		if may, _ := m.may(o); may && o.state == fleet.Waiting && victim == nil {
			victim = o
		}
	}
	if victim == nil {
		s.pool.given++
	} else if why.Kind == fleet.Limit && !s.pool.desc.StopWorker {
		m.end(victim, why)
	}
	m.bury(s, why)
	for _, o := range s.pool.slots {
		if m.due(o) {
			m.answer(o, why, func(modelAsk) bool { return true })
		}
	}
	if victim != nil {
		for _, o := range m.others(victim) {
			m.doom(o, victim.fellow(&why))
		}
		m.bury(victim, why)
	}
}

func (m *model) renew(p *modelPool) {
	if m.asked || !m.released {
		return
	}
	p.given = 0
	for _, s := range p.spares {
		if s.fit() {
			m.lead(s, fleet.DrainQueue, false, fleet.Reason{Kind: fleet.Replace})
		}
	}
}

func (m *model) leave(s *modelSlot) {
	if s.why.Kind != fleet.None || s.quits || !s.spare && !s.listed() {
		return
	}
	s.quits = true
	switch {
	case s.led:
	case s.spare:
		m.lead(s, fleet.DrainQueue, true, fleet.Reason{Kind: fleet.Left})
	default:
		m.expect(fleet.Effect{Kind: fleet.Retire, Slot: s.id})
	}
}

// checkPromote checks that a spare takes a place that is empty, and that nothing keeps back.
func (w *world) checkPromote(e *fleet.Effect) {
	s, from := w.m.slots[e.Slot-1], w.m.slots[e.From-1]
	if !from.spare || from.pool != s.pool || w.lives[e.From].life == 0 || w.lives[e.From].led {
		w.fail("slot %d is no spare for slot %d", e.From, e.Slot)
	}
	if to := w.lives[e.From].lentTo; to != 0 && to != e.Slot {
		w.fail("slot %d gets the spare %d, which is lent to slot %d", e.Slot, e.From, to)
	}
	if w.lives[e.Slot].life > 0 || !s.listed() || w.m.ending {
		w.fail("slot %d needs no spare", e.Slot)
	}
	for _, o := range w.m.slots {
		if w.lives[s.id].together && slices.Contains(s.pool.group, o.pool) && (o.spare || o.listed()) &&
			w.lives[o.id].leaving {
			w.fail("slot %d begins before slot %d of its group has ended", e.Slot, o.id)
		}
	}
}

// doomed expects that a spare is lent to a slot whose life is to be killed.
func (m *model) doomed(s *modelSlot) {
	if s.pool.desc.Policy != fleet.NoRestart && len(m.others(s)) == 0 {
		m.lend(s)
	}
}

// lend expects that a spare is lent to a slot whose life is about to end, and is not the last.
func (m *model) lend(s *modelSlot) {
	spare := s.pool.standby()
	may, _ := m.may(s)
	if s.state != fleet.Ready || s.spare || s.heir != nil || s.led || !s.fit() || !s.listed() || !m.crewed(s) ||
		spare == nil || !may || s.shaken {
		return
	}
	s.heir, spare.heirOf = spare, s
	m.expect(fleet.Effect{Kind: fleet.Lend, Slot: s.id, From: spare.id, Life: s.life + 1})
}

func (s *modelSlot) successor() *modelSlot {
	if s.heir != nil {
		return s.heir
	}
	return s.pool.standby()
}

func (s *modelSlot) part() *modelSlot {
	if s.heirOf != nil {
		s = s.heirOf
	}
	spare := s.heir
	if spare != nil {
		s.heir, spare.heirOf = nil, nil
	}
	return spare
}

// checkLend checks that a spare which stands by is lent to a worker that lives.
func (w *world) checkLend(e *fleet.Effect) {
	s, from, l := w.m.slots[e.Slot-1], w.m.slots[e.From-1], &w.lives[e.From]
	if !from.spare || from.pool != s.pool || w.f.State(e.From) != fleet.Standby || l.led || l.lentTo != 0 {
		w.fail("slot %d is no spare for slot %d", e.From, e.Slot)
	}
	for id := range w.lives {
		if w.lives[id].lentTo == e.Slot && !w.lives[id].led {
			w.fail("slots %d and %d are both lent to slot %d", id, e.From, e.Slot)
		}
	}
	if w.lives[e.Slot].life == 0 || w.lives[e.Slot].led || e.Life != w.lives[e.Slot].life+1 {
		w.fail("slot %d is not about to have life %d", e.Slot, e.Life)
	}
	l.lentTo = e.Slot
}

// checkHeirs checks that who is lent to a slot that is gone is led out.
func (w *world) checkHeirs() {
	for id := range w.lives {
		if l := &w.lives[id]; l.lentTo != 0 && w.lives[l.lentTo].buried && !l.led {
			w.fail("slot %d is lent to slot %d, which is buried", id, l.lentTo)
		}
	}
}

// checkSpares checks that no more stand by than asked for, that none does beside a slot that could
// take it or a worker that is to be replaced, and that a pool has all its spares, or they are on
// their way.
func (w *world) checkSpares() {
	for _, p := range w.m.pools {
		if n := w.f.Restarts(p.id); n != p.again {
			w.fail("%d lives have followed on others in pool %d, and not %d", p.again, p.id, n)
		}
		stand, fit, empty, lasting := 0, 0, 0, false
		due, taken := 0, p.vacant() // the workers that are to be replaced, and the spares that others will take
		for _, s := range w.m.slots {
			if s.pool != p || s.state == fleet.Buried {
				continue
			}
			l := &w.lives[s.id]
			switch {
			case s.spare && w.f.State(s.id) == fleet.Standby && !l.led && l.lentTo == 0:
				stand++
				fit++
			case s.spare && s.fit():
				fit++
			case s.listed():
				lasting = lasting || s.fit()
				if may, _ := w.m.may(s); may && w.f.State(s.id) == fleet.Waiting {
					empty++
				}
				switch {
				case w.m.due(s):
					due++
				case s.state == fleet.Ready && s.fit() && (s.led || s.sent) && s.heir == nil:
					taken++
				}
			}
		}
		if due > 0 && stand > taken && w.m.released && !w.m.ending {
			w.fail("%d workers of pool %d are to be replaced, and %d spares stand by", due, p.id, stand-taken)
		}
		if stand > p.desc.Spare+p.vacant() && !w.m.ending { // slots that wait for what they need
			w.fail("%d spares of pool %d stand by", stand, p.id)
		}
		if stand > 0 && empty > 0 && !w.m.ending {
			w.fail("%d slots of pool %d are empty, and %d spares stand by", empty, p.id, stand)
		}
		if w.m.released && lasting && !w.m.ending && p.desc.Spare > 0 && fit < p.desc.Spare-p.given+p.vacant() {
			w.fail("pool %d has %d spares, and should have %d and %d", p.id, fit, p.desc.Spare-p.given, p.vacant())
		}
	}
}

package fleet_test

import (
	"slices"
	"time"

	"github.com/multiprolab/multiprolab/internal/fleet"
)

// judge decides what follows from a failure, from all that were before it.
func (m *model) judge(s *modelSlot, f modelFailure, blamed, permanent bool) {
	d := &s.pool.desc
	quit := f.why.Kind == fleet.Quit
	restart, pause, limit := false, time.Duration(0), fleet.Reason{}
	switch {
	case d.Policy == fleet.NoRestart, d.Policy == fleet.OnFailure && quit:
	case permanent && !quit:
		limit = s.limit(append(slices.Clone(s.counted()), f), true)
	case blamed:
		restart = true
	default:
		s.past = append(s.past, f)
		if all := s.counted(); d.Limit >= 0 && len(all) > d.Limit {
			limit = s.limit(all, false)
		} else {
			restart, pause = true, s.pause(m.dice)
		}
	}
	if s.required {
		restart, pause, limit = false, 0, fleet.Reason{}
	}
	after := pause
	if m.crewed(s) && s.successor() != nil {
		after = 0
	}
	m.expect(fleet.Effect{
		Kind: fleet.Down, Slot: s.id, Life: s.life, Failed: !quit, Restart: restart, After: after, Reason: f.why,
	})
	why := f.why
	switch {
	case s.spare && restart:
		m.pause(s, max(f.at+pause, s.pool.rest))
		return
	case s.spare:
		if limit.Kind != fleet.None {
			why = limit
		}
		m.giveUp(s, why)
		return
	case restart:
		if m.crewed(s) {
			s.pool.rest = max(s.pool.rest, f.at+pause)
			m.wait(s)
		} else if pause > 0 {
			s.state, s.until = fleet.Pausing, f.at+pause
		} else {
			m.wait(s)
		}
		others := m.others(s)
		if s.shaken || len(others) == 0 {
			return
		}
		s.shaken = true
		for _, o := range others {
			o.shaken = true
			m.lead(o, fleet.DrainQueue, false, s.fellow(&f.why))
		}
		return
	case s.required:
		m.end(s, why)
	case limit.Kind != fleet.None:
		if why = limit; !d.StopWorker {
			m.end(s, why)
		}
	case quit:
		m.bury(s, fleet.Reason{Kind: fleet.Left})
		return
	}
	for _, o := range m.others(s) {
		m.doom(o, s.fellow(&why))
	}
	m.bury(s, why)
}

// fellow is the reason of those that restart, or end, with it.
func (s *modelSlot) fellow(why *fleet.Reason) fleet.Reason {
	return fleet.Reason{Kind: fleet.Fellow, Pool: s.pool.id, Index: s.index, Fellow: s.id, Behind: why}
}

// end is what an error that ends the program does.
func (m *model) end(s *modelSlot, why fleet.Reason) {
	m.expect(fleet.Effect{Kind: fleet.EndProgram, Slot: s.id, Reason: why})
	m.exit(fleet.FinishRunning)
}

// counted returns the failures that count: no later one of a life that was ready is further from
// them than the window.
func (s *modelSlot) counted() (all []modelFailure) {
	for i, f := range s.past {
		if f.vain {
			continue
		}
		old := slices.ContainsFunc(s.past[i:], func(later modelFailure) bool {
			return later.ready && !later.vain && later.at-f.at > s.pool.desc.Window
		})
		if !old {
			all = append(all, f)
		}
	}
	if s.pool.desc.Limit < 0 {
		all = all[max(0, len(all)-10):]
	}
	return all
}

// replaced decides what follows a life that was led out to be replaced.
func (m *model) replaced(s, was *modelSlot, down fleet.Effect, worked bool) {
	pause, lasted := time.Duration(0), m.now-was.since
	asked := slices.ContainsFunc(m.asks, func(a modelAsk) bool { return a.slot == s })
	if was.bows && !worked && !asked {
		s.past = append(s.past, modelFailure{at: m.now, ready: true, lasted: lasted, vain: true})
		if lasted <= s.pool.desc.Delay {
			pause = max(0, s.pause(m.dice)-lasted)
		}
	}
	if down.Restart, down.After = true, pause; m.crewed(s) && s.successor() != nil {
		down.After = 0
	}
	m.expect(down)
	switch {
	case pause == 0:
		m.again(s)
	case s.spare:
		m.pause(s, max(m.now+pause, s.pool.rest))
	case m.crewed(s):
		s.pool.rest = max(s.pool.rest, m.now+pause)
		m.wait(s)
	default:
		m.pause(s, m.now+pause)
	}
}

// pause is that after the last failure.
func (s *modelSlot) pause(dice float64) time.Duration {
	d, row := &s.pool.desc, 0
	for _, f := range s.past {
		if f.vain && f.lasted > d.Delay {
			if f.lasted > d.Reset {
				row = 0
			}
			continue
		}
		if row++; f.ready && f.lasted > d.Reset {
			row = 1
		}
	}
	if row == 1 {
		return 0
	}
	most := float64(d.MaxDelay)
	long := min(float64(d.Delay), most)
	for range row - 2 {
		long = min(long*d.Factor, most)
	}
	return time.Duration(long * (1 - d.Jitter*dice))
}

func (s *modelSlot) limit(all []modelFailure, permanent bool) fleet.Reason {
	r := fleet.Reason{Kind: fleet.Limit, Permanent: permanent, Restarts: len(all) - 1}
	for _, f := range all[max(0, len(all)-10):] {
		r.Causes = append(r.Causes, f.why)
	}
	return r
}

// lead expects a life to be led out, once.
func (m *model) lead(s *modelSlot, mode fleet.Mode, forGood bool, why fleet.Reason) {
	if s.busy() && !s.led {
		s.led = true
		if s.spare {
			s.part()
		}
		m.expect(fleet.Effect{Kind: fleet.LeadOut, Slot: s.id, Mode: mode, ForGood: forGood, Reason: why})
	}
}

// doom ends a slot for good, after its life if it has one.
func (m *model) doom(s *modelSlot, why fleet.Reason) {
	if s.why.Kind != fleet.None {
		return
	}
	s.why = why
	told := why
	if why.Kind == fleet.Fellow {
		told = fleet.Reason{}
	}
	m.answer(s, told, func(modelAsk) bool { return true })
	switch {
	case !s.busy():
		m.bury(s, why)
	case m.ending:
		m.leadInOrder()
	default:
		m.lead(s, fleet.DrainQueue, true, why)
	}
}

// leadInOrder leads all out, at the end of the program, that nobody alive needs.
func (m *model) leadInOrder() {
	for _, s := range slices.Backward(m.slots) {
		needed := slices.ContainsFunc(m.slots, func(o *modelSlot) bool {
			return o.state != fleet.Buried && slices.Contains(m.needs(o.pool), s.pool)
		})
		if s.why.Kind != fleet.None && (!needed || m.mode == fleet.KillAll || s.state < fleet.Greeted) {
			m.lead(s, m.mode, true, s.why)
		}
	}
}

func (m *model) bury(s *modelSlot, why fleet.Reason) {
	if why.Kind == fleet.None {
		why.Kind = fleet.Left
	}
	s.state, s.why = fleet.Buried, why
	m.expect(fleet.Effect{Kind: fleet.Bury, Slot: s.id, Reason: why})
	m.answer(s, why, func(modelAsk) bool { return true })
	if heir := s.part(); heir != nil {
		m.lead(heir, fleet.DrainQueue, false, fleet.Reason{Kind: fleet.Replace})
	}
	m.turn(s)
	m.line = slices.DeleteFunc(m.line, func(o *modelSlot) bool { return o == s })
	s.pool.spares = slices.DeleteFunc(s.pool.spares, func(o *modelSlot) bool { return o == s })
	for _, next := range s.pool.slots {
		if s.spare {
			break
		}
		if next.state == fleet.Queued && next.index == s.index &&
			!slices.ContainsFunc(m.slots, func(o *modelSlot) bool {
				return o != next && !o.spare && o.pool == next.pool && o.index == next.index && o.state != fleet.Buried
			}) {
			next.life = s.life
			m.wait(next)
		}
	}
	if s.unknown {
		s.unknown = false
		m.count()
	}
	if m.ending {
		m.leadInOrder()
	}
}

func (m *model) exit(mode fleet.Mode) {
	if !m.asked {
		m.asked, m.mode = true, mode
	} else if mode == fleet.KillAll || m.mode == fleet.DrainQueue {
		m.mode = mode
	}
	if m.ending {
		m.leadInOrder()
	}
}

func (m *model) endNow() {
	if !m.asked || m.ending {
		return
	}
	m.ending, m.line = true, nil
	for _, spares := range []bool{true, false} { // one that is lent ends as the program does, not for its slot's sake
		for _, s := range slices.Backward(m.slots) {
			if s.spare == spares {
				m.doom(s, fleet.Reason{Kind: fleet.Ended})
			}
		}
	}
}

func (m *model) resize(p *modelPool, n int, now time.Duration) bool {
	if m.asked {
		return false
	}
	m.pass(now)
	for len(p.slots) < n {
		if s := m.place(p); s.state != fleet.Queued {
			m.wait(s)
		}
	}
	removed := p.slots[n:]
	p.slots = p.slots[:n:n]
	for _, s := range removed {
		m.answer(s, fleet.Reason{}, func(modelAsk) bool { return true })
		switch {
		case s.why.Kind != fleet.None, s.led, s.quits:
		case s.state == fleet.Ready:
			m.expect(fleet.Effect{Kind: fleet.Retire, Slot: s.id})
		default:
			m.doom(s, fleet.Reason{Kind: fleet.Left})
		}
	}
	return true
}

func (m *model) restart(s *modelSlot) fleet.Ask {
	m.lastAsk++
	a := modelAsk{id: m.lastAsk, slot: s}
	switch {
	case !s.listed(), s.state != fleet.Buried && s.why.Kind == fleet.Fellow:
		m.expect(fleet.Effect{Kind: fleet.Replaced, Slot: s.id, Ask: a.id})
	case s.why.Kind != fleet.None:
		m.expect(fleet.Effect{Kind: fleet.Replaced, Slot: s.id, Ask: a.id, Reason: s.why})
	default:
		if s.up() {
			if a.old = s.life; !s.led && !m.crewed(s) {
				m.expect(fleet.Effect{Kind: fleet.Retire, Slot: s.id})
			}
		}
		if m.crewed(s) {
			s.pool.given = 0
		}
		m.asks = append(m.asks, a)
	}
	return a.id
}

// answer expects the answers to the requests for a slot that which is true for.
func (m *model) answer(s *modelSlot, why fleet.Reason, which func(modelAsk) bool) {
	m.asks = slices.DeleteFunc(m.asks, func(a modelAsk) bool {
		if a.slot != s || !which(a) {
			return false
		}
		m.expect(fleet.Effect{Kind: fleet.Replaced, Slot: s.id, Ask: a.id, Reason: why})
		return true
	})
}

func (m *model) idle(s *modelSlot) {
	if s.why.Kind != fleet.None {
		return
	}
	why := fleet.Reason{Kind: fleet.Replace}
	if s.quits || !s.spare && !s.listed() {
		why.Kind = fleet.Left
	}
	s.bows = s.bows || !s.led
	if why.Kind == fleet.Replace {
		m.lend(s)
	}
	m.lead(s, fleet.DrainQueue, s.quits, why)
}

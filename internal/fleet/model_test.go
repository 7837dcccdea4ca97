package fleet_test

import (
	"slices"
	"time"

	"github.com/multiprolab/multiprolab/internal/fleet"
)

// model is the rules of lives in the slowest and most obvious way: it keeps what has happened, has
// no counts, and looks at all slots again after each event. What it expects of the rules is in
// expected.
type model struct {
	pools    []*modelPool
	slots    []*modelSlot // all that ever were, by their numbers
	line     []*modelSlot
	waiting  []*modelSlot
	begun    bool
	asked    bool
	ending   bool
	mode     fleet.Mode
	now      time.Duration
	dice     float64 // what Rand returns during this event
	asks     []modelAsk
	lastAsk  fleet.Ask
	woken    time.Duration // the last Wake
	released bool
	gone     bool
	expected []fleet.Effect
}

type modelPool struct {
	id       fleet.Pool
	desc     fleet.PoolDesc
	strategy fleet.Strategy
	group    []*modelPool // with this one; nil without a group
	slots    []*modelSlot
	spares   []*modelSlot
	given    int           // of the spares, for good
	rest     time.Duration // before which no spare begins, after a failure of another
	again    int           // lives that have followed on another one, in places
}

type modelSlot struct {
	id       fleet.Slot
	pool     *modelPool
	index    int
	state    fleet.State
	life     int
	ready    bool // in this life
	since    time.Duration
	led      bool
	retired  bool // the age has been told
	aged     bool // it is to be replaced because of its age
	sent     bool // it was retired because it is to be replaced
	quits    bool // it leaves for good
	bows     bool // it was led out since it was idle
	spare    bool
	shaken   bool
	unknown  bool // it has not been ready or buried yet
	required bool
	why      fleet.Reason
	heir     *modelSlot    // the spare that is lent to it
	heirOf   *modelSlot    // whom the spare is lent to
	until    time.Duration // the end of the pause
	past     []modelFailure
}

type modelFailure struct {
	at     time.Duration
	ready  bool
	lasted time.Duration
	why    fleet.Reason
	vain   bool // it is none: the life went by itself, and had done nothing
}

type modelAsk struct {
	id   fleet.Ask
	slot *modelSlot
	old  int // the life that was up then; 0 if none was
}

func (m *model) expect(e fleet.Effect) { m.expected = append(m.expected, e) }

func (s *modelSlot) busy() bool { return s.state >= fleet.Spawning && s.state <= fleet.Ready }
func (s *modelSlot) up() bool   { return s.state == fleet.Ready && !s.shaken }
func (s *modelSlot) listed() bool {
	return slices.Contains(s.pool.slots, s)
}

// needs are the pools that must be up first.
func (m *model) needs(p *modelPool) (all []*modelPool) {
	for _, id := range p.desc.Needs {
		all = append(all, m.pools[id])
	}
	if i := slices.Index(p.group, p); i > 0 && p.strategy != fleet.OneForOne {
		all = append(all, p.group[i-1])
	}
	return all
}

// others restart with one that fails.
func (m *model) others(s *modelSlot) (others []*modelSlot) {
	behind := false
	for _, p := range s.pool.group {
		if s.pool.strategy == fleet.AllForOne || s.pool.strategy == fleet.RestForOne && behind {
			for _, o := range p.slots {
				if o != s && o.state != fleet.Buried {
					others = append(others, o)
				}
			}
			for _, o := range p.spares {
				if o != s {
					others = append(others, o)
				}
			}
		}
		behind = behind || p == s.pool
	}
	return others
}

func (m *model) begin() {
	for _, p := range m.pools {
		for range p.desc.Count {
			s := m.place(p)
			s.unknown, s.required = !m.asked, !p.desc.StopWorker
		}
	}
	m.begun = true
	if m.asked {
		for _, s := range m.slots {
			m.doom(s, fleet.Reason{Kind: fleet.Ended})
		}
		return
	}
	m.line = slices.Clone(m.slots)
	if len(m.line) > 0 {
		m.wait(m.line[0])
	}
	m.count()
}

func (m *model) place(p *modelPool) *modelSlot {
	s := &modelSlot{id: fleet.Slot(len(m.slots) + 1), pool: p, index: len(p.slots), state: fleet.Lined}
	for _, o := range m.slots {
		if o.pool == p && o.index == s.index && !o.spare {
			s.life = max(s.life, o.life)
			if o.state != fleet.Buried {
				s.state = fleet.Queued
			}
		}
	}
	m.slots = append(m.slots, s)
	p.slots = append(p.slots, s)
	m.expect(fleet.Effect{Kind: fleet.Place, Slot: s.id, Pool: p.id, Index: s.index})
	return s
}

func (m *model) wait(s *modelSlot) {
	s.state = fleet.Waiting
	m.waiting = append(m.waiting, s)
}

// count tells once that all of the start have been ready, or buried.
func (m *model) count() {
	if m.released || m.ending || slices.ContainsFunc(m.slots, func(s *modelSlot) bool { return s.unknown }) {
		return
	}
	m.released = true
	if !m.asked {
		m.expect(fleet.Effect{Kind: fleet.AllUp})
	}
	if !m.asked || m.mode == fleet.DrainQueue {
		m.expect(fleet.Effect{Kind: fleet.Release})
	}
}

// settle lets all begin that may, until nothing changes.
func (m *model) settle() {
	for changed := true; changed; {
		changed = m.staff()
		list := m.waiting
		m.waiting = nil
		var kept []*modelSlot
		for _, s := range list {
			if s.state != fleet.Waiting {
				continue
			}
			may, gone := m.may(s)
			switch {
			case may && m.crewed(s):
				if from := s.successor(); from != nil {
					m.promote(s, from)
					changed = true
				} else {
					kept = append(kept, s)
					changed = m.turn(s) || changed
				}
			case may:
				s.state, s.life, s.shaken = fleet.Spawning, s.life+1, false
				s.ready, s.led, s.retired, s.aged, s.sent = false, false, false, false, false
				m.expect(fleet.Effect{Kind: fleet.Spawn, Slot: s.id, Life: s.life})
				changed = true
			case gone != nil:
				last := gone.slots[len(gone.slots)-1]
				why := last.why
				m.turn(s)
				m.judge(
					s,
					modelFailure{at: m.now, why: fleet.Reason{Kind: fleet.NeedGone, Pool: gone.id, Index: last.index, Behind: &why}},
					false,
					true,
				)
				changed = true
			default:
				kept = append(kept, s)
				changed = m.turn(s) || changed
			}
		}
		m.waiting = append(kept, m.waiting...)
	}
	next := fleet.Never
	for _, s := range m.slots {
		if due := s.due(); due != fleet.Never && (next == fleet.Never || due < next) {
			next = due
		}
	}
	if next != m.woken {
		m.woken = next
		m.expect(fleet.Effect{Kind: fleet.Wake, At: next})
	}
	if m.ending && !m.gone &&
		!slices.ContainsFunc(m.slots, func(s *modelSlot) bool { return s.state != fleet.Buried }) {
		m.gone = true
		m.expect(fleet.Effect{Kind: fleet.AllGone})
	}
}

// due is the time at which something happens to a slot by itself.
func (s *modelSlot) due() time.Duration {
	switch {
	case s.state == fleet.Pausing:
		return s.until
	case s.state == fleet.Ready && s.pool.desc.MaxAge > 0 && !s.led && !s.retired:
		return s.since + s.pool.desc.MaxAge
	}
	return fleet.Never
}

func (m *model) may(s *modelSlot) (may bool, gone *modelPool) {
	if s.shaken || s.spare {
		for _, p := range s.pool.group {
			for _, o := range append(slices.Clone(p.slots), p.spares...) {
				if o.shaken && o.busy() {
					return false, nil
				}
			}
		}
	}
	for _, q := range m.needs(s.pool) {
		alive := false
		for _, o := range q.slots {
			if !o.up() && o.state != fleet.Buried {
				return false, nil
			}
			alive = alive || o.state != fleet.Buried
		}
		if !alive {
			return false, q
		}
	}
	return true, nil
}

func (m *model) turn(s *modelSlot) bool {
	if len(m.line) == 0 || m.line[0] != s {
		return false
	}
	if m.line = m.line[1:]; len(m.line) > 0 {
		m.wait(m.line[0])
	}
	return true
}

// pass lets the time go on.
func (m *model) pass(now time.Duration) {
	m.now = max(m.now, now)
	for {
		var first *modelSlot
		for _, s := range m.slots {
			if due := s.due(); due != fleet.Never && due <= m.now && (first == nil || due < first.due()) {
				first = s
			}
		}
		if first == nil {
			return
		}
		if first.state == fleet.Pausing {
			m.wait(first)
		} else {
			first.retired = true
			if first.aged = m.crewed(first); first.aged {
				continue
			}
			m.expect(fleet.Effect{Kind: fleet.Retire, Slot: first.id})
		}
	}
}

func (m *model) up(s *modelSlot, now time.Duration) {
	m.pass(now)
	if s.spare {
		s.state, s.ready, s.since = fleet.Standby, true, m.now
		return
	}
	s.state, s.ready, s.since, s.required = fleet.Ready, true, m.now, false
	if s.up() {
		m.answer(s, fleet.Reason{}, func(a modelAsk) bool { return a.old != s.life })
	}
	if s.unknown {
		s.unknown = false
		m.count()
	}
}

func (m *model) ended(s *modelSlot, how fleet.How, now time.Duration) {
	was := *s
	s.ready, s.led, s.retired, s.quits, s.bows = false, false, true, false, false // no age any more
	m.pass(now)
	if s.spare {
		s.part()
	}
	process, greeted := was.state > fleet.Spawning, was.state >= fleet.Greeted
	m.turn(s)
	failed := how.Failed || how.Raced
	down := fleet.Effect{Kind: fleet.Down, Slot: s.id, Life: s.life}
	switch {
	case s.why.Kind != fleet.None || was.quits || !s.spare && !s.listed():
		if process {
			down.Failed = failed && !how.Forced
			m.expect(down)
		}
		if s.spare && was.quits {
			s.pool.given++
		}
		m.bury(s, s.why)
	case was.led && (!failed || how.Forced && process && !greeted):
		m.replaced(s, &was, down, how.Worked)
	case was.led && how.Raced && greeted:
		down.Restart, down.Failed = true, true
		m.expect(down)
		m.again(s)
	default:
		f := modelFailure{at: m.now, ready: was.ready, why: fleet.Reason{Kind: fleet.Quit}}
		if was.ready {
			f.lasted = m.now - was.since
		}
		if failed || !was.ready || s.spare {
			f.why = fleet.Reason{Kind: fleet.Failed, Cause: how.Cause}
		}
		m.judge(s, f, how.Blamed, how.Permanent)
	}
}

package fleet_test

import (
	"fmt"
	"slices"
	"time"

	"github.com/multiprolab/multiprolab/internal/fleet"
)

// pickSlot returns one of the slots that ok is true for, or nil.
func (w *world) pickSlot(ok func(s *modelSlot) bool) *modelSlot {
	n := 0
	for _, s := range w.m.slots {
		if ok(s) {
			n++
		}
	}
	if n == 0 {
		return nil
	}
	k := w.pick(n, "slot")
	for _, s := range w.m.slots {
		if ok(s) {
			if k == 0 {
				return s
			}
			k--
		}
	}
	return nil
}

// later returns a time: now, soon, that of the wake, or a jump.
func (w *world) later() time.Duration {
	switch w.pick(6, "time") {
	case 0, 1:
		return w.m.now
	case 2:
		return w.m.now + someTimes[w.pick(len(someTimes), "step")]
	case 3:
		if w.wake != fleet.Never {
			return w.wake - 1
		}
	case 4:
		if w.wake != fleet.Never {
			return w.wake
		}
	case 5:
		if w.pick(10, "jump") == 0 {
			return w.m.now + time.Hour
		}
	}
	return w.m.now + time.Duration(w.pick(1000, "ms"))*time.Millisecond/10
}

// step lets something happen.
func (w *world) step() {
	switch k := w.pick(100, "event"); {
	case k < 62:
		if s := w.pickSlot((*modelSlot).busy); s != nil {
			w.live(s)
			return
		}
		w.tick(w.later())
	case k < 74:
		w.tick(w.later())
	case k < 78:
		if len(w.m.pools) > 0 {
			w.resize(w.m.pools[w.pick(len(w.m.pools), "pool")], 1+w.pick(4, "size"))
		}
	case k < 79:
		if len(w.m.pools) > 0 {
			w.renew(w.m.pools[w.pick(len(w.m.pools), "pool")])
		}
	case k < 84:
		if s := w.pickSlot(func(*modelSlot) bool { return true }); s != nil {
			w.restart(s)
		}
	case k < 86:
		if len(w.m.asks) > 0 {
			i := w.pick(len(w.m.asks), "ask")
			a := w.m.asks[i]
			w.happens(func() string { return fmt.Sprintf("Forget %d", a.id) },
				func() { w.f.Forget(a.slot.id, a.id) },
				func() { w.m.asks = slices.Delete(w.m.asks, i, i+1) })
		}
	case k < 94:
		if s := w.pickSlot(func(*modelSlot) bool { return true }); s != nil {
			w.junk(s)
		}
	default:
		if w.m.asked && w.pick(3, "end") == 0 {
			w.end()
		} else if w.pick(10, "exit") == 0 {
			w.exit(fleet.Mode(w.pick(3, "mode")))
		}
	}
}

// live lets a life take its next step, or end.
func (w *world) live(s *modelSlot) {
	l := &w.lives[s.id]
	ends := w.pick(10, "ends")
	if l.led && ends < 8 || ends == 0 {
		w.dies(s)
		return
	}
	w.goesOn(s)
}

// goesOn lets a life take its next step.
func (w *world) goesOn(s *modelSlot) {
	switch s.state {
	case fleet.Spawning:
		w.happens(func() string { return fmt.Sprintf("Started %d", s.id) },
			func() { w.f.Started(s.id) },
			func() { s.state = fleet.Starting; w.m.turn(s) })
	case fleet.Starting:
		w.happens(func() string { return fmt.Sprintf("Greeted %d", s.id) },
			func() { w.f.Greeted(s.id) },
			func() { s.state = fleet.Greeted })
	case fleet.Greeted:
		now := w.later()
		w.lives[s.id].up = !w.lives[s.id].leaving && !s.spare
		w.happens(func() string { return fmt.Sprintf("Up %d at %v", s.id, now) },
			func() { w.f.Up(s.id, now) },
			func() { w.m.up(s, now) })
	default:
		if w.pick(40, "leaves") == 0 {
			w.happens(func() string { return fmt.Sprintf("Leave %d", s.id) },
				func() { w.f.Leave(s.id) },
				func() { w.m.leave(s) })
		} else if w.pick(4, "doomed") == 0 {
			w.happens(func() string { return fmt.Sprintf("Doomed %d", s.id) },
				func() { w.f.Doomed(s.id, s.life) },
				func() { w.m.doomed(s) })
		} else if w.lives[s.id].retired || w.pick(5, "tasks") == 0 {
			w.happens(func() string { return fmt.Sprintf("Idle %d", s.id) },
				func() { w.f.Idle(s.id) },
				func() { w.m.idle(s) })
		} else {
			w.tick(w.later())
		}
	}
}

// dies lets a life end in one of many ways.
func (w *world) dies(s *modelSlot) {
	l := &w.lives[s.id]
	how := fleet.How{Failed: !l.led || w.pick(4, "failed") == 0}
	if s.state >= fleet.Standby && !l.led && w.pick(3, "quits") == 0 {
		how.Failed = false
	}
	how.Worked = w.pick(2, "worked") == 0
	switch w.pick(8, "how") {
	case 0:
		how.Raced = s.state > fleet.Spawning
	case 1:
		how.Blamed = s.state == fleet.Ready
	case 2:
		how.Permanent = how.Failed
	case 3, 4:
		how.Failed, how.Forced = how.Failed || l.led && s.state > fleet.Spawning, l.led && s.state > fleet.Spawning
	}
	w.diesOf(s, how, w.later())
}

func (w *world) diesOf(s *modelSlot, how fleet.How, now time.Duration) {
	if how.Failed || how.Raced {
		w.causes++
		how.Cause = w.causes
	}
	l := &w.lives[s.id]
	if w.counts = 0; !l.led && !how.Blamed {
		w.counts = s.id
	}
	l.life, l.up, l.leaving, l.lentTo = 0, false, false, 0
	w.happens(func() string { return fmt.Sprintf("Ended %d %+v at %v", s.id, how, now) },
		func() { w.f.Ended(s.id, how, now) },
		func() { w.m.ended(s, how, now) })
}

// junk tells of an event that cannot be: it comes too late, or twice.
func (w *world) junk(s *modelSlot) {
	k := w.pick(7, "junk")
	w.happens(func() string { return fmt.Sprintf("junk %d for %d", k, s.id) }, func() {
		switch {
		case k == 0 && s.state != fleet.Spawning:
			w.f.Started(s.id)
		case k == 1 && s.state != fleet.Starting:
			w.f.Greeted(s.id)
		case k == 2 && s.state != fleet.Greeted:
			w.f.Up(s.id, w.m.now)
		case k == 3 && (s.state < fleet.Standby || !s.busy()):
			w.f.Idle(s.id)
		case k == 5 && (s.state < fleet.Standby || !s.busy()):
			w.f.Leave(s.id)
		case k == 6:
			w.f.Doomed(s.id, s.life-1)
		case k == 4 && !s.busy():
			w.f.Ended(s.id, fleet.How{Failed: true}, w.m.now)
		}
	}, func() {})
}

func (w *world) begin() {
	for _, p := range w.m.pools {
		w.first += p.desc.Count
	}
	w.happens(func() string { return "Begin" }, func() { w.f.Begin(0) }, w.m.begin)

}

func (w *world) tick(now time.Duration) {
	w.happens(func() string { return fmt.Sprintf("Tick %v", now) },
		func() { w.f.Tick(now) }, func() { w.m.pass(now) })
}

func (w *world) resize(p *modelPool, n int) {
	var did, should bool
	now := w.later()
	w.happens(func() string { return fmt.Sprintf("Resize %d to %d at %v", p.id, n, now) },
		func() { did = w.f.Resize(p.id, n, now) }, func() { should = w.m.resize(p, n, now) })
	if did != should {
		w.fail("Resize says %v", did)
	}
}

func (w *world) renew(p *modelPool) {
	w.happens(func() string { return fmt.Sprintf("Renew %d", p.id) },
		func() { w.f.Renew(p.id) }, func() { w.m.renew(p) })
}

func (w *world) restart(s *modelSlot) {
	var a, want fleet.Ask
	w.happens(func() string { return fmt.Sprintf("Restart %d", s.id) },
		func() { a = w.f.Restart(s.id) }, func() { want = w.m.restart(s) })
	if a != want {
		w.fail("the request has the number %d, and not %d", a, want)
	}
}

func (w *world) exit(mode fleet.Mode) {
	w.asked = true
	w.happens(func() string { return fmt.Sprintf("Exit %d", mode) },
		func() { w.f.Exit(mode) }, func() { w.m.exit(mode) })
}

func (w *world) end() {
	w.happens(func() string { return "End" }, w.f.End, w.m.endNow)
}

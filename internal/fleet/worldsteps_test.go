package fleet_test

import (
	"fmt"
	"slices"
	"time"

	"github.com/multiprolab/multiprolab/internal/fleet"
)

// carryOut does what an effect asks for, and checks what must hold for it whatever the model says.
func (w *world) carryOut(e *fleet.Effect) {
	for len(w.lives) <= int(e.Slot) {
		w.lives = append(w.lives, worldLife{})
	}
	l := &w.lives[e.Slot]
	if w.gone > 0 {
		w.fail("%s comes after AllGone", kindNames[e.Kind])
	}
	if l.buried && e.Kind != fleet.Replaced {
		w.fail("%s for slot %d, which is buried", kindNames[e.Kind], e.Slot)
	}
	switch e.Kind {
	case fleet.Spawn:
		w.checkSpawn(e)
		*l = worldLife{life: e.Life}
	case fleet.Retire:
		if l.life == 0 {
			w.fail("slot %d is retired and has no life", e.Slot)
		}
		l.retired = true
	case fleet.LeadOut:
		w.checkLeadOut(e)
		l.led = true
		if e.Reason.Kind == fleet.Fellow {
			l.leaving, l.up = !e.ForGood, l.up && e.ForGood
		}
		if l.leaving {
			l.together, w.lives[e.Reason.Fellow].together = true, true
		}
	case fleet.Down:
		w.checkDown(e)
		l.after = w.m.now + e.After
	case fleet.Bury:
		if l.life > 0 {
			w.fail("slot %d is buried alive", e.Slot)
		}
		if e.Reason.Kind == fleet.None {
			w.fail("slot %d is buried without a reason", e.Slot)
		}
		l.buried = true
	case fleet.AllUp:
		if w.allUp++; w.allUp > 1 || w.asked {
			w.fail("AllUp comes too often, or too late")
		}
	case fleet.EndProgram:
		if w.last.Kind != fleet.Down || w.last.Restart {
			w.fail("the program ends after %s", describe(&w.last))
		}
		w.asked = true
	case fleet.AllGone:
		w.gone++
		for id := range w.lives[1:] {
			if !w.lives[id+1].buried {
				w.fail("all is gone, and slot %d is not buried", id+1)
			}
		}
	case fleet.Wake:
		w.wake = e.At
	}
	w.last = *e
}

func (w *world) checkSpawn(e *fleet.Effect) {
	s := w.m.slots[e.Slot-1]
	if w.m.ending {
		w.fail("slot %d begins a life at the end", e.Slot)
	}
	if w.lives[e.Slot].life > 0 {
		w.fail("slot %d has a life already", e.Slot)
	}
	w.checkTurn(s, e.Life)
	if w.m.now < w.lives[e.Slot].after {
		w.fail("slot %d begins in its pause", e.Slot)
	}
	for _, o := range w.m.slots {
		if o.pool == s.pool && o.index == s.index && w.lives[o.id].life > 0 {
			w.fail("slot %d begins while slot %d lives in its place", e.Slot, o.id)
		}
		if w.lives[s.id].together && slices.Contains(s.pool.group, o.pool) && o.listed() && w.lives[o.id].leaving {
			w.fail("slot %d begins before slot %d of its group has ended", e.Slot, o.id)
		}
	}
	for _, q := range w.m.needs(s.pool) {
		up := false
		for _, o := range q.slots {
			l := &w.lives[o.id]
			if !l.buried && !l.up {
				w.fail("slot %d begins and needs slot %d, which is not up", e.Slot, o.id)
			}
			up = up || l.up
		}
		if !up {
			w.fail("slot %d begins, and nothing of what it needs is up", e.Slot)
		}
	}
}

// checkTurn checks that the workers of the start that wait for nobody but their turn begin one
// after the other.
func (w *world) checkTurn(s *modelSlot, life int) {
	free := func(s *modelSlot) bool { return len(w.m.needs(s.pool)) == 0 && s.pool.group == nil }
	if int(s.id) > w.first || life > 1 || !free(s) {
		return
	}
	if s.id < w.turn {
		w.fail("slot %d begins after slot %d", s.id, w.turn)
	}
	w.turn = s.id
	for _, o := range w.m.slots[:w.first] {
		if free(o) && o.life == 1 && o.state == fleet.Spawning && o.id < s.id && !w.lives[o.id].led {
			w.fail("slot %d begins before slot %d has been started", s.id, o.id)
		}
	}
}

func (w *world) checkLeadOut(e *fleet.Effect) {
	s, l := w.m.slots[e.Slot-1], &w.lives[e.Slot]
	if l.life == 0 || l.led {
		w.fail("slot %d is led out twice, or without a life", e.Slot)
	}
	if e.Reason.Kind != fleet.Ended {
		if e.Mode != fleet.DrainQueue {
			w.fail("slot %d ends alone in mode %d", e.Slot, e.Mode)
		}
		return
	}
	if !e.ForGood || e.Mode != w.m.mode {
		w.fail("slot %d ends with the program in mode %d", e.Slot, e.Mode)
	}
	needed := false
	for _, o := range w.m.slots {
		needed = needed || slices.Contains(w.m.needs(o.pool), s.pool)
		if slices.Contains(w.m.needs(o.pool), s.pool) && w.lives[o.id].life > 0 && s.state >= fleet.Greeted &&
			w.m.mode != fleet.KillAll {
			w.fail("slot %d is led out before slot %d, which needs it", e.Slot, o.id)
		}
	}
	if (!needed || w.m.mode == fleet.KillAll) && s.listed() {
		if before := w.led; before != nil &&
			(before.pool.id < s.pool.id || before.pool == s.pool && before.index < s.index) {
			w.fail("slot %d is led out after slot %d", s.id, before.id)
		}
		w.led = s
	}
}

func (w *world) checkDown(e *fleet.Effect) {
	d, l := &w.m.slots[e.Slot-1].pool.desc, &w.lives[e.Slot]
	if l.life > 0 {
		w.fail("slot %d is down and lives", e.Slot)
	}
	if e.Restart && w.counts == e.Slot && d.Limit >= 0 {
		w.restarts[e.Slot] = append(w.restarts[e.Slot], w.m.now)
		n := 0
		for _, at := range w.restarts[e.Slot] {
			if w.m.now-at <= d.Window {
				n++
			}
		}
		if n > d.Limit {
			w.fail("slot %d is restarted %d times within %v, and at most %d are allowed", e.Slot, n, d.Window, d.Limit)
		}
	}
	least := time.Duration(float64(min(d.Delay, d.MaxDelay)) * (1 - d.Jitter))
	if e.After != 0 && (e.After < least || e.After > d.MaxDelay) {
		w.fail("the pause of slot %d is %v, and not from %v to %v", e.Slot, e.After, least, d.MaxDelay)
	}
	if e.After != 0 && !e.Restart {
		w.fail("slot %d pauses before nothing", e.Slot)
	}
}

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
		w.lives[s.id].up = !w.lives[s.id].leaving
		w.happens(func() string { return fmt.Sprintf("Up %d at %v", s.id, now) },
			func() { w.f.Up(s.id, now) },
			func() { w.m.up(s, now) })
	default:
		if w.lives[s.id].retired || w.pick(5, "tasks") == 0 {
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
	if s.state == fleet.Ready && !l.led && w.pick(3, "quits") == 0 {
		how.Failed = false
	}
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
	l.life, l.up, l.leaving = 0, false, false
	w.happens(func() string { return fmt.Sprintf("Ended %d %+v at %v", s.id, how, now) },
		func() { w.f.Ended(s.id, how, now) },
		func() { w.m.ended(s, how, now) })
}

// junk tells of an event that cannot be: it comes too late, or twice.
func (w *world) junk(s *modelSlot) {
	k := w.pick(5, "junk")
	w.happens(func() string { return fmt.Sprintf("junk %d for %d", k, s.id) }, func() {
		switch {
		case k == 0 && s.state != fleet.Spawning:
			w.f.Started(s.id)
		case k == 1 && s.state != fleet.Starting:
			w.f.Greeted(s.id)
		case k == 2 && s.state != fleet.Greeted:
			w.f.Up(s.id, w.m.now)
		case k == 3 && s.state != fleet.Ready:
			w.f.Idle(s.id)
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
	w.happens(func() string { return fmt.Sprintf("Resize %d to %d", p.id, n) },
		func() { did = w.f.Resize(p.id, n) }, func() { should = w.m.resize(p, n) })
	if did != should {
		w.fail("Resize says %v", did)
	}
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

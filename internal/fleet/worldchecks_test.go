package fleet_test

import (
	"slices"
	"time"

	"github.com/multiprolab/multiprolab/internal/fleet"
)

// carryOut does what an effect asks for, and checks what must hold for it whatever the model says.
func (w *world) carryOut(e *fleet.Effect) {
	l := &w.lives[e.Slot]
	if w.gone > 0 {
		w.fail("%s comes after AllGone", kindNames[e.Kind])
	}
	if l.buried && e.Kind != fleet.Replaced {
		w.fail("%s for slot %d, which is buried", kindNames[e.Kind], e.Slot)
	}
	if begins := e.Kind == fleet.Spawn || e.Kind == fleet.Promote; begins && e.Life > 1 {
		if s := w.m.slots[e.Slot-1]; !s.spare {
			s.pool.again++
		}
	}
	switch e.Kind {
	case fleet.Spawn:
		w.checkSpawn(e)
		*l = worldLife{life: e.Life}
	case fleet.Promote:
		w.checkPromote(e)
		*l = worldLife{life: e.Life, up: true}
		w.lives[e.From].life, w.lives[e.From].lentTo = 0, 0
	case fleet.Lend:
		w.checkLend(e)
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
	if w.allUp > 0 && !s.spare && s.pool.desc.Spare > 0 {
		w.fail("slot %d begins a life of its own, and its pool has spares", e.Slot)
	}
	w.checkTurn(s, e.Life)
	if w.m.now < w.lives[e.Slot].after {
		w.fail("slot %d begins in its pause", e.Slot)
	}
	for _, o := range w.m.slots {
		if o.pool == s.pool && o.index == s.index && o.spare == s.spare && w.lives[o.id].life > 0 {
			w.fail("slot %d begins while slot %d lives in its place", e.Slot, o.id)
		}
		if w.lives[s.id].together && slices.Contains(s.pool.group, o.pool) && (o.spare || o.listed()) && w.lives[o.id].leaving {
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
	if e.After != 0 && (w.counts == e.Slot && e.After < least || e.After > d.MaxDelay) {
		w.fail("the pause of slot %d is %v, and not from %v to %v", e.Slot, e.After, least, d.MaxDelay)
	}
	if e.After != 0 && !e.Restart {
		w.fail("slot %d pauses before nothing", e.Slot)
	}
}

package queue

import (
	"slices"
	"time"
)

// This file is the events of throttles.

// forgetAfter is the moments at which gates of keys are forgotten: with the first of its multiples
// after all tokens are there again. So many keys take one Tick.
const forgetAfter = time.Second

// Throttle sets the limits of a throttle, in place of those that it has. The zero Limits remove it.
// What is with workers counts, and stays there.
func (q *Queue) Throttle(of Throttle, to Limits) {
	i := slices.IndexFunc(q.throttles, func(h *throttle) bool { return h.Throttle == of })
	switch {
	case i < 0 && to.none():
		return
	case i < 0:
		i = len(q.throttles)
		h := &throttle{Throttle: of}
		if !of.PerKey {
			h.gate = newGate(h, "")
		}
		q.throttles = append(q.throttles, h)
	}
	h := q.throttles[i]
	h.Limits = to
	if to.none() {
		q.throttles = slices.Delete(q.throttles, i, i+1)
		if h.gate != nil {
			q.forgetGate(h.gate)
		}
	}
	q.throttlesChanged(h)
	q.reckon()
	q.handOut()
}

// Throttled reports whether there is a throttle for the tasks of a queue and a type.
func (q *Queue) Throttled(queue, typ string) bool {
	of := Lane{Queue: queue, Type: typ}
	return slices.ContainsFunc(q.throttles, func(h *throttle) bool { return h.fits(of) })
}

// throttlesChanged counts what is with workers anew, after the limits of a throttle have changed,
// and lets through what may go.
func (q *Queue) throttlesChanged(h *throttle) {
	q.behind = make([][]*lane, len(q.throttles))
	for i, o := range q.throttles {
		o.place = i
		if o.gate != nil {
			o.gate.out = 0
		}
	}
	for _, l := range q.lanes {
		q.fit(l)
	}
	for _, k := range q.keyList {
		k.alone = 0
		for _, g := range k.gates {
			g.out = 0
			if !slices.Contains(q.throttles, g.of) {
				q.forgetGate(g)
			}
		}
		k.gates = slices.DeleteFunc(k.gates, func(g *Gate) bool { return g.gone })
	}
	for _, w := range q.ready {
		for t := w.held.first; t != nil; t = t.next {
			t.countOut(q.keyOf(t), 1)
		}
	}
	if h.gate != nil {
		q.newRate(h.gate)
	}
	for _, k := range q.keyList {
		if g := k.gate(h); g != nil {
			q.newRate(g)
		}
	}
	for _, l := range q.lanes {
		q.changed(l)
		q.stir(l)
	}
	for _, k := range slices.Clone(q.keyList) {
		q.advance(k)
	}
}

// newRate asks for the tokens of a gate that has been used, after its rate may have changed.
func (q *Queue) newRate(g *Gate) {
	switch {
	case g.gone:
	case g.used && g.of.Rate > 0:
		g.tokens = 0
		q.ask(g, nil, 0)
	default:
		g.tokens, g.used = g.of.burst(), false
		q.timers.dropGate(g)
		if g.of.Rate == 0 {
			g.Data = nil // another rate begins with all tokens
		}
	}
}

// Refilled says how many tokens a gate has left, when it has the next one if that is none, and when
// it will have all.
func (q *Queue) Refilled(g *Gate, tokens int, next, full, now Time) {
	g.asked--
	if g.gone || g.asked > 0 || g.of.Rate == 0 { // more have gone through since
		return
	}
	q.timers.tell(now)
	q.reckon()
	g.tokens, g.full = tokens, full
	switch {
	case tokens > 0 || next <= q.timers.now:
		q.reopen(g)
	case !q.halted:
		q.timers.setGate(g, next)
	}
	q.handOut()
}

// reopen lets go on what may go through a gate that has tokens.
func (q *Queue) reopen(g *Gate) {
	g.tokens = max(1, g.tokens)
	if g.key == "" {
		q.reconsiderAll(g)
		return
	}
	if !q.halted {
		q.timers.setGate(g, after(g.full.Truncate(forgetAfter), forgetAfter))
	}
	q.advance(q.keys[g.key])
}

// rings does what the alarm of a gate was set for.
func (q *Queue) rings(g *Gate) {
	q.reckon()
	if g.tokens == 0 {
		q.reopen(g)
		return
	}
	g.used = false
	q.dropKey(q.keys[g.key])
}
